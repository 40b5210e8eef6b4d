"""How long a continuous batch takes: steps counted by `core.schedule`, timed by the parts of `core.speed`.

A step in which n sequences decode at depth d beside c prompt tokens takes

    t(n, d, c) = prompt pass of c tokens + what each sequence adds (cache, state, products, attention)
    t(n, d, 0) = decode pass of n sequences
    both       + n x a fixed time per sequence (scheduling, sampling, answering)

so that a time to first token, a time per token and a whole run are sums of parts of passes, each lengthened
by its coefficients: those of a pass alone, and those that `core.serving_fit` learns on top for a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from plimsoll.core.schedule import between, per_token, schedule, to_first_token
from plimsoll.core.speed import here, runtime_key, terms
from plimsoll.domain.serving import Load, Schedule, Stretch
from plimsoll.domain.speed import Phase, SpeedCase, Term, Terms

Counted = Literal["output", "after the first", "prompt and output"]

# Set the scale of what is learnt, like the launches of `core.speed`.
_SEQUENCE_SECONDS = 20e-6
_REQUEST_SECONDS = 1e-3
_EXCHANGED_TOKEN_SECONDS = 0.2e-6
# What a decoding sequence adds to a step that reads the weights for a prompt anyway.
_PER_SEQUENCE = ("cache", "state", "products", "expert products", "attention")


def step_terms(
    case: SpeedCase, *, decode_sequences: float, depth_tokens: int, prefill_tokens: int = 0,
    prompt_tokens: int = 0, phase: Phase = "decode", steps_count: float = 1.0,
) -> Terms:  # fmt: skip
    """The parts of one step (or of `steps_count` equal ones) as `t(n, d, c)` above.

    The c prompt tokens belong to prompts of `prompt_tokens` (0: one prompt of c); where that is more than c,
    they lie in the middle of one. Raises NoCeiling like `core.speed.terms`.
    """
    on, parts = runtime_key(case), []
    if prefill_tokens > 0:
        parts += _prompt(case, prefill_tokens, prompt_tokens or prefill_tokens)
    if decode_sequences > 0:
        parts += _decode(case, decode_sequences, depth_tokens, is_beside_prompt=prefill_tokens > 0)
    parts += _exchanged(case, decode_sequences + prefill_tokens)
    working = decode_sequences + (1 if prefill_tokens > 0 else 0)
    parts.append(
        Term(
            name="sequences", bottleneck="launch overhead", seconds=_SEQUENCE_SECONDS * working,
            effects=(f"serving sequences {on}", f"serving sequences {on} {case.architecture}"),
        )
    )  # fmt: skip
    return Terms(phase=phase, parts=tuple(_lasting(p, p.seconds * steps_count) for p in parts), effects=())


def _prompt(case: SpeedCase, tokens: int, prompt_tokens: int) -> list[Term]:
    prompts = max(round(tokens / prompt_tokens), 1)
    each = max(tokens // prompts, 2)
    found = terms(
        case, sequences_count=prompts, new_tokens=each, depth_tokens=max((prompt_tokens - each) // 2, 0)
    )
    on, out = runtime_key(case), []
    for p in found.parts:
        name = f"serving prompt {on} {_kind(p)}"
        finer = (f"{name} {case.architecture}", f"{name} {case.architecture} {case.work.format_family}")
        out.append(_served(p, found, (f"serving prompt {on}", name, *finer)))
    return out


def _decode(case: SpeedCase, sequences: float, depth: int, *, is_beside_prompt: bool) -> list[Term]:
    """Between two whole numbers of sequences in proportion."""
    below = max(int(sequences), 1)
    share = max(sequences - below, 0.0)
    found = [(1 - share, terms(case, sequences_count=below, new_tokens=1, depth_tokens=depth))]
    if share:
        found += [(share, terms(case, sequences_count=below + 1, new_tokens=1, depth_tokens=depth))]
    on = runtime_key(case)
    out = []
    for weight, one in found:
        for part in one.parts:
            if is_beside_prompt and part.name not in _PER_SEQUENCE:
                continue
            name = f"serving {_kind(part)}"
            finer = (f"{name} {on} {case.architecture}", f"{name} {on} {case.work.format_family}")
            if part.name == "exchange":
                finer = (f"{name} {on} {case.device}", f"{name} {on} {case.devices_count}")
            scaled = _lasting(part, part.seconds * weight * min(sequences, 1.0))
            out.append(_served(scaled, one, (f"{name} {on}", *finer)))
    return out


def _exchanged(case: SpeedCase, tokens: float) -> list[Term]:
    """What tensor parallelism sends grows with the tokens of a step; a pass alone knows only its launch."""
    if case.split != "tensor" or case.devices_count < 2:
        return []
    on = runtime_key(case)
    share = 2 * (case.devices_count - 1) / case.devices_count
    seconds = _EXCHANGED_TOKEN_SECONDS * 2 * len(case.work.layers) * tokens * share
    name = f"serving exchanged {on}"
    effects = (name, f"{name} {case.device}", f"{name} {case.device} {case.devices_count}")
    return [Term(name="exchanged tokens", bottleneck="link", seconds=seconds, effects=effects)]


def _kind(part: Term) -> str:
    """Parts that are learnt together."""
    return {
        "routing": "layers",
        "state layers": "layers",
        "pass": "layers",
    }.get(part.name, part.name)


def _served(part: Term, found: Terms, more: tuple[str, ...]) -> Term:
    """A part with the effects on its whole pass beside its own, since passes of two kinds are summed."""
    return Term(
        name=part.name, bottleneck=part.bottleneck, seconds=part.seconds, floor_share=part.floor_share,
        effects=(*part.effects, *found.effects, here(found), *more),
    )  # fmt: skip


def _lasting(part: Term, seconds: float) -> Term:
    """The same part with another time (`dataclasses.replace` takes four times as long)."""
    return Term(
        name=part.name, bottleneck=part.bottleneck, seconds=seconds, effects=part.effects,
        floor_share=part.floor_share,
    )  # fmt: skip


def total(parts: Iterable[Terms], phase: Phase, effects: tuple[str, ...] = ()) -> Terms:
    """The sum of several terms: parts of one name and the same effects are one."""
    found: dict[tuple[str, tuple[str, ...]], Term] = {}
    for one in parts:
        for part in one.parts:
            key = (part.name, part.effects)
            held = found.get(key)
            found[key] = _lasting(part, part.seconds + held.seconds) if held else part
    return Terms(phase=phase, parts=tuple(found.values()), effects=effects)


def run_terms(
    case: SpeedCase, load: Load, steps: Sequence[Stretch], phase: Phase, *, effects: tuple[str, ...] = (),
    requests_count: float = 0.0,
) -> Terms:  # fmt: skip
    """The parts of a run of steps of a load, and of `requests_count` requests that are taken in before it."""
    depth = load.prompt_tokens + load.output_tokens // 2
    every = [
        step_terms(
            case, decode_sequences=s.decode_sequences_count, depth_tokens=depth,
            prefill_tokens=round(s.prefill_tokens), prompt_tokens=load.computed_tokens,
            steps_count=s.steps_count,
        )
        for s in steps
    ]  # fmt: skip
    if requests_count:
        every.append(request_terms(case, requests_count))
    return total(every, phase, effects)


def request_terms(case: SpeedCase, count: float) -> Terms:
    """Taking requests in, one after the other: reading, tokenising, scheduling, and the way back."""
    on = runtime_key(case)
    parts = (
        Term(name="request", bottleneck="launch overhead", seconds=5 * _REQUEST_SECONDS,
            effects=(f"serving request {on}",)),
        Term(name="requests", bottleneck="launch overhead", seconds=_REQUEST_SECONDS * count,
            effects=(f"serving requests {on}",)),
    )  # fmt: skip
    return Terms(phase="prefill", parts=parts, effects=())


def ttft_terms(case: SpeedCase, load: Load, found: Schedule | None = None, *, client: str = "") -> Terms:
    """The median request's time to its first token: the steps since it came, and taking in those that came
    with it."""
    known = found or schedule(load)
    steps = to_first_token(known)
    together = _come_together(known)
    return run_terms(
        case,
        load,
        steps,
        "ttft",
        effects=_whole(case, load, "ttft", client),
        requests_count=(together + 1) / 2,
    )


def _come_together(found: Schedule) -> int:
    """How many requests the median one arrives with."""
    counts: dict[int, int] = {}
    for r in found.requests:
        counts[r.arrived_step] = counts.get(r.arrived_step, 0) + 1
    ordered = sorted(counts[r.arrived_step] for r in found.requests)
    return ordered[len(ordered) // 2]


def tpot_terms(case: SpeedCase, load: Load, found: Schedule | None = None, *, client: str = "") -> Terms:
    """The median request's time per token after its first: decode steps, and steps it shares with prompts."""
    steps = per_token(found or schedule(load))
    return run_terms(case, load, steps, "tpot", effects=_whole(case, load, "tpot", client))


