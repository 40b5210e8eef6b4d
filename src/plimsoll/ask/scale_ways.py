"""What one machine does with one model: the best of a few ways to run it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.plan import choice_of, profile_of, search_for, with_limits
from plimsoll.ask.plan_candidates import Candidate, Search, candidates, fit_question, refusal
from plimsoll.ask.plan_question import PlanQuestion
from plimsoll.core.plan import never_better, ranked
from plimsoll.core.plan_formats import kv_formats, nominal_bits, weight_formats
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.scale import Possible
from plimsoll.errors import PlimsollError
from plimsoll.formulas.decode import kv_bytes_read
from plimsoll.formulas.weights import parameters_count

_LEAST_CONTEXT_TOKENS = 2048
# Below these bits weights lose so much that another model is the better answer (see `plimsoll quality`).
_LEAST_BITS = 3.4
# Each further format that is tried has at most this share of the bits of the one before it.
_NEXT_SHARE = 0.9
_TRIED_COUNT = 5
# What nominal weights and cache may take of the memory: the exact way counts the buffers.
FULL_SHARE = 0.97
_RUNTIMES = {"cuda": ("llama_cpp", "vllm"), "rocm": ("llama_cpp", "vllm"), "metal": ("llama_cpp", "mlx")}


def possible(question: PlanQuestion, machine: Machine, model: Model) -> Possible:
    """The best way by the goal among the widest formats that fit in two runtimes, and its limits."""
    search = search_for(question, machine, model)
    try:
        found = _found(search)
    except PlimsollError as error:
        return _impossible(model, "unknown", error.message)
    if not found:
        why = next(iter(search.left_out), "no format of 3.4 bits or more fits with so much context")
        return _impossible(model, "does_not_fit", why)
    best = _best(question, [*found, *_with_whole_cache(search, _best(question, found))])
    choice = with_limits(choice_of(best))
    part = choice.parts[0]
    figure = part.figures.get("decode_total") or part.figures.get("decode")
    return Possible(
        model=model.id, verdict=choice.verdict, reason="" if figure else "its speed is not known",
        is_whole=any(c.part.loss.basis == "reference" and not c.part.placement for c in found),
        is_measured=bool(figure and figure.is_measured), part=part,
        tokens_per_s=figure.estimate if figure else None,
    )  # fmt: skip


def _impossible(model: Model, verdict: str, reason: str) -> Possible:
    return Possible(
        model=model.id, verdict=verdict, reason=reason, is_whole=False, is_measured=False, part=None
    )


def needed_bytes(model: Model, bits: float, context_tokens: int, sequences_count: int) -> float:
    """Nominal weights and an f16 cache: what a machine must hold before anything is counted exactly."""
    cache = kv_bytes_read(model.layers, context_tokens, "f16", "f16") * sequences_count
    return bits * parameters_count(model.tensors) / 8 + cache


def bits_of(model: Model, weight_format: str) -> float:
    """Nominal bits of a format; '' is the model as published."""
    if weight_format:
        return nominal_bits(weight_format)
    return model.quantisation.bits if model.quantisation else 16.0


def _found(search: Search) -> list[Candidate]:
    """What fits at the asked context, or, where none was asked for, at a half, a quarter .. of the goal's."""
    found = _fitting(search)
    while not found and not search.question.context_tokens and search.context_tokens:
        if search.context_tokens // 2 < _LEAST_CONTEXT_TOKENS:
            break
        search.context_tokens //= 2
        found = _fitting(search)
    parts = [c.part for c in found]
    return [replace(c, part=never_better(c.part, parts)) for c in found]


def _best(question: PlanQuestion, found: list[Candidate]) -> Candidate:
    by_print = {c.part.fingerprint: c for c in found}
    choices = [choice_of(c) for c in found]
    known = [c for c in choices if c.verdict != "unknown"] or choices
    best = ranked(known, question.goal, profile_of(question).least_tokens_per_s)[0]
    return by_print[best.parts[0].fingerprint]


def _fitting(search: Search) -> list[Candidate]:
    """Up to five formats that fit in llama.cpp and in the server of the machine's kind, the widest first.

    Raises what the first refused way raises where no way could be judged at all.
    """
    devices = search.machine.devices
    found: list[Candidate] = []
    refused: list[PlimsollError] = []
    for runtime in _RUNTIMES.get(devices[0].backend, ("llama_cpp",)) if devices else ("llama_cpp",):
        limit, count = float("inf"), 0
        for weights in _formats(search, runtime):
            bits = bits_of(search.model, weights)
            if bits > limit or count == _TRIED_COUNT:
                continue
            try:
                fitting = candidates(search, _tried(search, runtime, weights))
            except PlimsollError as error:
                refused.append(error)
                continue
            if fitting:
                found += fitting
                limit, count = _NEXT_SHARE * bits, count + 1
    if refused and not search.judged_count:
        raise refused[0]
    return found


def _tried(search: Search, runtime: str, weights: str) -> Iterator[FitQuestion]:
    """The format with the cache that `plan` chooses most often: the next smaller one, if rules allow it."""
    if why := refusal(search, runtime, weights, ""):
        search.leave_out(why)
        return
    smaller = kv_formats(runtime, is_deep=False)[-1]
    cache = "" if refusal(search, runtime, weights, smaller) else smaller
    yield fit_question(search, runtime, weights, None, cache)


def _with_whole_cache(search: Search, best: Candidate) -> list[Candidate]:
    """The best way once more with the runtime's own cache, where it fits."""
    told = best.part.asked
    if not told.get("kv"):
        return []
    asked = fit_question(search, str(told["runtime"]), str(told.get("weights", "")), None, "")
    try:
        return candidates(search, [asked])
    except PlimsollError:
        return []


def _formats(search: Search, runtime: str) -> list[str]:
    """The formats that may fit by their nominal bits, widest first."""
    machine, model = search.machine, search.model
    cards = sum(d.memory_bytes - d.reserved_bytes for d in machine.devices)
    is_offloading = runtime == "llama_cpp" and not any(d.is_unified for d in machine.devices)
    capacity = cards + (machine.ram_bytes or 0) if is_offloading or not machine.devices else cards
    context, count = search.context_tokens or 1, search.profile.sequences_count or 1
    return [
        name for name in weight_formats(model, runtime)
        if (not name or bits_of(model, name) >= _LEAST_BITS)
        and needed_bytes(model, bits_of(model, name), context, count) <= FULL_SHARE * capacity
    ]  # fmt: skip
