"""The catalog passes its own checks, and each check finds its bad example."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plimsoll.catalog import lint, lint_failures, lint_rules, lint_sources
from plimsoll.catalog.index import architecture_index, device_index, device_records, model_index, written

BAD = Path(__file__).parent / "bad"
# What each bad example must be told, word for word.
EXPECTED = {
    "check_id_is_path.toml": ["vendor is 'amd'", "id is 'rtx-9999'"],
    "check_loads.toml": ["unexpected keyword argument 'shader_count'"],
    "check_loads.json": ["unexpected keyword argument 'colour'"],
    "check_source_file.toml": ["kind 'rumour'", "url is not a web address"],
    "check_sources_exist.toml": ["'nowhere' has no file"],
    "check_sources_opened.toml": [
        "'opened-early' was opened on 2026-11-20, before",
        "README.md' was never opened",
    ],
    "check_device_sourced.toml": ["power_limit_watts has no source", "l2_bytes, which is not", "is empty"],
    "check_model_sourced.json": ["there is no source", "base_model does not name it"],
    "check_ranges.toml": ["power_limit_watts is", "memory.nominal_bytes is 24", "bandwidth", "fp16 is 71.0"],
    "check_memory_order.toml": ["more than the", "needs memory.basis", "above the theoretical"],
    "check_flops_order.toml": ["fp8 is slower than fp16"],
    "check_config.json": ["layer_types_summary is a summary", "is shortened: '<list of 449>'"],
    "check_config_keys.toml": [
        "change is 'perhaps'",
        "go together",
        "means is not a sentence",
        "means and because",
        "unknown runtimes: abacus",
        "size is given twice",
    ],
    "check_acceptance.csv": [
        "line 2: target 'nobody/none'",
        "line 3: method 'guess'",
        "line 4: an MTP layer",
        "line 5: 0 drafted tokens",
        "line 6: tells tokens per step or the share",
        "line 7: more is accepted than was drafted",
        "line 8: source 'a friend'",
        "line 9: could not convert",
    ],
    "check_prices.csv": [
        "line 2: device 'rtx-9999'",
        "line 2: tier 'cheap'",
        "line 3: a price to buy is not per hour",
        "line 4: currency 'EURO'",
        "line 5: 145 USD per hour is outside 0.02 to 30",
        "line 6: date 'yesterday'",
        "line 6: source 'a friend'",
        "line 7: price_max 0.1 is not above 0.2",
        "line 8: could not convert string to float: 'free'",
        "line 9: names a device or an item",
        "line 10: -1 USD",
        "line 10: -1 is not above 0",
        "line 12: the same price is given twice",
    ],
    "check_rule_file.toml": [
        "the file is",
        "twice: it has no source",
        "twice: penalty, inefficient and unsupported need a note",
        "twice: its note is not a sentence",
        "'last week' is not a day",
        "the name is given twice",
        "rule 3: it has no name",
    ],
    "check_stack_file.toml": ["checked_on and sources must be given", "0.33.0 is given twice"],
    "check_ui_file.toml": [
        "'splendid' is not one of",
        "rag: it has no source",
        "note is not a sentence",
        "mcp: leave out what is not known",
    ],
    "check_failure_file.toml": [
        "which is not the file's name",
        "short: unknown keys colour",
        "short: severity is 'annoys'",
        "short: cause_basis is 'gossip'",
        "short: urls must name",
        "short: cause is not a sentence",
        "'oom' needs 10 letters",
        "'*x*' needs 10 letters",
        "short: checked_on is not a day",
        "short: the name is given twice",
        "short: lacks cause, cause_basis, fix",
    ],
    "check_runtime_loads.toml": ["must be given", "0.1.0 does not come after 0.2.0"],
    "check_layer_lists.json": ["layer_types has 1 values for 3 layers"],
    "check_quality_loads.csv": ["line 2: columns: colour, error", "line 2"],
    "check_quality_rows.csv": [
        "line 2: metric is 'perplexity'",
        "line 2: kind is 'sparse'",
        "line 2: dataset is empty",
        "line 3: value is 0.02, outside 0.8",
        "line 3: benchmark is told",
        "line 4: a quantised cache",
        "line 6: the same as line 5",
    ],
    "check_quality_sources.csv": ["source 'nowhere#discussions/8' has no file"],
}


def test_the_catalog_has_no_findings() -> None:
    assert lint.lint() == []


def test_every_check_has_a_bad_example() -> None:
    used = {check.__name__ for checks in lint.CHECKS.values() for check in checks}
    assert {path.stem for path in BAD.iterdir()} == used
    assert {path.name for path in BAD.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_bad_example_is_found(name: str) -> None:
    path = BAD / name
    data = lint.read(path)
    folder = {".json": "models/org", ".toml": "devices/nvidia", ".csv": "quality"}[path.suffix]
    shown = f"{folder}/{name}"
    if path.stem == "check_rule_file":
        shown = "rules/vllm/kv.toml"
    places = (lint, lint_rules, lint_failures, lint_sources)
    check = next(getattr(place, path.stem) for place in places if hasattr(place, path.stem))
    opened = {"opened-early": "2026-11-20", "never-opened": ""}
    found = list(check(lint.Entry(path=shown, data=data, sources=opened)))
    for wanted in EXPECTED[name]:
        assert any(wanted in finding for finding in found), (wanted, found)


def small_catalog(folder: Path) -> Path:
    """A copy with two devices, one model and all sources."""
    for name in (
        "devices/nvidia/rtx-3090.toml",
        "devices/nvidia/rtx-4090.toml",
        "models/openai/gpt-oss-20b.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lint.CATALOG / name, folder / name)
    shutil.copytree(lint.CATALOG / "config_keys", folder / "config_keys")
    shutil.copytree(lint.CATALOG / "quality", folder / "quality")
    shutil.copytree(lint.CATALOG / "sources", folder / "sources")
    shutil.copytree(lint.CATALOG / "runtimes", folder / "runtimes")
    shutil.copytree(lint.CATALOG / "rules", folder / "rules")
    shutil.copytree(lint.CATALOG / "stacks", folder / "stacks")
    shutil.copytree(lint.CATALOG / "uis", folder / "uis")
    shutil.copytree(lint.CATALOG / "failures", folder / "failures")
    (folder / "devices/index.json").write_text(written(device_index(folder / "devices")))
    (folder / "devices/records.jsonl").write_text(device_records(folder / "devices"))
    (folder / "models/index.json").write_text(written(model_index(folder / "models")))
    (folder / "models/architectures.json").write_text(written(architecture_index(folder / "models")))
    return folder


def test_a_copy_of_good_files_is_good(tmp_path: Path) -> None:
    assert lint.lint(small_catalog(tmp_path)) == []


def test_a_file_that_is_no_toml_is_a_finding(tmp_path: Path) -> None:
    catalog = small_catalog(tmp_path)
    (catalog / "devices/nvidia/rtx-3090.toml").write_text("id = ")
    assert lint.lint(catalog)[0].startswith("devices/nvidia/rtx-3090.toml: cannot be read")


def test_one_name_for_two_devices_is_a_finding(tmp_path: Path) -> None:
    catalog = small_catalog(tmp_path)
    path = catalog / "devices/nvidia/rtx-4090.toml"
    path.write_text(path.read_text().replace('aliases = ["4090"]', 'aliases = ["4090", "RTX 3090"]'))
    assert "devices: 'rtx3090' means rtx-3090, rtx-4090" in lint.lint(catalog)


def test_a_stale_index_is_a_finding(tmp_path: Path) -> None:
    catalog = small_catalog(tmp_path)
    (catalog / "models/index.json").write_text("{}")
    assert lint.lint(catalog) == ["models/index.json is stale: run python -m plimsoll.catalog.index"]


def test_rules_left_over_in_an_index_are_a_finding(tmp_path: Path) -> None:
    catalog = small_catalog(tmp_path)
    (catalog / "rules/vllm/ui.json").write_text("[]")
    assert lint.lint(catalog) == ["rules/vllm/ui.json is stale: run python -m plimsoll.catalog.index"]


def test_the_command_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lint.main([str(small_catalog(tmp_path))]) == 0
    assert capsys.readouterr().err == "0 findings\n"