def gap_terms(case: SpeedCase, load: Load, *, client: str = "") -> Terms:
    """The median time between two tokens: a step in which all decode, since steps with prompts are fewer."""
    count = min(load.slots_count or load.concurrent_count, load.concurrent_count)
    steps = (Stretch(steps_count=1, decode_sequences_count=count, prefill_tokens=0),)
    return run_terms(case, load, steps, "tpot", effects=_whole(case, load, "tpot", client))


def throughput_terms(
    case: SpeedCase, load: Load, counted: Counted, found: Schedule | None = None, *, client: str = ""
) -> tuple[Terms, float]:
    """The whole run's parts, and how many tokens are counted over it.

    'output': all generated ones, from the first arrival; 'after the first': without each request's first,
    from the first of all first tokens (llama-benchy); 'prompt and output': both.
    """
    known = found or schedule(load)
    count = len(known.requests)
    start = min(r.first_step for r in known.requests) if counted == "after the first" else 0
    steps = between(known, start, max(r.last_step for r in known.requests))
    tokens = {
        "output": count * load.output_tokens, "after the first": count * max(load.output_tokens - 1, 1),
        "prompt and output": count * (load.prompt_tokens + load.output_tokens),
    }[counted]  # fmt: skip
    taken_in = 0.0 if start else (load.concurrent_count + 1) / 2 * max(load.rounds_count, 1)
    found_terms = run_terms(
        case, load, steps, "throughput", effects=_whole(case, load, "throughput", client),
        requests_count=taken_in,
    )  # fmt: skip
    return found_terms, float(tokens)


def whole_effects(case: SpeedCase, phase: Phase, *, client: str = "") -> tuple[str, ...]:
    """What lengthens all steps of a batch alike, as the phase's measurements show it."""
    on = runtime_key(case)
    effects = [f"serving {phase} {on}", f"serving model {case.work.architecture} {phase}"]
    effects += [f"serving device {case.device} {on} {phase}"]
    effects += [f"serving client {client} {phase}"] if client else []
    if case.power_share < 1:
        # Cards that work in turn draw less than those that work at the same time.
        limit = f"serving power {round(case.power_share, 1)} {case.runtime}"
        effects += [limit, f"{limit} {case.split} {case.devices_count}"]
    return tuple(effects)


def _whole(case: SpeedCase, load: Load, phase: Phase, client: str) -> tuple[str, ...]:
    effects = list(whole_effects(case, phase, client=client))
    if client == "llama-benchy" and load.output_tokens > 512:
        # Its requests may end before --tg tokens, and a batch that ends unevenly runs on with fewer.
        length = load.output_tokens.bit_length()
        effects += [
            f"serving early {client} {length}",
            f"serving early {client} {length} {load.concurrent_count}",
        ]
        effects += [f"serving early {client} {length} {case.work.model}"]
    return tuple(effects)
