"""Real runs against the bill: every file of tests/cases (its README says what the keys mean)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from plimsoll.ask.machine import resolve
from plimsoll.ask.models import from_catalog
from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import Deployment, Runtime, Split, Workload
from plimsoll.runtimes import memory_of

FOLDER = Path(__file__).parent / "cases"
KEYS = {
    "id", "source", "model", "on", "weights", "kv", "context_tokens", "sequences", "settings", "component",
    "seen", "seen_bytes", "within_percent", "in_interval", "runtime", "version", "split", "seen_value",
}  # fmt: skip


def _cases() -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        for case in data["case"]:
            case["runtime"] = data["runtime"]
            found.append(pytest.param(case, id=f"{path.stem}/{case['id']}"))
    return found


def _deployment(case: dict[str, Any]) -> Deployment:
    keys, _, values = case.get("kv", "auto").partition("_q")  # 'q4_q8'; other names have underscores, too
    values = f"q{values}" if values else ""
    return Deployment(
        model=from_catalog(case["model"]), machine=resolve(case["on"]),
        runtime=Runtime(id=case["runtime"], version=case.get("version", "")),
        workload=Workload(
            context_tokens=case["context_tokens"], parallel_sequences_count=case.get("sequences", 1)
        ),
        weight_format=case["weights"], kv_format_k=keys, kv_format_v=values or keys,
        settings=case.get("settings", {}), split=Split(kind=case.get("split", "none")),
    )  # fmt: skip


@pytest.mark.parametrize("case", _cases())
def test_what_was_seen_is_what_we_say(case: dict[str, Any]) -> None:
    assert case.keys() <= KEYS
    assert case["source"].startswith("https://")
    deployment = _deployment(case)
    assert memory_of(case["runtime"]).problems(deployment) == ()
    if "seen_value" in case:
        found = {e.quantity: e for e in memory_of(case["runtime"]).estimates(deployment)}[case["component"]]
        assert abs(found.value - case["seen_value"]) <= case["seen_value"] * case["within_percent"] / 100
        assert not case.get("in_interval") or found.low <= case["seen_value"] <= found.high
        return
    on_devices = [x for x in memory_of(case["runtime"]).lines(deployment) if x.device != HOST]
    if case.get("split") in ("tensor", "expert"):  # a log speaks of one rank
        on_devices = [x for x in on_devices if x.device == deployment.machine.devices[0].id]
    if case["component"] == "fits":
        free = sum(d.memory_bytes - d.reserved_bytes for d in deployment.machine.devices)
        assert (sum(x.size_bytes for x in on_devices) <= free) is case["seen"]
        return
    wanted = case["component"]
    lines = [
        x for x in on_devices if x.component == wanted or (wanted == "total" and x.component != "reserved")
    ]
    size, seen = sum(x.size_bytes for x in lines), case["seen_bytes"]
    assert abs(size - seen) <= seen * case["within_percent"] / 100
    if case.get("in_interval"):
        assert sum(x.low_bytes for x in lines) <= seen <= sum(x.high_bytes for x in lines)
