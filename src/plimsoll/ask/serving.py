"""Several requests at once: time to the first token, time per token and tokens per second, with intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plimsoll.ask.served import slots, step_budget
from plimsoll.catalog import calibration as shipped
from plimsoll.core.conformal import kind_of, machine_of
from plimsoll.core.predict import Prediction, predict
from plimsoll.core.schedule import schedule
from plimsoll.core.serving import throughput_terms, tpot_terms, ttft_terms
from plimsoll.core.speed import runtime_key
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.serving import Load
from plimsoll.domain.speed import Bottleneck, Calibration, PartShare, Speed, SpeedCase, Terms
from plimsoll.units import format_count

# From its second round on a batch whose requests are replaced at once repeats itself.
_ROUNDS = 4


def load_for(case: SpeedCase, deployment: Deployment, prompt_tokens: int, output_tokens: int) -> Load:
    """The deployment's sequences in flight, each with such a prompt and answer."""
    used = deployment.used_devices
    device = used[0] if used else None
    count = deployment.workload.parallel_sequences_count
    told = int(deployment.settings.get("max_num_batched_tokens", 0))
    held = slots(case, device.memory_bytes if device else 0, prompt_tokens + output_tokens)
    return Load(
        concurrent_count=count, prompt_tokens=prompt_tokens, output_tokens=output_tokens,
        chunk_tokens=told or step_budget(case.runtime, device), rounds_count=_ROUNDS,
        slots_count=int(deployment.settings.get("max_num_seqs", 0)) or held,
        is_prompt_first=case.runtime == "sglang",
    )  # fmt: skip


def speeds_of(case: SpeedCase, load: Load) -> tuple[list[Speed], list[str]]:
    """The median request's wait and pace, and all tokens together; raises NoCeiling as `core.speed` does."""
    found, known = shipped.load(shipped.SERVING_PATH), schedule(load)
    count = load.concurrent_count
    each = f"{format_count(count)} requests of {format_count(load.prompt_tokens)}"
    each += f" + {format_count(load.output_tokens)} tokens"
    wait, pace = ttft_terms(case, load, known), tpot_terms(case, load, known)
    run, tokens = throughput_terms(case, load, "output", known)
    out = [
        _speed(case, found, wait, "ttft_serving", "s", f"first token, {each}", count),
        _speed(case, found, pace, "tpot", "ms", "then per token, each of them", count),
        _speed(case, found, run, "throughput", "tokens/s", "all of them together", count, tokens=tokens),
    ]
    notes = []
    if 0 < load.slots_count < count:
        notes.append(
            f"only {format_count(load.slots_count)} of the {format_count(count)} requests run at a time"
            " (KV cache or the runtime's limit); the others wait"
        )
    return out, notes


def _speed(
    case: SpeedCase, found: Calibration, terms: Terms, quantity: str, unit: str, label: str, count: int, *,
    tokens: float = 0.0,
) -> Speed:  # fmt: skip
    time = predict(terms, found, kind=kind_of(case), machine=machine_of(case), model=case.work.model)
    value, low, high = _numbers(time, unit, tokens)
    parts = _parts(terms, found)
    held: dict[Bottleneck, float] = {}
    for part in parts:
        held[part.bottleneck] = held.get(part.bottleneck, 0.0) + part.share
    inputs: dict[str, Any] = {
        "device": case.device or case.host, "architecture": case.architecture, "runtime": runtime_key(case),
        "format": case.work.format_family, "calibration": found.version,
    }  # fmt: skip
    estimate = Estimate(
        quantity=quantity, unit=unit, value=value, low=low, high=high, basis="calibrated",
        formula=f"core.serving:{terms.phase}_terms", coverage=found.coverage,
        samples_count=time.spread.samples_count, inputs=inputs,
    )  # fmt: skip
    return Speed(
        estimate=estimate, label=label, sequences_count=count, parts=parts, new=time.new,
        bottleneck=max(held, key=lambda name: held[name]),
    )  # fmt: skip


def _numbers(time: Prediction, unit: str, tokens: float) -> tuple[float, float, float]:
    if unit == "tokens/s":
        return tokens / time.seconds, tokens / time.high_seconds, tokens / time.low_seconds
    scale = 1e3 if unit == "ms" else 1.0
    return scale * time.seconds, scale * time.low_seconds, scale * time.high_seconds


def _parts(terms: Terms, found: Calibration) -> tuple[PartShare, ...]:
    """The parts by name, those of prompts apart from those of decoding."""
    import math

    whole = math.exp(sum(found.coefficients.get(e, 0.0) for e in terms.effects))
    held: dict[str, PartShare] = {}
    for p in terms.parts:
        name = f"prompt {p.name}" if any(e.startswith("serving prompt ") for e in p.effects) else p.name
        seconds = whole * p.seconds * math.exp(sum(found.coefficients.get(e, 0.0) for e in p.effects))
        before = held.get(name)
        ceiling = p.seconds + (before.ceiling_seconds if before else 0.0)
        spent = seconds + (before.share if before else 0.0)
        held[name] = PartShare(
            name=name, bottleneck=p.bottleneck, ceiling_seconds=ceiling, factor=spent / ceiling, share=spent
        )
    total = sum(p.share for p in held.values())
    made = [replace(p, share=p.share / total) for p in held.values()]
    return tuple(sorted(made, key=lambda p: -p.share))
