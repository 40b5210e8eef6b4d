"""The answer of `plan` as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.ask.fit import spelled
from plimsoll.core.goals import quality_words
from plimsoll.domain.plan import Choice, Figure, Part, PlanAnswer
from plimsoll.doors.cli.text import columns_count, say, table
from plimsoll.units import format_bytes, format_count, format_parameters, format_seconds

_BAR_WIDTH = 40
_HEADLINES = {
    "planned": ("PLAN", "green"), "no_plan": ("NO PLAN", "red"), "does_not_fit": ("DOES NOT FIT", "red"),
    "unknown": ("UNKNOWN", "yellow"),
}  # fmt: skip
# What a goal is measured by, and the words for the bars.
_MEASURE = {
    "chat": ("decode", "generation, tokens/s"), "agents": ("turn", "a turn, seconds (shorter is better)"),
    "batch": ("throughput", "all sequences together, tokens/s"),
    "long-context": ("decode", "generation, tokens/s"),
    "max-quality": ("decode", "generation, tokens/s"),
}  # fmt: skip
# The last column of a goal: what it waits for.
_LAST = {"agents": ("a turn", "turn"), "batch": ("all together", "throughput")}


def show(answer: PlanAnswer, *, why: bool, saved: str) -> None:
    """Print the ranking, bars, reasons and notes to stdout."""
    word, colour = _HEADLINES[answer.verdict]
    names = ", ".join(dict.fromkeys(p.model.id for c in answer.choices[:1] for p in c.parts))
    say(f"{word}  {names or answer.reason}{f' on {answer.machine}' if names else ''}", fg=colour, bold=True)
    if names and answer.reason:
        say(answer.reason, fg=colour)
    say(f"{answer.goal}: {answer.objective}")
    if answer.choices:
        say()
        _table(answer)
        _bars(answer)
        _first(answer)
        if answer.verdict != "no_plan":
            _others(answer.choices[1:])
        _counted(answer)
    for note in answer.notes:
        say(f"note: {note}")
    if why:
        _why(answer)
    elif answer.choices:
        say("--why shows what was left out and what nobody checked", dim=True)
    if saved:
        say(f"saved: plimsoll launch {saved}#1")


def show_models(answer: PlanAnswer, *, why: bool, saved: str) -> None:
    """Print the models of the catalog that run well, largest first."""
    word, colour = _HEADLINES[answer.verdict]
    shown = f"{len(answer.choices)} models" if answer.choices else answer.reason
    say(
        f"{word}  {shown} on {answer.machine}" if answer.choices else f"{word}  {shown}", fg=colour, bold=True
    )
    say(f"{answer.goal}: {answer.objective}")
    if answer.choices:
        say()
        rows = [_model_row(c) for c in answer.choices]
        heads = ("", "model", "size", "active", "runtime", "weights", "loss", "tokens/s", "80 %", "left")
        table(heads, rows, right=(2, 3, 7, 8, 9))
    looked, fit = format_count(answer.considered_count), format_count(answer.fitting_count)
    say(
        f"\n{looked} models were looked at, {fit} may fit; every way of one: plimsoll plan MODEL --on MACHINE"
    )
    for note in answer.notes:
        say(f"note: {note}")
    if why:
        for words in answer.left_out:
            say(f"  left out: {words}")
    if saved:
        say(f"saved: plimsoll launch {saved}#1")


def _model_row(choice: Choice) -> tuple[str, ...]:
    part = choice.parts[0]
    decode = part.figures.get("decode")
    loss = "none" if part.loss.basis == "reference" else (
        "unknown" if part.loss.value is None else f"{part.loss.value:.2g}"
    )  # fmt: skip
    return (
        f"{choice.rank}", part.model.id, format_parameters(part.model.parameters_count),
        format_parameters(part.model.active_parameters_count), _runtime(part), part.weight_format, loss,
        _rate(decode), _between(decode), format_bytes(choice.memory_left_bytes),
    )  # fmt: skip


def _table(answer: PlanAnswer) -> None:
    last, quantity = _LAST.get(answer.goal, ("first token", "ttft"))
    heads = ("", "runtime", "weights", "cache", "context", "at once", "tokens/s", "80 %", last, "left")
    rows = []
    for choice in answer.choices:
        for number, part in enumerate(choice.parts):
            decode, other = part.figures.get("decode"), part.figures.get(quantity)
            rows.append(
                (
                    f"{choice.rank}" if number == 0 else "", _runtime(part), part.weight_format,
                    part.kv_format, format_count(part.context_tokens), format_count(part.sequences_count),
                    _rate(decode), _between(decode), _time(other),
                    format_bytes(choice.memory_left_bytes) if number == 0 else "",
                )
            )  # fmt: skip
    table(heads, rows, right=(4, 5, 6, 7, 8, 9))
    costs = {c.cost_per_month.value: c.cost_per_month.unit for c in answer.choices if c.cost_per_month}
    if costs:
        amounts = " or ".join(f"{amount:,.0f}" for amount in sorted(costs))
        say(f"rent of the devices in use: {amounts} {next(iter(costs.values()))}")
    for choice in answer.choices:
        if choice.arrangement == "swapped":
            say(f"{choice.rank}: one model at a time{_loads(choice)}{_else(answer)}")
    if any(not f.is_measured for c in answer.choices for p in c.parts for f in p.figures.values()):
        say("≤ what the hardware allows; nobody measured this runtime for it", dim=True)


def _else(answer: PlanAnswer) -> str:
    return "; the others hold all at once" if any(c.arrangement == "beside" for c in answer.choices) else ""


def _loads(choice: Choice) -> str:
    times = [p.load_seconds for p in choice.parts]
    known = [format_seconds(t) for t in times if t is not None]
    return f", read from disk in {' and '.join(known)}" if known else ""


def _runtime(part: Part) -> str:
    where = f" {part.split}" if part.split != "none" else ""
    return f"{spelled(part.model.runtime)}{where}{f' {part.placement}' if part.placement else ''}"


def _rate(figure: Figure | None) -> str:
    if figure is None:
        return "?"
    return f"{'' if figure.is_measured else '≤'}{_digits(figure.estimate.value)}"


def _digits(value: float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _between(figure: Figure | None) -> str:
    if figure is None or not figure.is_measured:
        return ""
    return f"{figure.estimate.low:,.3g} … {figure.estimate.high:,.3g}"


def _time(figure: Figure | None) -> str:
    if figure is None:
        return "?"
    if figure.estimate.unit != "s":
        return _rate(figure)
    return f"{'' if figure.is_measured else '≥'}{format_seconds(figure.estimate.value)}"


def _bars(answer: PlanAnswer) -> None:
    """The goal's own measure: solid to the slow end, light to what is expected."""
    name, words = _MEASURE[answer.goal]
    drawn = [(c, c.parts[0].figures[name]) for c in answer.choices if name in c.parts[0].figures]
    drawn = [(c, f) for c, f in drawn if f.is_measured]
    if len(drawn) < 2:
        return
    say(f"\n{words}:")
    most = max(
        max(f.estimate.value, f.estimate.low if f.estimate.unit != "s" else f.estimate.high) for _, f in drawn
    )
    width = columns_count(_BAR_WIDTH + 40) - 40
    for choice, figure in drawn:
        e = figure.estimate
        solid, light = (e.value, e.high) if e.unit == "s" else (e.low, e.value)
        cells = round(solid / most * width)
        bar = "█" * cells + "░" * (round(light / most * width) - cells)
        part = choice.parts[0]
        label = f"{choice.rank} {spelled(part.model.runtime)} {part.weight_format}"
        say(f"{label:<24} {bar:<{width}} {_digits(e.value)}")


