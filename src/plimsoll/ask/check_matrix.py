"""Formats x runtimes on a machine, or kinds of hardware x runtimes for a format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plimsoll import __version__
from plimsoll.ask import check as single
from plimsoll.ask import models
from plimsoll.catalog import releases as release_lists
from plimsoll.catalog import rules as rule_files
from plimsoll.core import check as core
from plimsoll.domain.check_tables import Cell, Matrix
from plimsoll.domain.rule import Aspect, Situation, Verdict
from plimsoll.errors import BadSetting

# Formats of checkpoints, roughly by their bits; names that only one runtime uses are left out.
FORMATS = (
    "bf16", "f16", "fp8", "fp8_block", "int8", "mxfp8", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "q3_k",
    "q2_k",
    "iq4_xs", "iq3_s", "iq2_xs", "iq1_s", "nvfp4", "mxfp4", "awq", "gptq", "w4a16", "bnb_nf4", "exl3", "exl2",
    "mlx-8bit", "mlx-4bit", "aqlm", "hqq",
)  # fmt: skip
_BACKENDS = {"nvidia": "cuda", "amd": "rocm", "apple": "metal", "cpu": "cpu", "intel": "sycl",
             "huawei": "cann", "qualcomm": "hexagon"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixQuestion:
    """What was asked: `weights` without `on` means rows of hardware instead of formats."""

    model: str = ""
    on: str | None = None
    weights: str = ""
    offline: bool = False


def matrix(question: MatrixQuestion) -> Matrix:
    """Every field is the worst of device, format and, with a model, the model in the newest release."""
    names: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    about = ""
    aspects: tuple[Aspect, ...] = ("device", "weights")
    if question.model:
        model = models.load(question.model, offline=question.offline)
        names, features = frozenset(single.names_of(model.architecture)), single.features_of(model)
        aspects = (*aspects, "attention", "model", *(("moe",) if "moe" in features else ()))
        about = f", {model.id}"
    engines = [r for r in release_lists.load_all().values() if r.kind == "engine"]
    if question.weights and question.on is None:
        chosen = _format(question.weights)
        rows = [(str(facts["title"]), name, chosen) for name, facts in _hardware() if name]
        title = f"{chosen} by hardware and runtime{about}"
        notes: list[str] = []
    else:
        machine, notes = single.machine_of(question.on)
        hardware, _ = single.hardware_of(machine, "")
        wanted = [_format(question.weights)] if question.weights else list(FORMATS)
        rows = [(name, hardware, name) for name in wanted]
        title = f"{machine.name}: formats by runtime{about}"
    cells = [
        _cell(label, releases, _situation(hardware, weights, names, features), aspects)
        for label, hardware, weights in rows
        for releases in engines
    ]
    notes.append(
        "each runtime in its newest known release; whether it fits in memory is plimsoll fit's question"
    )
    return Matrix(
        question="check --matrix", title=title, rows=tuple(label for label, _, _ in rows),
        columns=tuple(r.name for r in engines), cells=tuple(cells), notes=tuple(notes),
        oldest_check=min((cell.checked_on for cell in cells if cell.checked_on), default=""),
        versions={"plimsoll": __version__, **{r.name: r.newest for r in engines}},
    )  # fmt: skip


def _hardware() -> Sequence[tuple[str, dict[str, object]]]:
    return list(rule_files.vocabulary()["hardware"].items())


def _format(text: str) -> str:
    found = rule_files.format_of(text)
    if not found:
        raise BadSetting(f"no rule knows a weight format {text!r}", hint=f"such as {', '.join(FORMATS[:6])}")
    return found


def _situation(hardware: str, weights: str, names: frozenset[str], features: frozenset[str]) -> Situation:
    facts = rule_files.vocabulary()["hardware"].get(hardware, {})
    return Situation(
        runtime="", hardware=hardware, backend=_BACKENDS.get(str(facts.get("vendor", "")), ""),
        weights=weights, models=names, features=features,
    )  # fmt: skip


def _cell(label: str, releases: release_lists.Releases, asked: Situation, aspects: Sequence[Aspect]) -> Cell:
    from dataclasses import replace

    newest = release_lists.release_of(releases, "")
    situation = replace(asked, runtime=releases.id, release=newest.place)
    verdicts = [core.verdict(single.known_rules(), situation, aspect) for aspect in aspects]
    outcome = core.overall(verdicts)
    deciding = _deciding(verdicts, outcome)
    return Cell(
        row=label, column=releases.name, outcome=outcome, note=deciding.note if deciding else "",
        checked_on=deciding.checked_on if deciding else "", sources=deciding.sources if deciding else (),
    )  # fmt: skip


def _deciding(verdicts: Sequence[Verdict], outcome: str) -> Verdict | None:
    return next((v for v in verdicts if v.outcome == outcome and v.sources), None)
