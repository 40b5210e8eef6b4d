"""From facts to rule files: ranges, rules by hand, the same bytes twice, release notes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from plimsoll.catalog import lint_rules
from plimsoll.errors import CatalogError
from tests.tools import packages
from tools.harvest import rule_files, vllm
from tools.harvest.__main__ import CATALOG, harvest, main
from tools.harvest.facts import Facts, table
from tools.harvest.ranges import compressed
from tools.harvest.report import notes
from tools.harvest.statements import Statement

DAY = date(2026, 11, 26)
HAND = """runtime = "vllm"
aspect = "weights"
checked_on = "2026-11-20"
sources = ["vllm-0.13.0#x"]
[[rules]]
name = "awq"
topic = "gate"
formats = ["awq"]
hardware = ["cc>=8.0"]
versions = "<=0.13.0"
says = "supported"
"""


def released(version: str, files: Mapping[str, str]) -> Facts:
    return Facts(project="vllm", version=version, tables=vllm.read(files))


OLD = released("0.13.0", packages.vllm())
NEW = released("0.14.0", packages.vllm(gate=75, extra_model="NewForCausalLM"))
NEXT = released("0.16.0", packages.vllm(gate=75, extra_model="NewForCausalLM"))


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A catalog with vLLM's release list, the vocabulary and one file by hand."""
    made = tmp_path / "catalog"
    for name in ("runtimes/vllm.toml", "rules/vocabulary.toml"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CATALOG / name, made / name)
    (made / "rules/vllm").mkdir()
    (made / "rules/vllm/weights.toml").write_text(HAND, "utf-8")
    return made


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ranges_go_over_releases_that_say_the_same() -> None:
    one = Statement(aspect="model", topic="registry", name="a", says="supported")
    stated: dict[str, dict[Statement, str]] = {v: {one: f"p{v}"} for v in ("1", "2", "3", "5")}
    stated = {**dict(list(stated.items())[:3]), "4": {}, "5": stated["5"]}
    found = [(rule.versions, rule.first, rule.last) for rule in compressed(stated)]
    assert found == [(">=1,<=3", ("1", "p1"), ("3", "p3")), ("==5", ("5", "p5"), ("5", "p5"))]


def test_a_harvest_writes_rules_and_sources(catalog: Path) -> None:
    changed, _ = harvest(vllm.PROJECT, [OLD, NEW, NEXT], catalog, DAY)
    assert {path.name for path in changed} == {
        "device-harvest.toml", "features-harvest.toml", "kv-harvest.toml", "lora-harvest.toml",
        "model-harvest.toml",
        "weights-harvest.toml", "vllm-0.13.0.toml", "vllm-0.14.0.toml", "vllm-0.16.0.toml",
    }  # fmt: skip
    rules = {rule.id: rule for rule in lint_rules.read_all(catalog)}
    new = rules["vllm/model-harvest#newforcausallm-su-0.14.0"]
    assert (new.versions, new.says, new.origin) == (">=0.14.0,<=0.16.0", "supported", "harvest")
    assert new.sources == tuple(
        f"vllm-{v}#vllm/model_executor/models/registry.py" for v in ("0.14.0", "0.16.0")
    )
    assert rules["vllm/model-harvest#oldforcausallm-un-0.13.0"].note == (
        "It was supported until 0.9.2 and is refused since."
    )
    gate = rules["vllm/weights-harvest#awq-marlin-7.5-su-0.14.0"]
    assert gate.topic == "gate"
    assert gate.hardware >= {"sm_75", "sm_120"}
    assert "sm_70" not in gate.hardware
    assert rules["vllm/lora-harvest#plainforcausallm-un-0.13.0"].features == {"lora"}
    assert "vllm/device-harvest#sm-120-su-0.13.0" not in rules  # only with some toolkits
    assert not list(lint_rules.overlaps(tuple(rules.values())))


def test_parsers_are_features_that_a_release_offers_or_lacks(catalog: Path) -> None:
    path = "vllm/tool_parsers/new.py"
    old = Facts(project="vllm", version="0.13.0", tables={"tool parsers": table({"a_b": (True, path)})})
    names = {"a_b": (True, path), "new": (True, path)}
    new = Facts(project="vllm", version="0.14.0", tables={"tool parsers": table(names)})
    harvest(vllm.PROJECT, [old, new], catalog, DAY)
    found = {rule.id.partition("#")[2]: rule for rule in lint_rules.read_all(catalog) if rule.features}
    assert found["tool-parser-a_b-su-0.13.0"].versions == ">=0.13.0,<=0.14.0"
    assert found["tool-parser-new-su-0.14.0"].features == {"tool-parser:new"}
    lacks = found["tool-parser-new-un-0.13.0"]
    assert (lacks.says, lacks.sources) == ("unsupported", ("vllm-0.13.0#vllm/tool_parsers",))