def _first(answer: PlanAnswer) -> None:
    first = answer.choices[0]
    if first.why:
        say("\nwhy 1 is first:")
        for reason in first.why:
            say(f"  {reason}")
    for part in first.parts:
        say(f"  plimsoll launch {part.flags}", fg="cyan")
    for part in first.parts:
        for words in (*_prices(part), *part.unchecked):
            say(f"  {words}", fg="yellow")


def _prices(part: Part) -> tuple[str, ...]:
    """What the rules say it costs to run in this way."""
    return tuple(f"at a price: {words}" for words in part.compatibility.says)


def _others(others: Sequence[Choice]) -> None:
    for choice in others:
        names = " and ".join(f"{spelled(p.model.runtime)} {p.weight_format}" for p in choice.parts)
        say(f"\n{choice.rank} {names}, against 1:")
        for words in choice.gains:
            say(f"  + {words}")
        for words in (*choice.gives_up, *(w for p in choice.parts for w in _prices(p))):
            say(f"  - {words}")
        if not choice.gains and not choice.gives_up:
            say(f"  {quality_words(choice.parts[0])}")


def _counted(answer: PlanAnswer) -> None:
    shown = len(answer.choices)
    looked, fit, best = map(format_count, (answer.considered_count, answer.fitting_count, answer.front_count))
    say(f"\n{looked} ways were looked at, {fit} fit, {best} are not beaten in everything; {shown} are shown")


def _why(answer: PlanAnswer) -> None:
    say("\nwhat was left out:" if answer.left_out else "\nnothing was left out")
    for words in answer.left_out:
        say(f"  {words}")
    say("\neach way, and what nobody checked of it:")
    for choice in answer.choices:
        for part in choice.parts:
            say(f"  {choice.rank} {part.flags}")
            say(f"    quality: {quality_words(part)}; {part.loss.reason}", dim=True)
            say(f"    rules: {_ruled(part)}", dim=True)
            for words in (*_prices(part), *part.unchecked):
                say(f"    {words}", fg="yellow")
    say("\nplimsoll speed with the same flags and --why shows what each speed is made of")
    say("\nsources:")
    for source in answer.sources:
        say(f"  {source.url}", dim=True)


def _ruled(part: Part) -> str:
    """The outcome, what it needs, and when it was read: 'native; needs vLLM 0.11; checked on 2026-11-20'."""
    found = part.compatibility
    needs = [f"needs {need}" for need in found.needs]
    checked = [f"checked on {found.checked_on}"] if found.checked_on else []
    return "; ".join([found.outcome, *needs, *checked])
