"""`plimsoll risks` as it is typed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from plimsoll.catalog import machine_risks
from plimsoll.catalog.machine_risks import problems
from plimsoll.domain.risk import CHANCE_ORDER, COST_ORDER
from plimsoll.doors.cli.main import cli
from plimsoll.errors import BadSetting, PlimsollError


def asked(*words: str) -> dict[str, object]:
    result = CliRunner().invoke(cli, ["risks", *words, "--offline", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    answer: dict[str, object] = json.loads(result.output)
    return answer


def ids(answer: dict[str, object]) -> list[str]:
    return [risk["id"] for risk in answer["risks"]]  # type: ignore[attr-defined]


def test_two_workstation_cards_hear_of_connector_firmware_and_iommu_first() -> None:
    found = asked("gpt-oss-120b", "--on", "2x rtx-pro-6000", "--runtime", "vllm")
    assert ids(found)[0] == "machine/power-connector"
    assert {"machine/gsp-halt-workstation", "machine/iommu-acs-hang"} <= set(ids(found)[:4])
    weights = [
        CHANCE_ORDER[r["chance"]] * COST_ORDER[r["cost"]]  # type: ignore[index]
        for r in found["risks"]  # type: ignore[attr-defined]
    ]
    assert weights == sorted(weights, reverse=True)


def test_what_does_not_fit_comes_first_with_the_line_the_runtime_will_print() -> None:
    found = asked("DeepSeek-V3", "--on", "rtx-3090", "--runtime", "vllm")
    first = found["risks"][0]  # type: ignore[index]
    assert first["id"] == "memory/does-not-fit"
    assert "No available memory for the cache blocks" in first["notice"]


def test_a_mac_and_strix_halo_have_risks_of_their_own() -> None:
    mac = asked("gpt-oss-120b", "--on", "m3-ultra-96gb", "--runtime", "mlx")
    halo = asked("gpt-oss-120b", "--on", "strix-halo", "--runtime", "llama.cpp")
    assert "machine/mac-kernel-panic" in ids(mac)
    assert "machine/strix-halo-gtt" in ids(halo)
    assert "machine/strix-halo-gtt" not in ids(mac)


def test_a_failure_that_the_release_no_longer_has_is_left_out() -> None:
    name = "failure/vllm/flashinfer-cutlass-moe-sm120"
    old = asked("gpt-oss-120b", "--on", "rtx-pro-6000", "--runtime", "vllm==0.15.0")
    new = asked("gpt-oss-120b", "--on", "rtx-pro-6000", "--runtime", "vllm")
    assert name in ids(old)
    assert name not in ids(new)


def test_the_page_file_is_a_risk_on_windows_only() -> None:
    words = ("gpt-oss-20b", "--on", "rtx-4090", "--runtime", "llama.cpp")
    assert "machine/windows-page-file" not in ids(asked(*words))
    assert "machine/windows-page-file" in ids(asked(*words, "--os", "windows-11"))


def test_text_says_what_to_do_before_and_how_to_notice() -> None:
    result = CliRunner().invoke(cli, ["risks", "gpt-oss-20b", "--on", "rtx-5090", "--offline"])
    assert result.exit_code == 0
    for word in ("why:", "before:", "notice:", "https://", "checked on"):
        assert word in result.output


def test_no_model_of_that_name_is_an_error_not_a_risk() -> None:
    with pytest.raises(PlimsollError):
        CliRunner().invoke(
            cli, ["risks", "gpt-oss-121b", "--on", "rtx-5090", "--offline"], catch_exceptions=False
        )


def test_every_machine_risk_has_a_source_and_a_bad_one_is_refused() -> None:
    assert all(risk.urls and risk.checked_on for risk in machine_risks.load())
    assert list(problems({"name": "x"}))
    whole = {
        "name": "x", "title": "t", "chance": "seen here", "cost": "stops", "why": "w", "before": "b",
        "notice": "n", "urls": ["https://example.org"],
    }  # fmt: skip
    assert "it must say which devices, hardware or systems have it" in list(problems(whole))
    assert any(problem.startswith("chance is") for problem in problems(whole))


@pytest.mark.parametrize(("option", "value"), [("--os", "beos"), ("--driver", "new")])
def test_a_system_or_driver_nobody_knows_is_refused(option: str, value: str) -> None:
    with pytest.raises(BadSetting, match=value):
        asked("gpt-oss-120b", "--on", "rtx-pro-6000", option, value)
