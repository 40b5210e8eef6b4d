"""Risks: the order is documented, conditions exclude, what the bill says is said."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core import risks
from plimsoll.domain.failure import KnownFailure
from plimsoll.domain.machine import Device, Machine
from plimsoll.domain.risk import CHANCES, COSTS, MachineRisk, Risk
from plimsoll.domain.rule import Verdict

RISK = Risk(id="a", title="a", chance="possible", cost="slows", basis="machine", why="w", before="b")
FAILURE = KnownFailure(
    id="vllm/a", title="a", texts=(("out of * memory here",),), cause="It is full.", fix="Free some.",
    cause_basis="thread", severity="hangs", urls=("https://example.org",), checked_on="2026-11-26",
    runtimes=frozenset({"vllm"}), hardware=frozenset({"sm_120"}),
)  # fmt: skip
CARD = Device(
    id="gpu0", name="RTX 5090", vendor="nvidia", architecture="blackwell", backend="cuda",
    memory_bytes=32 << 30, catalog_id="rtx-5090",
)  # fmt: skip
OF_CARD = MachineRisk(
    id="machine/a", title="a", chance="reported", cost="damage", why="w", before="b", notice="n",
    urls=("https://example.org",), checked_on="2026-11-26",
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(CHANCES), st.sampled_from(COSTS)), max_size=8))
def test_the_weightiest_come_first_and_none_is_lost(kinds: list[tuple[str, str]]) -> None:
    made = [replace(RISK, id=str(i), chance=c, cost=k) for i, (c, k) in enumerate(kinds)]  # type: ignore[arg-type]
    found = risks.ordered(made)
    assert sorted(r.id for r in found) == sorted(r.id for r in made)
    assert [r.weight for r in found] == sorted((r.weight for r in made), reverse=True)


def test_of_equal_ones_the_better_attested_comes_first() -> None:
    two = replace(RISK, id="z", title="z", urls=("https://a.org", "https://b.org"))
    assert [r.id for r in risks.ordered([RISK, two])] == ["z", "a"]


def told(**changes: object) -> list[str]:
    asked = {"runtime": "vllm", "hardware": frozenset({"sm_120"}), "models": frozenset({"llama"}), **changes}
    failure = asked.pop("failure", FAILURE)
    return [r.id for r in risks.of_failures([failure], **asked)]  # type: ignore[arg-type, list-item]


def test_a_reported_failure_is_a_risk_only_for_its_card_model_and_runtime() -> None:
    assert told() == ["failure/vllm/a"]
    assert told(runtime="sglang") == []
    assert told(hardware=frozenset({"sm_86"})) == []
    assert told(failure=replace(FAILURE, models=frozenset({"gpt_oss"}))) == []
    assert told(failure=replace(FAILURE, hardware=frozenset())) == []
    assert told(failure=replace(FAILURE, tier="symptom")) == []


def test_its_line_in_the_log_is_how_to_notice_it() -> None:
    found = risks.of_failures([FAILURE], runtime="vllm", hardware=frozenset({"sm_120"}), models=frozenset())
    assert found[0].notice == "'out of  …  memory here'"
    assert (found[0].chance, found[0].cost) == ("reported", "hangs")


def of_machine(risk: MachineRisk, *, cards: int = 1, system: str = "", is_offloaded: bool = False) -> int:
    machine = Machine(name="m", devices=tuple(replace(CARD, id=f"gpu{i}") for i in range(cards)))
    hardware = frozenset({"sm_120"})
    return len(risks.of_machine([risk], machine, hardware=hardware, system=system, is_offloaded=is_offloaded))


def test_a_machine_risk_holds_where_all_its_conditions_do() -> None:
    assert of_machine(OF_CARD) == 1
    assert of_machine(replace(OF_CARD, devices=frozenset({"rtx-5090"}))) == 1
    assert of_machine(replace(OF_CARD, devices=frozenset({"rtx-4090"}))) == 0
    assert of_machine(replace(OF_CARD, hardware=frozenset({"sm_89"}))) == 0
    assert of_machine(replace(OF_CARD, least_devices_count=2)) == 0
    assert of_machine(replace(OF_CARD, least_devices_count=2), cards=2) == 1
    assert of_machine(replace(OF_CARD, needs_offload=True)) == 0
    assert of_machine(replace(OF_CARD, needs_offload=True), is_offloaded=True) == 1


def test_an_untold_system_is_taken_for_linux() -> None:
    windows = replace(OF_CARD, systems=frozenset({"windows"}))
    linux = replace(OF_CARD, systems=frozenset({"linux"}))
    assert (of_machine(windows), of_machine(windows, system="windows")) == (0, 1)
    assert (of_machine(linux), of_machine(linux, system="windows")) == (1, 0)


def test_rules_that_refuse_or_slow_are_risks_and_so_is_silence_where_it_decides() -> None:
    verdicts = [
        Verdict(aspect="weights", outcome="penalty", note="Slow."),
        Verdict(aspect="attention", outcome="unsupported", note="No."),
        Verdict(aspect="model", outcome="unknown", note="Nobody."),
        Verdict(aspect="tools", outcome="unknown", note="Nobody."),
        Verdict(aspect="kv", outcome="native", note="Yes."),
    ]
    found = {r.id: (r.chance, r.cost) for r in risks.of_verdicts(verdicts)}
    assert found == {
        "rules/weights": ("seen here", "slows"),
        "rules/attention": ("seen here", "stops"),
        "rules/model": ("possible", "stops"),
    }
