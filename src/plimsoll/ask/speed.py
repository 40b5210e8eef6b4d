"""How fast: prompt, first token and generation, for one sequence and for several, each with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from plimsoll import __version__
from plimsoll.ask import fit as fits
from plimsoll.ask.measured import NoCeiling
from plimsoll.ask.rig import Rig, case_from, rig_of
from plimsoll.ask.speculation import (
    Drafting,
    acceptance_of,
    beside,
    drafting_from,
    drafting_rig,
    speedups_of,
    with_draft,
)
from plimsoll.ask.timing import PROMPT_TOKENS, Timed, decode, rate, speed_from, speeds_of, timed
from plimsoll.core import speculation as speculating
from plimsoll.domain.answer import Answer
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.measurement import Measurement
from plimsoll.domain.plot import Curve, CurvePoint
from plimsoll.domain.speculation import Acceptance, Speculation
from plimsoll.domain.speed import Speed
from plimsoll.domain.speed_answer import SpeedAnswer
from plimsoll.formulas.cost import tokens_per_joule
from plimsoll.formulas.speculation import break_even, step_seconds, tokens_per_step
from plimsoll.units import Money, format_count

__all__ = ["NoCeiling", "SpeedQuestion", "case_from", "speed"]

# Where a plot begins, and how many sequences it shows at most.
_LEAST_DEPTH, _MOST_DRAWN = 256, 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedQuestion:
    """A fit question with one model, and the prompt whose first token is waited for (None: 1,024).

    With `output_tokens` the parallel sequences are requests: each a prompt and an answer of so many tokens.
    `rent` is of the whole machine, per hour, day, month or year; `electricity` per kWh; `power_watts` is a
    power limit set on each card.
    """

    fit: fits.FitQuestion
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    rent: Money | None = None
    electricity: Money | None = None
    prices_file: str = ""
    power_watts: int | None = None
    speculate: str = ""
    draft: str = ""
    acceptance: tuple[float, float] | None = None
    is_plotted: bool = False


def speed(question: SpeedQuestion) -> SpeedAnswer:
    """Place the model as `fit` does, then time it; errors are typed, 'no' and 'unknown' are answers."""
    asked = drafting_from(question.speculate, question.draft, question.acceptance)
    wanted, output = question.fit, question.output_tokens
    prompt = question.prompt_tokens or PROMPT_TOKENS
    if output and wanted.context_tokens is None:
        wanted = replace(wanted, context_tokens=prompt + output)
    fitted = fits.judged(with_draft(wanted, asked))
    deployment = fitted.deployments[0]
    if fitted.verdict == "does_not_fit":
        return _without(fitted, "does_not_fit", f"it does not fit: {fitted.reason or 'see plimsoll fit'}")
    try:
        rig = rig_of(deployment, power_watts=question.power_watts)
        speeds, notes = speeds_of(rig, deployment, question.prompt_tokens)
        drafted = _drafted(fitted, rig, asked) if asked else None
        if output:
            speeds, notes = _with_requests(rig, deployment, prompt, output, speeds, notes)
        curves = _curves(fitted, rig) if question.is_plotted else ()
    except NoCeiling as error:
        return _without(fitted, "unknown", str(error))
    if drafted:
        if not drafted.is_fitting:
            return _without(fitted, "does_not_fit", f"it does not fit: {drafted.notes[0]}")
        speeds, notes = [*speeds, *drafted.speeds], [*notes, *drafted.notes]
    from plimsoll.ask.cost import priced
    from plimsoll.core.cost import billed

    costs = priced(
        deployment, speeds, rent=question.rent, electricity=question.electricity,
        file=question.prices_file, watts=rig.watts,
    )  # fmt: skip
    per_joule = tokens_per_joule(rig.watts, billed(speeds)[-1].estimate.value) if rig.watts else None
    answer = _answer(fitted, "answered", "", speeds, [*notes, *costs.notes], per_joule)
    return replace(
        answer, costs=costs.costs, prices=costs.prices, speculation=drafted.found if drafted else None,
        curves=curves, measured=_measured(rig, deployment, prompt),
    )  # fmt: skip


def _measured(rig: Rig, deployment: Deployment, prompt: int) -> tuple[Measurement, ...]:
    """What others measured; of unlike cards nobody did."""
    if len(rig.stages) > 1:
        return ()
    from plimsoll.ask.published import nearest

    return nearest(
        rig.case, deployment.weight_format, depth_tokens=deployment.workload.context_tokens,
        prompt_tokens=prompt,
    )  # fmt: skip


def _with_requests(
    rig: Rig, deployment: Deployment, prompt: int, output: int, speeds: list[Speed], notes: list[str]
) -> tuple[list[Speed], list[str]]:
    """The speeds of passes, and those of requests that share them."""
    from plimsoll.ask.serving import load_for, speeds_of

    if len(rig.stages) > 1 or rig.power:
        why = "cards of different kinds and power limits have no model of several requests yet"
        return speeds, [*notes, why]
    more, told = speeds_of(rig.case, load_for(rig.case, deployment, prompt, output))
    return [*speeds, *more], [*notes, *told]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drafted:
    """What drafting brings: the speeds at the known acceptance, if any, and the speculation itself."""

    is_fitting: bool
    speeds: tuple[Speed, ...]
    found: Speculation
    notes: tuple[str, ...]


def _drafted(fitted: Answer, rig: Rig, asked: Drafting) -> _Drafted:
    """n drafted tokens and one pass that verifies them, against plain generation at the same depth."""
    workload, drafted = fitted.deployments[0].workload, asked.drafted
    count, depth = workload.parallel_sequences_count, max(workload.context_tokens - 1, 0)
    plain = decode(rig, count, depth).time.seconds
    draft = decode(drafting_rig(fitted.deployments, rig, asked), count, depth).time
    verify = timed(
        rig,
        lambda case: speculating.verify_terms(
            case, drafted=drafted, sequences_count=count, depth_tokens=depth
        ),
    )
    low, step, high = (
        step_seconds(d, v, drafted)
        for d, v in (
            (draft.low_seconds, verify.time.low_seconds), (draft.seconds, verify.time.seconds),
            (draft.high_seconds, verify.time.high_seconds),
        )
    )  # fmt: skip
    known = acceptance_of(fitted.deployments, asked)
    shown = sorted({known.low, known.value, known.high}) if known else speculating.SHOWN
    found = Speculation(
        method=asked.method, draft=asked.draft, drafted_tokens=drafted, draft_seconds=draft.seconds,
        verify_seconds=verify.time.seconds, plain_seconds=plain, acceptance=known,
        break_even=break_even(plain, step, drafted),
        points=speculating.speeds_at(shown, drafted=drafted, step_seconds=step, plain_seconds=plain),
    )  # fmt: skip
    is_fitting, memory = beside(fitted, rig, asked)
    notes = [memory]
    if not asked.is_told:
        notes.append(f"drafted tokens a step: {drafted}, because none was told ({asked.method}:N)")
    measured = speedups_of(fitted.deployments, asked)
    if measured:
        notes.append(f"published elsewhere: {measured}")
    speeds: list[Speed] = []
    if known:
        speeds.append(_speculative(rig, verify, found, known, count, (low, step, high)))
    else:
        notes.append("acceptance: nobody published it for this pair; --acceptance 0.7 if you measured it")
    return _Drafted(is_fitting=is_fitting, speeds=tuple(speeds), found=found, notes=tuple(notes))


def _speculative(
    rig: Rig, verify: Timed, found: Speculation, known: Acceptance, count: int,
    steps: tuple[float, float, float],
) -> Speed:  # fmt: skip
    """Tokens a step over the time of a step; the interval is that of both."""
    low, step, high = steps
    numbers = (
        count * tokens_per_step(known.value, found.drafted_tokens) / step,
        count * tokens_per_step(known.low, found.drafted_tokens) / high,
        count * tokens_per_step(known.high, found.drafted_tokens) / low,
    )
    together = f", {count} together" if count > 1 else ""
    label = f"generation with {found.drafted_tokens} drafted by {found.draft or found.method}{together}"
    return speed_from(rig, verify, "decode_speculative", "tokens/s", label, numbers, count)


def _curves(fitted: Answer, rig: Rig) -> tuple[Curve, ...]:
    """Generation against depth, up to the longest context that fits, and of all sequences together against
    their number, up to as many as fit."""
    workload = fitted.deployments[0].workload
    context, count = workload.context_tokens, workload.parallel_sequences_count
    depths = _doubling(_LEAST_DEPTH, max(fitted.max_context_tokens or context, context), context)
    counts = _doubling(1, max(min(fitted.max_parallel_sequences or 1, _MOST_DRAWN), count), count)
    by_depth = [_point(rate(rig, decode(rig, 1, d - 1), "decode", "", 1), d) for d in depths]
    by_count = [
        _point(rate(rig, decode(rig, n, max(context - 1, 0)), "decode_total", "", n), n) for n in counts
    ]
    deep = Curve(
        title="generation, one sequence", axis="tokens in the cache", axis_unit="tokens", unit="tokens/s",
        points=tuple(by_depth), asked=context,
    )  # fmt: skip
    wide = Curve(
        title=f"generation at {format_count(context)} tokens, all together", axis="parallel sequences",
        axis_unit="sequences", unit="tokens/s", points=tuple(by_count), asked=count,
    )  # fmt: skip
    return tuple(curve for curve in (deep, wide) if len(curve.points) > 1)


def _doubling(first: int, last: int, also: int) -> list[int]:
    """first, twice that, ... up to last, with last itself and `also`."""
    found = {last, also}
    while first < last:
        found.add(first)
        first *= 2
    return sorted(found)


def _point(found: Speed, at: int) -> CurvePoint:
    e = found.estimate
    return CurvePoint(at=at, low=e.low, value=e.value, high=e.high)


def _without(fitted: Answer, verdict: str, reason: str) -> SpeedAnswer:
    return _answer(fitted, verdict, reason, [], [], None)


def _answer(
    fitted: Answer, verdict: str, reason: str, speeds: list[Speed], notes: list[str], per_joule: float | None
) -> SpeedAnswer:
    plain: Callable[[str], bool] = lambda note: note.startswith(("runtime:", "context:"))  # noqa: E731
    unknowns = (reason,) if verdict == "unknown" else ()
    return SpeedAnswer(
        question="speed", asked=fitted.asked, verdict=verdict, reason=reason, model=fitted.model,
        machine=fitted.machine, placement=fitted.placement, speeds=tuple(speeds), tokens_per_joule=per_joule,
        notes=(*(n for n in fitted.notes if plain(n)), *notes), unknowns=unknowns, sources=fitted.sources,
        versions={"plimsoll": __version__},
    )  # fmt: skip
