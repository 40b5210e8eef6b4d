"""The answer of `train-plan` in words, tables and a bar."""

from __future__ import annotations

from plimsoll.domain.bill import Line
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.training import Beside, TrainingAnswer
from plimsoll.doors.cli.text import say, table
from plimsoll.units import format_bytes, format_count, format_parameters, format_seconds

_WORDS = {"fits": "FITS", "tight": "TIGHT", "does_not_fit": "DOES NOT FIT", "unknown": "UNKNOWN"}
_COLOURS = {"fits": "green", "tight": "yellow", "does_not_fit": "red", "unknown": "yellow"}
_PHASES = {
    "loss": "forward pass and loss", "backward": "backward pass", "step": "the optimiser's step",
}  # fmt: skip


def show(answer: TrainingAnswer, *, why: bool, written: str) -> None:
    """Print the verdict, the bill, time, disk and what would help to stdout."""
    _verdict(answer)
    setup = answer.setup
    share = 100 * answer.trained_values_count / max(1, answer.parameters_count)
    what = f"{setup.method}, rank {setup.rank}" if answer.attachment.pairs else setup.method
    where = ", ".join((*answer.attachment.names, *answer.attachment.parameters))
    say(f"{answer.model} on {answer.machine}: {what}{f' on {where}' if where else ''}", bold=True)
    say(
        f"{format_parameters(answer.trained_values_count)} of {format_parameters(answer.parameters_count)} "
        f"parameters train ({share:.2g} %), as {setup.framework.name} {setup.framework.version} keeps them"
    )
    if answer.attachment.refusal:
        return
    say()
    _bill(answer.bill.lines, answer.bill.devices[0].id)
    say()
    for p in answer.memory.phases:
        mark = "▸" if p.phase == answer.memory.peak else " "
        say(
            f"{mark} {_PHASES[p.phase]}: {format_bytes(p.value)} "
            f"({format_bytes(p.low)} … {format_bytes(p.high)})"
        )
    say()
    _time(answer)
    _disk(answer)
    if answer.beside:
        _beside(answer.beside, answer.time)
    for remedy in answer.remedies:
        say(f"would help: {remedy}")
    for unknown in answer.unknowns:
        say(f"unknown: {unknown}", fg="yellow")
    for note in answer.notes:
        say(f"note: {note}")
    _files(answer, written)
    if why:
        _why(answer)
    else:
        say("--why shows every number's formula and inputs", dim=True)


def _verdict(answer: TrainingAnswer) -> None:
    if answer.attachment.refusal:
        say(f"CANNOT  {answer.attachment.refusal}", fg="red", bold=True)
        return
    room = answer.headroom_bytes
    told = (
        f"{format_bytes(-room)} missing"
        if answer.verdict == "does_not_fit" and room < 0
        else f"{format_bytes(room)} left"
    )
    more = f"; {answer.reason}" if answer.reason else ""
    say(f"{_WORDS[answer.verdict]}  {told}{more}", fg=_COLOURS[answer.verdict], bold=True)


def _bill(lines: tuple[Line, ...], device: str) -> None:
    here = [x for x in lines if x.device == device]
    rows: list[tuple[str, ...]] = [
        (x.component, x.label, format_bytes(x.size_bytes), _between(x), x.basis) for x in here
    ]
    rows.append(("", "together", format_bytes(sum(x.size_bytes for x in here)), "", ""))
    table(("component", "what", "size", "from … to", "basis"), rows, right=(2, 3))


def _between(line: Line) -> str:
    if line.low_bytes == line.high_bytes:
        return ""
    return f"{format_bytes(line.low_bytes)} … {format_bytes(line.high_bytes)}"


def _time(answer: TrainingAnswer) -> None:
    say(f"{format_count(answer.steps_count)} steps")
    for e in answer.time:
        say(f"time: {_span(e)}; learnt from {e.samples_count} published runs, 8 of 10 within")


def _span(e: Estimate) -> str:
    return f"{_long(e.value)} ({_long(e.low)} … {_long(e.high)})"


def _long(seconds: float) -> str:
    if seconds < 7200:
        return format_seconds(seconds)
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _disk(answer: TrainingAnswer) -> None:
    total = sum(x.total_bytes for x in answer.disk)
    parts = ", ".join(
        f"{x.label} {f'{x.count} x ' if x.count > 1 else ''}{format_bytes(x.size_bytes)}" for x in answer.disk
    )
    say(f"disk: {format_bytes(total)} ({parts})")
    if answer.adapter_file_bytes:
        say(
            f"adapter file: {format_bytes(answer.adapter_file_bytes)} "
            f"({format_count(answer.adapter_file_bytes)} bytes)"
        )


def _beside(beside: Beside, time: tuple[Estimate, ...]) -> None:
    where = f"{beside.sequences_count} x {format_count(beside.context_tokens)} tokens"
    if beside.reason:
        say(f"inference cannot stay: {beside.reason}", fg="red")
    elif beside.verdict == "does_not_fit":
        say(
            f"inference cannot stay: {beside.model} needs {format_bytes(beside.inference_bytes)} ({where})",
            fg="red",
        )
        if time:
            say(f"stopped, it is away for {_span(time[0])}")
    else:
        most = (
            f", contexts up to {format_count(beside.longest_context_tokens)} tokens"
            if beside.longest_context_tokens
            else ""
        )
        say(f"inference may stay: {beside.model}, {format_bytes(beside.inference_bytes)} ({where}{most})")


def _files(answer: TrainingAnswer, written: str) -> None:
    for file in answer.files:
        if written:
            say(f"wrote {written}/{file.name} ({file.program} {file.version}): {file.command}")
        else:
            say(f"\n# {file.name} for {file.program} {file.version}: {file.command}", dim=True)
            say(file.text.rstrip())


def _why(answer: TrainingAnswer) -> None:
    say()
    for x in answer.bill.lines:
        given = ", ".join(f"{name} = {value}" for name, value in x.inputs.items())
        say(f"{x.label}: {format_bytes(x.size_bytes)} ({x.basis})")
        say(f"  formula  {x.formula}({given})", dim=True)
    for e in answer.time:
        given = ", ".join(f"{name} = {value:,.4g}" for name, value in e.inputs.items())
        say(f"time: {_span(e)} ({e.basis})")
        say(f"  formula  {e.formula}({given})", dim=True)
    for line in answer.disk:
        say(f"{line.label}: {format_bytes(line.size_bytes)}")
        say(f"  formula  {line.formula}", dim=True)
    say("\nsources:")
    for source in answer.sources:
        say(f"  {source.url}", dim=True)
