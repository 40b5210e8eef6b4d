"""How fast: prompt, first token and generation, for one sequence and for several, each with its interval."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from plimsoll import __version__
from plimsoll.ask import fit as fits
from plimsoll.ask.measured import NoCeiling, architecture_of, era_of, work_in
from plimsoll.catalog import calibration as shipped
from plimsoll.core import speed as core
from plimsoll.core.conformal import kind_of, machine_of
from plimsoll.core.predict import Prediction, predict
from plimsoll.domain.answer import Answer
from plimsoll.domain.deployment import Deployment, SplitKind
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Device, Machine
from plimsoll.domain.speed import Bottleneck, Calibration, PartShare, Speed, SpeedAnswer, SpeedCase, Terms
from plimsoll.formulas.cost import tokens_per_joule
from plimsoll.units import Money, format_count

_PROMPT_TOKENS = 1024
_NO_PROMPT = "no figure for the prompt"
_KV_FORMATS = {"auto": "f16", "fp8": "fp8_e4m3", "q8": "q8_0", "q4": "q4_0", "q6": "q6_k", "q5": "q5_0"}
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
    `rent` is of the whole machine, per hour, day, month or year; `electricity` per kWh.
    """

    fit: fits.FitQuestion
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    rent: Money | None = None
    electricity: Money | None = None
    prices_file: str = ""


def speed(question: SpeedQuestion) -> SpeedAnswer:
    """Place the model as `fit` does, then time it; errors are typed, 'no' and 'unknown' are answers."""
    asked, output = question.fit, question.output_tokens
    if output and asked.context_tokens is None:
        asked = replace(asked, context_tokens=(question.prompt_tokens or _PROMPT_TOKENS) + output)
    fitted = fits.judged(asked)
    deployment = fitted.deployments[0]
    if fitted.verdict == "does_not_fit":
        return _without(fitted, "does_not_fit", f"it does not fit: {fitted.reason or 'see plimsoll fit'}")
    try:
        case = case_from(deployment)
        reason = core.measure_only(case)
        if reason:
            return _without(fitted, "unknown", f"measure only: {reason}")
        found = _speeds(case, deployment, question.prompt_tokens, shipped.load())
        if output:
            found = _with_requests(case, deployment, question.prompt_tokens or _PROMPT_TOKENS, output, found)
    except NoCeiling as error:
        return _without(fitted, "unknown", str(error))
    from plimsoll.ask.cost import priced

    watts = _watts(deployment)
    costs = priced(
        deployment, found[0], rent=question.rent, electricity=question.electricity,
        file=question.prices_file, watts=watts,
    )  # fmt: skip
    per_joule = tokens_per_joule(watts, found[0][-1].estimate.value) if watts else None
    answer = _answer(fitted, "answered", "", found[0], [*found[1], *costs.notes], per_joule)
    return replace(answer, costs=costs.costs, prices=costs.prices)


def _with_requests(
    case: SpeedCase, deployment: Deployment, prompt: int, output: int, found: tuple[list[Speed], list[str]]
) -> tuple[list[Speed], list[str]]:
    """The speeds of passes, and those of requests that share them."""
    from plimsoll.ask.serving import load_for, speeds_of

    speeds, notes = speeds_of(case, load_for(case, deployment, prompt, output))
    return [*found[0], *speeds], [*found[1], *notes]


def expected(deployment: Deployment) -> tuple[tuple[Estimate, ...], str]:
    """(generation with a full context and time to the first token, why one of them is not known)."""
    try:
        case = case_from(deployment)
        reason = core.measure_only(case)
        if reason:
            return (), f"measure only: {reason}"
        speeds, notes = _speeds(case, deployment, None, shipped.load())
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


def case_from(deployment: Deployment) -> SpeedCase:
    """The deployment's model and devices with their ceilings; raises NoCeiling for unlike cards."""
    machine, offload, used = deployment.machine, deployment.offload, deployment.used_devices
    if len({(d.name, d.backend) for d in used}) > 1:
        raise NoCeiling("cards of different kinds have no speed model yet")
    work = work_in(deployment.model, deployment.runtime.id, deployment.weight_format)
    device = used[0] if used else None
    layers = len(work.layers)
    on_gpu = layers + 1 if offload.gpu_layers_count is None else offload.gpu_layers_count
    host = max(0, layers + 1 - on_gpu) if device else 0
    kv, host_rate = deployment.kv_format_k, machine.ram_bandwidth_bytes_per_s
    return SpeedCase(
        work=work, runtime=deployment.runtime.id, flavour="",
        era=era_of(deployment.runtime.id, deployment.runtime.version) if deployment.runtime.version else "",
        backend=(deployment.runtime.backend or device.backend) if device else "cpu",
        device=_chip(device) if device else "", architecture=architecture_of(device) if device else "cpu",
        bandwidth_bytes_per_s=(device.bandwidth_bytes_per_s if device else host_rate) or 0,
        flops_per_s=device.flops_per_s if device else {}, devices_count=max(len(used), 1),
        split=_split(deployment.split.kind, len(used)),
        host=machine.name if not device else _host(machine), host_bytes_per_s=host_rate or 0,
        host_layers_count=min(host, layers),
        host_expert_layers_count=max(0, min(offload.cpu_expert_layers_count, layers) - host) if device else 0,
        kv_format=_KV_FORMATS.get(kv, kv), ubatch_tokens=int(deployment.settings.get("ubatch", 0)),
    )  # fmt: skip


