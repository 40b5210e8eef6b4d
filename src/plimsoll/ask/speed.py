"""How fast: prompt, first token and generation, for one sequence and for several, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from plimsoll import __version__
from plimsoll.ask import fit as fits
from plimsoll.ask.measured import NoCeiling
from plimsoll.ask.rig import Rig, case_from, rig_of
from plimsoll.ask.speculation import Drafting, acceptance_of, beside, drafting_from, drafting_rig, with_draft
from plimsoll.core import speculation as speculating
from plimsoll.core import speed as core
from plimsoll.core.conformal import kind_of, machine_of
from plimsoll.core.predict import Prediction, predict
from plimsoll.domain.answer import Answer
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.plot import Curve, CurvePoint
from plimsoll.domain.speculation import Acceptance, Speculation
from plimsoll.domain.speed import Bottleneck, Calibration, PartShare, Speed, SpeedAnswer, SpeedCase, Terms
from plimsoll.formulas.cost import tokens_per_joule
from plimsoll.formulas.speculation import break_even, step_seconds, tokens_per_step
from plimsoll.units import Money, format_count

__all__ = ["NoCeiling", "SpeedQuestion", "case_from", "expected", "speed"]

_PROMPT_TOKENS = 1024
# Where a plot begins, and how many sequences it shows at most.
_LEAST_DEPTH, _MOST_DRAWN = 256, 256
_NO_PROMPT = "no figure for the prompt"
# Two channels of DDR4-2666 and of DDR5-6400: what a desktop has, where nobody told.
_DESKTOP_MEMORY = (2 * 2_666_000_000 * 8, 2 * 6_400_000_000 * 8)
_WHAT_IS_NEW = {
    "": "this device with this runtime and this model were measured, not always together",
    "device": "no measurement of this device with this runtime: its architecture's",
    "model": "no measurement of this model on any device",
    "both": "neither this device nor this model was measured",
}


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
    prompt = question.prompt_tokens or _PROMPT_TOKENS
    if output and wanted.context_tokens is None:
        wanted = replace(wanted, context_tokens=prompt + output)
    fitted = fits.judged(with_draft(wanted, asked))
    deployment = fitted.deployments[0]
    if fitted.verdict == "does_not_fit":
        return _without(fitted, "does_not_fit", f"it does not fit: {fitted.reason or 'see plimsoll fit'}")
    try:
        rig = rig_of(deployment, power_watts=question.power_watts)
        speeds, notes = _speeds(rig, deployment, question.prompt_tokens)
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
        curves=curves,
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


def expected(deployment: Deployment) -> tuple[tuple[Estimate, ...], str]:
    """(generation with a full context and time to the first token, why one of them is not known)."""
    try:
        speeds, notes = _speeds(rig_of(deployment), deployment, None)
    except NoCeiling as error:
        return (), str(error)
    workload = deployment.workload
    inputs = {
        "context_tokens": workload.context_tokens, "parallel_sequences": workload.parallel_sequences_count,
        "prompt_tokens": min(_PROMPT_TOKENS, workload.context_tokens),
    }  # fmt: skip
    told = {s.estimate.quantity: replace(s.estimate, inputs={**s.estimate.inputs, **inputs}) for s in speeds}
    missing = next((n.removeprefix(f"{_NO_PROMPT}: ") for n in notes if n.startswith(_NO_PROMPT)), "")
    return tuple(told[q] for q in ("decode", "decode_total", "ttft") if q in told), missing


def _speeds(rig: Rig, deployment: Deployment, prompt_tokens: int | None) -> tuple[list[Speed], list[str]]:
    context, count = deployment.workload.context_tokens, deployment.workload.parallel_sequences_count
    prompt = min(prompt_tokens or _PROMPT_TOKENS, context)
    depth = max(context - 1, 0)
    notes, speeds = [], []
    if prompt_tokens is None:
        notes.append(f"prompt: {format_count(prompt)} tokens, because none was asked for (--prompt N)")
    one = _decode(rig, 1, depth)
    try:
        prefill = _timed(
            rig, lambda case: core.prompt_terms(case, sequences_count=1, prompt_tokens=prompt, depth_tokens=0)
        )
        speeds.append(_rate(rig, prefill, "prefill", f"prompt of {format_count(prompt)} tokens", prompt))
        speeds.append(_first_token(rig, prefill, one, prompt))
    except NoCeiling as error:
        notes.append(f"{_NO_PROMPT}: {error}")
    at = f"generation at {format_count(context)} tokens"
    speeds.append(_rate(rig, one, "decode", at, 1))
    if count > 1:
        many = _decode(rig, count, depth)
        speeds.append(_rate(rig, many, "decode_per_sequence", f"{at}, each of {count}", 1, count))
        speeds.append(_rate(rig, many, "decode_total", f"{at}, {count} together", count, count))
    notes += _told(rig, speeds)
    return speeds, notes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """A pass with its time; `power_share` of it is due to the power limit."""

    terms: Terms
    time: Prediction
    power_share: float


def _decode(rig: Rig, sequences: int, depth: int) -> _Timed:
    return _timed(
        rig,
        lambda case: core.terms(case, sequences_count=sequences, new_tokens=1, depth_tokens=depth),
    )


def _timed(rig: Rig, each: Callable[[SpeedCase], Terms]) -> _Timed:
    terms, case = rig.terms(each), rig.case
    time = _predicted(rig, terms)
    if rig.is_host_untold:
        for rate in _DESKTOP_MEMORY:
            other = _predicted(rig, each(replace(case, host_bytes_per_s=rate)))
            time = replace(
                time, low_seconds=min(time.low_seconds, other.low_seconds),
                high_seconds=max(time.high_seconds, other.high_seconds),
            )  # fmt: skip
    left = rig.limited(terms.phase)
    slowed = replace(
        time, seconds=time.seconds / left.value, low_seconds=time.low_seconds / left.high,
        high_seconds=time.high_seconds / left.low,
    )  # fmt: skip
    return _Timed(terms=terms, time=slowed, power_share=1 - left.value)


def _predicted(rig: Rig, terms: Terms) -> Prediction:
    case = rig.case
    return predict(
        terms, rig.calibration, kind=kind_of(case), machine=machine_of(case), model=case.work.model
    )


def _rate(rig: Rig, timed: _Timed, quantity: str, label: str, tokens: int, sequences: int = 1) -> Speed:
    low, high = tokens / timed.time.high_seconds, tokens / timed.time.low_seconds
    value = tokens / timed.time.seconds
    return _speed(rig, timed, quantity, "tokens/s", label, (value, low, high), sequences)


def _first_token(rig: Rig, prefill: _Timed, one: _Timed, prompt: int) -> Speed:
    """The prompt's time plus one generated token's."""
    a, b = prefill.time, one.time
    numbers = (a.seconds + b.seconds, a.low_seconds + b.low_seconds, a.high_seconds + b.high_seconds)
    return _speed(rig, prefill, "ttft", "s", f"first token after {format_count(prompt)}", numbers, 1)


def _speed(
    rig: Rig, timed: _Timed, quantity: str, unit: str, label: str, numbers: tuple[float, float, float],
    sequences: int,
) -> Speed:  # fmt: skip
    found, case = rig.calibration, rig.case
    value, low, high = numbers
    parts = _parts(timed, found, case)
    held: dict[Bottleneck, float] = {}
    for part in parts:
        held[part.bottleneck] = held.get(part.bottleneck, 0.0) + part.share
    estimate = Estimate(
        quantity=quantity, unit=unit, value=value, low=low, high=high, basis="calibrated",
        formula="core.speed:seconds", coverage=found.coverage, samples_count=timed.time.spread.samples_count,
        inputs={
            "device": case.device or case.host, "architecture": case.architecture,
            "runtime": core.runtime_key(case), "format": case.work.format_family,
            "calibration": found.version,
        },
    )  # fmt: skip
    return Speed(
        estimate=estimate, label=label, sequences_count=sequences, parts=parts, new=timed.time.new,
        bottleneck=max(held, key=lambda name: held[name]),
    )  # fmt: skip


def _bound_by(bottleneck: Bottleneck, case: SpeedCase) -> Bottleneck:
    """On the processor alone nothing is launched: what a layer costs there is its threads waiting."""
    return "cpu" if case.backend == "cpu" and bottleneck == "launch overhead" else bottleneck


def _parts(timed: _Timed, found: Calibration, case: SpeedCase) -> tuple[PartShare, ...]:
    terms = timed.terms
    shares = core.shares(terms, found.coefficients)
    whole = sum(found.coefficients.get(e, 0.0) for e in (*terms.effects, core.here(terms)))
    made = [
        PartShare(
            name=p.name, bottleneck=_bound_by(p.bottleneck, case), ceiling_seconds=p.seconds,
            share=shares[p.name] * (1 - timed.power_share),
            factor=math.exp(whole + sum(found.coefficients.get(e, 0.0) for e in p.effects)),
        )
        for p in terms.parts
    ]  # fmt: skip
    if timed.power_share:
        lost = PartShare(
            name="lower clocks", bottleneck="power", ceiling_seconds=0.0, share=timed.power_share,
            factor=1 / (1 - timed.power_share),
        )  # fmt: skip
        made.append(lost)
    return tuple(sorted(made, key=lambda p: -p.share))


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
    plain = _decode(rig, count, depth).time.seconds
    draft = _decode(drafting_rig(fitted.deployments, rig, asked), count, depth).time
    verify = _timed(
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
    speeds: list[Speed] = []
    if known:
        speeds.append(_speculative(rig, verify, found, known, count, (low, step, high)))
    else:
        notes.append("acceptance: nobody published it for this pair; --acceptance 0.7 if you measured it")
    return _Drafted(is_fitting=is_fitting, speeds=tuple(speeds), found=found, notes=tuple(notes))


def _speculative(
    rig: Rig, verify: _Timed, found: Speculation, known: Acceptance, count: int,
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
    return _speed(rig, verify, "decode_speculative", "tokens/s", label, numbers, count)


def _curves(fitted: Answer, rig: Rig) -> tuple[Curve, ...]:
    """Generation against depth, up to the longest context that fits, and of all sequences together against
    their number, up to as many as fit."""
    workload = fitted.deployments[0].workload
    context, count = workload.context_tokens, workload.parallel_sequences_count
    depths = _doubling(_LEAST_DEPTH, max(fitted.max_context_tokens or context, context), context)
    counts = _doubling(1, max(min(fitted.max_parallel_sequences or 1, _MOST_DRAWN), count), count)
    by_depth = [_point(_rate(rig, _decode(rig, 1, d - 1), "decode", "", 1), d) for d in depths]
    by_count = [
        _point(_rate(rig, _decode(rig, n, max(context - 1, 0)), "decode_total", "", n), n) for n in counts
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


def _told(rig: Rig, speeds: list[Speed]) -> list[str]:
    notes = [f"basis: {_WHAT_IS_NEW[speeds[-1].new]}; {speeds[-1].estimate.samples_count:,} measured misses"
             " set the interval"]  # fmt: skip
    if rig.is_host_untold:
        notes.append(
            "the speed of the host memory is not told: the interval reaches from two channels of DDR4-2666 "
            "to two of DDR5-6400; tell it: "
            "'+ 192GiB ddr5-6000 x2' (MT/s and channels), or the processor: '+ epyc-9554-12ch-ddr5-4800'"
        )
    if len(rig.stages) > 1:
        layers = ", ".join(f"{s.share:.0%} on {s.case.device}" for s in rig.stages)
        notes.append(f"unlike cards one after the other: {layers} of the layers; never measured together")
    if rig.power:
        notes.append(_power_note(rig))
    return notes


def _power_note(rig: Rig) -> str:
    left = {phase: f.value for phase, f in rig.power.items()}
    share = f"{left['decode']:.0%} of generation, {left['prefill']:.0%} of the prompt"
    said = f"power: {rig.watts:,.0f} W leave {share}"
    if all(f.is_own for f in rig.power.values()):
        return f"{said} (measured on this card with one dense model)"
    return f"{said} (the mean of other cards' sweeps; the interval runs from proportional to no loss)"


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
