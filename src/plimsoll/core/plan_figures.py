"""The predicted rates and times of a plan, for the sequences and the context it is for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from plimsoll.core.conformal import kind_of, machine_of
from plimsoll.core.predict import Prediction, predict
from plimsoll.core.speed import NoCeiling, measure_only, prompt_terms, runtime_key, shares, terms
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.plan import Figure
from plimsoll.domain.speed import Bottleneck, Calibration, SpeedCase, Terms

# What is timed: a pass, what it takes, what bounds it.
Timed = tuple[Prediction, Bottleneck]
Timer = Callable[[Callable[[SpeedCase], Terms]], Timed]
_PHASES = {
    "prefill": ("prefill",), "ttft": ("prefill", "decode"), "turn": ("prefill", "decode"),
}  # fmt: skip


def was_measured(case: SpeedCase, found: Calibration, phase: str) -> bool:
    """Whether the calibration saw this runtime on this kind of device at all, in this phase."""
    return any(name.endswith(f" {runtime_key(case)}") for name in found.devices.get(phase, ()))


def slow_end(figure: Figure) -> float:
    """The end of the interval that is worse, so that more is better: the low rate, or minus the long time."""
    e = figure.estimate
    return -e.high if e.unit == "s" else e.low


def figures(
    case: SpeedCase, found: Calibration, *, context_tokens: int, sequences_count: int, prompt_tokens: int,
    output_tokens: int, time: Timer | None = None,
) -> dict[str, Figure]:  # fmt: skip
    """Every figure that the model of speed can give for this case; empty where it can give none, and only
    generation without a prompt. `time` times what is more than one case (unlike cards, untold host memory).

    decode, decode_total: one pass with a token for each sequence at a full context, as `plimsoll speed` says.
    prefill, ttft: a prompt of `prompt_tokens` from an empty cache, plus one generated token.
    turn: a prompt onto a cache that leaves just room for it and the output, then `output_tokens` passes.
    """
    if measure_only(case):
        return {}
    count, prompt, depth = sequences_count, min(prompt_tokens, context_tokens), max(context_tokens - 1, 0)
    time = time or (lambda each: timed(case, found, each(case)))
    made = _pass_maker(case, found)
    try:
        step = time(lambda c: terms(c, sequences_count=count, new_tokens=1, depth_tokens=depth))
    except NoCeiling:
        return {}
    out = {"decode": made("decode", "tokens/s", step, lambda t: 1 / t)}
    if count > 1:
        out["decode_total"] = made("decode_total", "tokens/s", step, lambda t: count / t)
    if not prompt:
        return out
    full = max(context_tokens - prompt - output_tokens, 0)
    with suppress(NoCeiling):
        one = time(lambda c: terms(c, sequences_count=1, new_tokens=1, depth_tokens=depth))
        first, later = (
            time(lambda c, at=at: prompt_terms(c, sequences_count=1, prompt_tokens=prompt, depth_tokens=at))  # type: ignore[misc]
            for at in (0, full)
        )
        out["prefill"] = made("prefill", "tokens/s", first, lambda t: prompt / t)
        out["ttft"] = made("ttft", "s", _sum(first, 1, one, 1), lambda t: t)
        out["turn"] = made("turn", "s", _sum(later, count, step, output_tokens), lambda t: t)
    return out


def bound_by(parts: Terms, found: Calibration) -> Bottleneck:
    """What takes most of a pass or run."""
    held: dict[Bottleneck, float] = {}
    each = shares(parts, found.coefficients)
    for part in parts.parts:
        held[part.bottleneck] = held.get(part.bottleneck, 0.0) + each[part.name]
    return max(held, key=lambda name: held[name])


def timed(case: SpeedCase, found: Calibration, parts: Terms) -> Timed:
    """The predicted time of the parts of a pass or run, and what takes most of it."""
    time = predict(parts, found, kind=kind_of(case), machine=machine_of(case), model=case.work.model)
    return time, bound_by(parts, found)


def _sum(a: Timed, a_count: int, b: Timed, b_count: int) -> Timed:
    """a_count of one pass and b_count of another: low and high ends added, as if both missed alike."""
    (x, x_bound), (y, y_bound) = a, b
    first, second = a_count * x.seconds, b_count * y.seconds
    time = Prediction(
        seconds=first + second, low_seconds=a_count * x.low_seconds + b_count * y.low_seconds,
        high_seconds=a_count * x.high_seconds + b_count * y.high_seconds, new=x.new or y.new,
        spread=x.spread if x.spread.samples_count <= y.spread.samples_count else y.spread,
    )  # fmt: skip
    return time, x_bound if first >= second else y_bound


def _pass_maker(case: SpeedCase, found: Calibration) -> Callable[..., Figure]:
    unseen = [phase for phase in ("decode", "prefill") if not was_measured(case, found, phase)]

    def is_measured(quantity: str) -> bool:
        return not any(phase in _PHASES.get(quantity, ("decode",)) for phase in unseen)

    return maker(case, found, is_measured, formula="core.speed:seconds")


def maker(
    case: SpeedCase, found: Calibration, is_measured: Callable[[str], bool], *, formula: str
) -> Callable[..., Figure]:
    """Makes figures of a case: (quantity, unit, what was timed, from seconds to the figure)."""
    inputs = {
        "device": case.device or case.host, "architecture": case.architecture, "runtime": runtime_key(case),
        "format": case.work.format_family, "calibration": found.version,
    }  # fmt: skip

    def made(quantity: str, unit: str, timed: Timed, of: Callable[[float], float]) -> Figure:
        time, bound = timed
        ends = sorted((of(time.low_seconds), of(time.high_seconds)))
        estimate = Estimate(
            quantity=quantity, unit=unit, value=of(time.seconds), low=ends[0], high=ends[1],
            basis="calibrated", formula=formula, coverage=found.coverage, inputs=inputs,
            samples_count=time.spread.samples_count,
        )  # fmt: skip
        return Figure(
            estimate=estimate, bottleneck=bound, new=time.new, is_measured=is_measured(quantity)
        )  # fmt: skip

    return made
