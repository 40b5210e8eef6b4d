import pytest

from plimsoll.core.replay import replay
from plimsoll.domain.bill import Interval, Line
from plimsoll.errors import BadSetting
from plimsoll.formulas.buffers import adapter_bytes


def line(**changes: object) -> Line:
    values: dict[str, object] = {
        "component": "adapters", "label": "adapters", "device": "gpu0", "model": "m", "size_bytes": 6,
        "low_bytes": 6, "high_bytes": 6, "basis": "exact", "formula": "formulas.buffers:adapter_bytes",
        "inputs": {"size_bytes": 2, "slots_count": 3},
    }  # fmt: skip
    return Line(**{**values, **changes})  # type: ignore[arg-type]


def test_a_line_records_the_formula_that_made_it() -> None:
    made = Line.of(
        adapter_bytes, {"size_bytes": 2, "slots_count": 3}, component="adapters", label="adapters",
        device="gpu0", model="m",
    )  # fmt: skip
    assert made == line()
    assert replay(made) == Interval(6, 6, 6)


@pytest.mark.parametrize(
    "changes", [{"formula": ""}, {"low_bytes": 7}, {"high_bytes": 5}, {"high_bytes": 9}], ids=str
)
def test_a_number_without_a_basis_cannot_be_built(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        line(**changes)


@pytest.mark.parametrize(
    "formula",
    [
        "os:system",
        "formulas.buffers:nothing",
        "formulas.nowhere:x",
        "formulas.buffers:__import__",
        "edges.files:load",
    ],
)
def test_replay_runs_formulas_only(formula: str) -> None:
    with pytest.raises(BadSetting):
        replay(line(formula=formula))
