"""What several requests at once get of a way: pace, wait, turn and throughput of a continuous batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from plimsoll.core.plan_figures import Timed, maker, timed, was_measured
from plimsoll.core.schedule import schedule
from plimsoll.core.serving import throughput_terms, tpot_terms, ttft_terms
from plimsoll.core.speed import NoCeiling, measure_only
from plimsoll.domain.plan import Figure
from plimsoll.domain.serving import Load
from plimsoll.domain.speed import Calibration, SpeedCase

# The most sequences at once in catalog/measurements/serving.csv (a test counts them); no more are tried.
MEASURED_SEQUENCES = {"vllm": 128, "llama_cpp": 32}


def most_measured(runtime_id: str) -> int:
    """How many sequences at once anybody measured; of runtimes with one only, as many as of others are tried,
    and shown as what the hardware allows."""
    return MEASURED_SEQUENCES.get(runtime_id, max(MEASURED_SEQUENCES.values()))


def turn_load(load: Load, *, context_tokens: int, new_tokens: int) -> Load:
    """One round of requests that all come at once: `new_tokens` read onto a cache that leaves just room for
    them and the output."""
    prompt = max(context_tokens - load.output_tokens, 1)
    return replace(
        load, prompt_tokens=prompt, cached_tokens=max(prompt - new_tokens, 0), rounds_count=1,
        slots_count=load.concurrent_count,
    )  # fmt: skip


def turn_figures(case: SpeedCase, found: Calibration, load: Load) -> dict[str, Figure]:
    """decode and decode_total (the pace after the first token), ttft (the median request's wait) and turn:
    wait + (output - 1) x pace. Empty where no model of speed holds."""
    if measure_only(case):
        return {}
    try:
        known = schedule(load)
        wait = timed(case, found, ttft_terms(case, load, known))
        pace = timed(case, found, tpot_terms(case, load, known))
    except NoCeiling:
        return {}
    made, count = _maker(case, found, load), load.concurrent_count
    return {
        "decode": made("decode", "tokens/s", pace, lambda t: 1 / t),
        "decode_total": made("decode_total", "tokens/s", pace, lambda t: count / t),
        "ttft": made("ttft", "s", wait, lambda t: t),
        "turn": made("turn", "s", _turn(wait, pace, load.output_tokens - 1), lambda t: t),
    }


def batch_figures(case: SpeedCase, found: Calibration, load: Load) -> dict[str, Figure]:
    """throughput: generated tokens/s of all together while finished requests are replaced at once; and
    decode, the pace of each."""
    if measure_only(case):
        return {}
    load = replace(load, slots_count=load.concurrent_count)
    try:
        known = schedule(load)
        terms, tokens = throughput_terms(case, load, "output", known)
        run = timed(case, found, terms)
        pace = timed(case, found, tpot_terms(case, load, known))
    except NoCeiling:
        return {}
    made = _maker(case, found, load)
    return {
        "decode": made("decode", "tokens/s", pace, lambda t: 1 / t),
        "throughput": made("throughput", "tokens/s", run, lambda t: tokens / t),
    }


def _turn(wait: Timed, pace: Timed, count: int) -> Timed:
    """The wait and so many more tokens: ends added, as if both missed alike."""
    (first, first_bound), (each, each_bound) = wait, pace
    time = replace(
        first, seconds=first.seconds + count * each.seconds,
        low_seconds=first.low_seconds + count * each.low_seconds,
        high_seconds=first.high_seconds + count * each.high_seconds, new=first.new or each.new,
    )  # fmt: skip
    return time, first_bound if first.seconds >= count * each.seconds else each_bound


def _maker(case: SpeedCase, found: Calibration, load: Load) -> Callable[..., Figure]:
    """Figures of a batch are measured where the runtime was with as many at once."""
    phases = {"ttft": ("ttft",), "turn": ("ttft", "tpot"), "throughput": ("throughput",)}
    few = load.concurrent_count <= MEASURED_SEQUENCES.get(case.runtime, 1)

    def is_measured(quantity: str) -> bool:
        return few and all(was_measured(case, found, p) for p in phases.get(quantity, ("tpot",)))

    return maker(case, found, is_measured, formula="core.serving:run_terms")