def _split(kind: SplitKind, count: int) -> str:
    """'tensor' where all cards work on one token at a time, 'layer' where one after the other does."""
    if count < 2:
        return "none"
    return "tensor" if kind in ("tensor", "expert") else "layer"


def _host(machine: Machine) -> str:
    """The host processor's name: what is left of the machine's when the cards are taken away."""
    parts = [p for p in machine.name.split(" + ") if not p.endswith("RAM")]
    return parts[-1] if len(parts) > 1 else ""


def _chip(device: Device) -> str:
    """The catalog id without the size of a shared memory, as measurements name it."""
    return re.sub(r"-\d+gb$", "", device.catalog_id) if device.is_unified else device.catalog_id


def _speeds(
    case: SpeedCase, deployment: Deployment, prompt_tokens: int | None, found: Calibration
) -> tuple[list[Speed], list[str]]:
    context, count = deployment.workload.context_tokens, deployment.workload.parallel_sequences_count
    prompt = min(prompt_tokens or _PROMPT_TOKENS, context)
    depth = max(context - 1, 0)
    notes, speeds = [], []
    if prompt_tokens is None:
        notes.append(f"prompt: {format_count(prompt)} tokens, because none was asked for (--prompt N)")
    one = _timed(case, found, core.terms(case, sequences_count=1, new_tokens=1, depth_tokens=depth))
    try:
        prefill = _timed(
            case, found, core.prompt_terms(case, sequences_count=1, prompt_tokens=prompt, depth_tokens=0)
        )
        speeds.append(
            _rate(prefill, "prefill", f"prompt of {format_count(prompt)} tokens", prompt, case, found)
        )
        speeds.append(_first_token(prefill, one, prompt, case, found))
    except NoCeiling as error:
        notes.append(f"{_NO_PROMPT}: {error}")
    at = f"generation at {format_count(context)} tokens"
    speeds.append(_rate(one, "decode", at, 1, case, found))
    if count > 1:
        many = _timed(case, found, core.terms(case, sequences_count=count, new_tokens=1, depth_tokens=depth))
        speeds.append(_rate(many, "decode_per_sequence", f"{at}, each of {count}", 1, case, found, count))
        speeds.append(_rate(many, "decode_total", f"{at}, {count} together", count, case, found, count))
    notes += _told(case, speeds)
    return speeds, notes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    terms: Terms
    time: Prediction


def _timed(case: SpeedCase, found: Calibration, terms: Terms) -> _Timed:
    time = predict(terms, found, kind=kind_of(case), machine=machine_of(case), model=case.work.model)
    return _Timed(terms=terms, time=time)


def _rate(
    timed: _Timed,
    quantity: str,
    label: str,
    tokens: int,
    case: SpeedCase,
    found: Calibration,
    sequences: int = 1,
) -> Speed:
    low, high = tokens / timed.time.high_seconds, tokens / timed.time.low_seconds
    value = tokens / timed.time.seconds
    return _speed(timed, quantity, "tokens/s", label, value, low, high, case, found, sequences)


def _first_token(prefill: _Timed, one: _Timed, prompt: int, case: SpeedCase, found: Calibration) -> Speed:
    """The prompt's time plus one generated token's."""
    a, b = prefill.time, one.time
    return _speed(
        prefill, "ttft", "s", f"first token after {format_count(prompt)}", a.seconds + b.seconds,
        a.low_seconds + b.low_seconds, a.high_seconds + b.high_seconds, case, found, 1,
    )  # fmt: skip


def _speed(
    timed: _Timed, quantity: str, unit: str, label: str, value: float, low: float, high: float,
    case: SpeedCase, found: Calibration, sequences: int,
) -> Speed:  # fmt: skip
    parts = _parts(timed.terms, found)
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


def _parts(terms: Terms, found: Calibration) -> tuple[PartShare, ...]:
    shares = core.shares(terms, found.coefficients)
    whole = sum(found.coefficients.get(e, 0.0) for e in (*terms.effects, core.here(terms)))
    made = [
        PartShare(
            name=p.name, bottleneck=p.bottleneck, ceiling_seconds=p.seconds, share=shares[p.name],
            factor=math.exp(whole + sum(found.coefficients.get(e, 0.0) for e in p.effects)),
        )
        for p in terms.parts
    ]  # fmt: skip
    return tuple(sorted(made, key=lambda p: -p.share))


def _told(case: SpeedCase, speeds: list[Speed]) -> list[str]:
    notes = [f"basis: {_WHAT_IS_NEW[speeds[-1].new]}; {speeds[-1].estimate.samples_count:,} measured misses"
             " set the interval"]  # fmt: skip
    if (case.host_layers_count or case.host_expert_layers_count) and not case.host_bytes_per_s:
        notes.append(
            "the speed of the host memory is not known; name the processor, such as "
            "'+ epyc-9554-12ch-ddr5-4800'"
        )
    return notes


def _watts(deployment: Deployment) -> float | None:
    """Every card at its power limit: what the cards draw is at most that; None where a limit is not known."""
    limits = [d.power_limit_watts for d in deployment.used_devices]
    return sum(w for w in limits if w) if limits and all(limits) else None


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