def test_rules_by_hand_win_and_stay_as_they_are(catalog: Path) -> None:
    _, left_out = harvest(vllm.PROJECT, [OLD, NEW], catalog, DAY)
    assert (catalog / "rules/vllm/weights.toml").read_text("utf-8") == HAND
    assert left_out == ["weights awq-8.0: vllm/weights#awq (0.13.0)"]
    names = {rule.id for rule in lint_rules.read_all(catalog)}
    assert "vllm/weights-harvest#awq-8.0-below-un-0.13.0" in names
    assert "vllm/weights-harvest#awq-8.0-su-0.13.0" not in names
    assert "vllm/weights-harvest#awq-7.5-su-0.14.0" in names


def test_a_second_harvest_changes_nothing(catalog: Path) -> None:
    harvest(vllm.PROJECT, [OLD, NEW], catalog, DAY)
    before = state(catalog)
    changed, _ = harvest(vllm.PROJECT, [OLD, NEW], catalog, date(2027, 1, 1))
    assert changed == []
    assert state(catalog) == before
    harvest(vllm.PROJECT, [OLD, NEW, NEXT], catalog, date(2027, 1, 1))
    text = (catalog / "rules/vllm/model-harvest.toml").read_text("utf-8")
    assert 'checked_on = "2027-01-01"' in text


def test_a_file_by_hand_is_never_written_over(catalog: Path) -> None:
    path = catalog / "rules/vllm/model-harvest.toml"
    path.write_text(HAND.replace("weights", "model"), "utf-8")
    before = path.read_bytes()
    with pytest.raises(CatalogError, match=r"model-harvest.toml was written by hand"):
        harvest(vllm.PROJECT, [OLD], catalog, DAY)
    assert path.read_bytes() == before


def test_a_harvested_file_that_says_nothing_any_more_goes(catalog: Path) -> None:
    harvest(vllm.PROJECT, [OLD], catalog, DAY)
    rule_files.write_rules(catalog, vllm.PROJECT, [], {}, DAY)
    assert [path.name for path in (catalog / "rules/vllm").iterdir()] == ["weights.toml"]


def test_new_releases_are_added_to_the_list(catalog: Path) -> None:
    path = catalog / "runtimes/vllm.toml"
    before = path.read_text("utf-8")
    assert rule_files.write_releases(catalog, "vllm", ["0.14.0", "0.33"], DAY) == []
    assert path.read_text("utf-8") == before
    assert rule_files.write_releases(catalog, "vllm", ["0.14.0", "0.14.7", "0.99.0"], date(2027, 1, 1)) == [
        path
    ]
    text = path.read_text("utf-8")
    assert '"0.14.1", "0.14.7", "0.15.0"' in text.replace("\n    ", " ")
    assert text.endswith('"0.99.0",\n]\n')
    assert 'checked_on = "2027-01-01"' in text


def test_two_releases_read_as_release_notes() -> None:
    assert notes(OLD, NEW) == [
        "vllm 0.13.0 -> 0.14.0",
        "  new architectures: NewForCausalLM",
        "  awq 8.0 -> 7.5 (quantisation methods)",
        "  awq_marlin 8.0 -> 7.5 (quantisation methods)",
    ]
    assert notes(NEW, NEXT)[1:] == ["  nothing of what is read here has changed"]


def test_the_command_words_its_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--diff", "vlm", "1.0", "2.0", "--cache", str(tmp_path)]) == 2
    assert "error: 'vlm' cannot be harvested\nhint: one of vllm, sglang" in capsys.readouterr().err
    for version in ("1.0", "2.0"):
        packages.tarball(tmp_path / f"peft-{version}.tar.gz", packages.peft())
    assert main(["--diff", "peft", "1.0", "2.0", "--cache", str(tmp_path)]) == 0
    assert "nothing of what is read here has changed" in capsys.readouterr().out
    assert main(["--show", "peft", "1.0", "--cache", str(tmp_path)]) == 0
    assert '"q_proj,v_proj"' in capsys.readouterr().out
    (tmp_path / "peft-3.0.tar.gz").write_bytes(b"nothing")
    assert main(["--show", "peft", "3.0", "--cache", str(tmp_path)]) == 2
    assert "peft-3.0.tar.gz: cannot be read as an archive" in capsys.readouterr().err
