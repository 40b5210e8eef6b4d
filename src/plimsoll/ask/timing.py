"""The speeds of a deployment's passes with their intervals: what `speed` answers and every `fit` tells.

Kept apart from `speed`, whose questions about prices and drafting a fit need not wait for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from plimsoll.ask.measured import NoCeiling
from plimsoll.ask.rig import Rig, rig_of
from plimsoll.core import speed as core
from plimsoll.core.conformal import kind_of, machine_of
from plimsoll.core.predict import Prediction, predict
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.speed import Bottleneck, Calibration, PartShare, Speed, SpeedCase, Terms
from plimsoll.units import format_count

PROMPT_TOKENS = 1024
_NO_PROMPT = "no figure for the prompt"
# Two channels of DDR4-2666 and of DDR5-6400: what a desktop has, where nobody told.
DESKTOP_MEMORY = (2 * 2_666_000_000 * 8, 2 * 6_400_000_000 * 8)
_WHAT_IS_NEW = {
    "": "this model was measured on this device with this runtime",
    "pair": "this device with this runtime and this model were measured, but not together",
    "device": "no measurement of this device with this runtime: its architecture's",
    "model": "no measurement of this model on any device",
    "both": "neither this device nor this model was measured",
}


def expected(deployment: Deployment) -> tuple[tuple[Estimate, ...], str]:
    """(generation with a full context and time to the first token, why one of them is not known)."""
    try:
        speeds, notes = speeds_of(rig_of(deployment), deployment, None)
    except NoCeiling as error:
        return (), str(error)
    workload = deployment.workload
    inputs = {
        "context_tokens": workload.context_tokens, "parallel_sequences": workload.parallel_sequences_count,
        "prompt_tokens": min(PROMPT_TOKENS, workload.context_tokens),
    }  # fmt: skip
    told = {s.estimate.quantity: replace(s.estimate, inputs={**s.estimate.inputs, **inputs}) for s in speeds}
    missing = next((n.removeprefix(f"{_NO_PROMPT}: ") for n in notes if n.startswith(_NO_PROMPT)), "")
    return tuple(told[q] for q in ("decode", "decode_total", "ttft") if q in told), missing


def speeds_of(rig: Rig, deployment: Deployment, prompt_tokens: int | None) -> tuple[list[Speed], list[str]]:
    context, count = deployment.workload.context_tokens, deployment.workload.parallel_sequences_count
    prompt = min(prompt_tokens or PROMPT_TOKENS, context)
    depth = max(context - 1, 0)
    notes, speeds = [], []
    if prompt_tokens is None:
        notes.append(f"prompt: {format_count(prompt)} tokens, because none was asked for (--prompt N)")
    one = decode(rig, 1, depth)
    try:
        prefill = timed(
            rig, lambda case: core.prompt_terms(case, sequences_count=1, prompt_tokens=prompt, depth_tokens=0)
        )
        speeds.append(rate(rig, prefill, "prefill", f"prompt of {format_count(prompt)} tokens", prompt))
        speeds.append(_first_token(rig, prefill, one, prompt))
    except NoCeiling as error:
        notes.append(f"{_NO_PROMPT}: {error}")
    at = f"generation at {format_count(context)} tokens"
    speeds.append(rate(rig, one, "decode", at, 1))
    if count > 1:
        many = decode(rig, count, depth)
        speeds.append(rate(rig, many, "decode_per_sequence", f"{at}, each of {count}", 1, count))
        speeds.append(rate(rig, many, "decode_total", f"{at}, {count} together", count, count))
    notes += _told(rig, speeds)
    return speeds, notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A pass with its time; `power_share` of it is due to the power limit."""

    terms: Terms
    time: Prediction
    power_share: float


def decode(rig: Rig, sequences: int, depth: int) -> Timed:
    return timed(
        rig,
        lambda case: core.terms(case, sequences_count=sequences, new_tokens=1, depth_tokens=depth),
    )


def timed(rig: Rig, each: Callable[[SpeedCase], Terms]) -> Timed:
    terms, case = rig.terms(each), rig.case
    time = _predicted(rig, terms)
    if rig.is_host_untold:
        for rate in DESKTOP_MEMORY:
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
    return Timed(terms=terms, time=slowed, power_share=1 - left.value)


def _predicted(rig: Rig, terms: Terms) -> Prediction:
    case = rig.case
    return predict(
        terms, rig.calibration, kind=kind_of(case), machine=machine_of(case), model=case.work.model
    )


def rate(rig: Rig, timed: Timed, quantity: str, label: str, tokens: int, sequences: int = 1) -> Speed:
    low, high = tokens / timed.time.high_seconds, tokens / timed.time.low_seconds
    value = tokens / timed.time.seconds
    return speed_from(rig, timed, quantity, "tokens/s", label, (value, low, high), sequences)


def _first_token(rig: Rig, prefill: Timed, one: Timed, prompt: int) -> Speed:
    """The prompt's time plus one generated token's."""
    a, b = prefill.time, one.time
    numbers = (a.seconds + b.seconds, a.low_seconds + b.low_seconds, a.high_seconds + b.high_seconds)
    return speed_from(rig, prefill, "ttft", "s", f"first token after {format_count(prompt)}", numbers, 1)


def speed_from(
    rig: Rig, timed: Timed, quantity: str, unit: str, label: str, numbers: tuple[float, float, float],
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


def _parts(timed: Timed, found: Calibration, case: SpeedCase) -> tuple[PartShare, ...]:
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
    said = f"power: {rig.watts:,.0f} W in all leave {share}"
    if all(f.is_own for f in rig.power.values()):
        return f"{said} (measured on this device, dense models)"
    return f"{said} (the mean of other cards' sweeps; the interval runs from proportional to no loss)"
