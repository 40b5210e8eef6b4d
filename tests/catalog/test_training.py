"""Published throughputs of training, and what was learnt: rows load, no card does more than it can."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from plimsoll.ask import machine, models
from plimsoll.catalog import training as catalog
from plimsoll.core.training_frameworks import FRAMEWORKS
from plimsoll.core.training_targets import attachment
from plimsoll.core.training_time import flops_per_token
from plimsoll.domain.training import TrainingMeasurement, TrainingSetup
from plimsoll.errors import CatalogError

ROWS = catalog.measurements()


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.device} {r.model} {r.method} {r.tokens_per_s}")
def test_no_card_did_more_than_it_can(row: TrainingMeasurement) -> None:
    model = models.from_catalog(row.model)
    setup = TrainingSetup(
        method=row.method, framework=FRAMEWORKS["peft"], rank=row.rank, batch=row.batch,  # type: ignore[arg-type]
        targets=tuple(t for t in row.targets.split(",") if t), sequence_tokens=row.sequence_tokens,
        is_checkpointed=row.is_checkpointed == "yes",
    )  # fmt: skip
    found = attachment(model, setup.method, setup.targets, setup.rank)
    rate = machine.resolve(row.device).devices[0].flops_per_s["bf16"] * row.devices_count
    assert 0 < row.tokens_per_s * flops_per_token(model, setup, found) / rate < 1


def test_what_was_learnt_lies_within_its_bounds() -> None:
    learnt = catalog.load()
    assert learnt.time_runs_count == len(ROWS)
    for value, low, high, count in (*learnt.fragments.values(), *learnt.utilisation.values()):
        assert low <= value <= high
        assert count > 0
    assert all(0 < value < 1 for value, _, _, _ in learnt.utilisation.values())


def test_the_file_is_written_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    path.write_text(catalog.written(catalog.load()), "utf-8")
    assert catalog.load(str(path)) == catalog.load()
    assert path.read_text("utf-8") == Path(catalog.PATH).read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens_per_s": "0"}, "not told"),
        ({"rank": "many"}, "line 2.*many"),
        ({"source": "a friend"}, "not a web address"),
        ({"is_checkpointed": ""}, "not told"),
    ],
)
def test_a_bad_row_is_named(change: dict[str, str], said: str) -> None:
    row = {name: str(value) for name, value in asdict(ROWS[0]).items()}
    with pytest.raises(CatalogError, match=said):
        catalog.row_from({**row, **change}, 2)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fragments": 1}'])
def test_a_broken_file_is_a_catalog_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    path.write_text(text, "utf-8")
    with pytest.raises(CatalogError):
        catalog.load(str(path))
