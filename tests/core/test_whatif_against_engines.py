"""Our verdicts against what Transformers and llama.cpp really did (tests/fixtures/config_edits.json).

The recording is made by `python -m tests.ghost.edited` with both engines; CI has neither of them, so the
default run compares with the recording, and the run marked `oracle` asks the engines again.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from plimsoll.ask.whatif import WhatIfQuestion, ask
from plimsoll.domain.whatif import EngineVerdict
from plimsoll.errors import BadSetting
from tests.ghost.edit_cases import FAMILIES, edits_of

RECORDED = Path(__file__).parent.parent / "fixtures" / "config_edits.json"
NOISE = 1e-4
# They decide when generation stops; the logits that the engines were asked for do not show it.
BEYOND_LOGITS = frozenset({"eos_token_id"})


@cache
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())
    return found


def rows() -> list[Any]:
    return [
        pytest.param(family, row, id=f"{family}-{i}-{'+'.join(row['set'])}")
        for family, data in recorded().items()
        for i, row in enumerate(data["edits"])
    ]


def verdicts(folder: Path, config: dict[str, Any], edit: dict[str, Any]) -> tuple[EngineVerdict, ...]:
    (folder / "config.json").write_text(json.dumps(config))
    sets = tuple(f"{key}={json.dumps(value)}" for key, value in edit.items())
    together = ask(WhatIfQuestion(model=str(folder), sets=sets, offline=True)).together
    assert together is not None
    return together.engines


def meaning(outcome: dict[str, Any]) -> set[str]:
    """The verdicts that an engine's outcome allows."""
    kind, difference = outcome["outcome"], outcome.get("difference")
    if kind in ("load_error", "run_error"):
        return {"load_error"}
    if kind in ("reinitialised", "unused"):
        return {"safe"} if difference is not None and difference <= NOISE else {"breaks_silently"}
    return {"safe"} if kind == "unchanged" else {"changes_behaviour", "breaks_silently"}


@pytest.mark.parametrize(("family", "row"), rows())
def test_the_verdict_is_what_the_engine_did(family: str, row: dict[str, Any], tmp_path: Path) -> None:
    config = recorded()[family]["config"]
    if "no_such_key" in row["set"]:
        with pytest.raises(BadSetting, match="no_such_key"):
            verdicts(tmp_path, config, row["set"])
        return
    transformers, llama_cpp = verdicts(tmp_path, config, row["set"])
    allowed = meaning(row["transformers"])
    if BEYOND_LOGITS & row["set"].keys():
        allowed |= {"changes_behaviour"}
    if "model_type" in row["set"]:
        allowed |= {"unknown"}
    assert transformers.verdict in allowed, (transformers, row["transformers"])
    if "llama_cpp" in row:
        assert llama_cpp.verdict in meaning(row["llama_cpp"]), (llama_cpp, row["llama_cpp"])
    else:
        assert llama_cpp.verdict == "not_settable", llama_cpp


def test_a_missing_tensor_is_told_from_a_left_over_one(tmp_path: Path) -> None:
    for family, data in recorded().items():
        for row in data["edits"]:
            kind = row["transformers"]["outcome"]
            if kind not in ("reinitialised", "unused") or row["transformers"]["difference"] <= NOISE:
                continue
            engine = verdicts(tmp_path, data["config"], row["set"])[0]
            wanted = {"reinitialised": "missing", "unused": "unused"}[kind]
            if engine.verdict == "breaks_silently":
                assert engine.tensors[0].kind == wanted, (family, row["set"], engine)


def test_every_family_has_its_edits() -> None:
    assert set(recorded()) == set(FAMILIES)
    assert len(FAMILIES) >= 6
    for family, data in recorded().items():
        assert data["config"] == FAMILIES[family]
        assert [row["set"] for row in data["edits"]] == edits_of(family)
        assert len(data["edits"]) >= 25


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_recorded_override_is_what_is_printed(family: str) -> None:
    pytest.importorskip("plimsoll.catalog.config_keys")
    from tests.ghost.edited import printed_pairs

    for row in recorded()[family]["edits"]:
        printed = [list(pair) for pair in printed_pairs(family, row["set"])]
        assert printed == row.get("pairs", []), row["set"]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_override_is_what_the_converter_would_write(family: str) -> None:
    """Each metadata entry that we print has the value upstream's converter writes for the edited config."""
    for row in recorded()[family]["edits"]:
        written = row["metadata"].get("changed", {})
        # converters derive head_dim from other keys; we override what was edited and leave the rest
        for key, _, value in row.get("pairs", []):
            if key in written:
                assert written[key] == pytest.approx(value), (row["set"], key)


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_engines_still_do_that(family: str) -> None:
    from tests.ghost.edited import judged
    from tests.ghost.upstream import source_tree

    if source_tree() is None:
        pytest.skip("PLIMSOLL_LLAMA_CPP_SOURCE does not name a llama.cpp source tree")
    fresh = judged(family)["edits"]
    for before, now in zip(recorded()[family]["edits"], fresh, strict=True):
        for engine in ("transformers", "llama_cpp"):
            assert meaning(before[engine]) == meaning(now[engine]) if engine in before else engine not in now
