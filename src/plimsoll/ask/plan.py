"""Which way should I run this: every way that fits, ranked by a goal, and what each gives up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.ask.plan_candidates import Candidate, Search, candidates
from plimsoll.ask.plan_costs import priced, within
from plimsoll.ask.plan_drafting import drafting_notes
from plimsoll.ask.plan_question import PlanQuestion, asked_of
from plimsoll.ask.plan_several import all_of
from plimsoll.catalog import calibration as shipped
from plimsoll.catalog import sources
from plimsoll.core import fit as core
from plimsoll.core.goals import PROFILES, Profile
from plimsoll.core.pareto import front
from plimsoll.core.plan import explained, missed, nearest, ranked, reaches
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.origin import Source
from plimsoll.domain.plan import Choice, Goal, Part, PlanAnswer
from plimsoll.errors import BadSetting
from plimsoll.units import format_bytes, format_count

SHOWN_COUNT = 8
_LEAST_CONTEXT_TOKENS = 2048


def plan(question: PlanQuestion) -> PlanAnswer:
    """Answer a PlanQuestion; errors are typed (`plimsoll.errors`), 'no' and 'unknown' are answers."""
    check(question)
    machine = machines.resolve(
        question.on, vram_free_bytes=question.vram_free_bytes, ram_bytes=question.ram_bytes,
        desktop_bytes=question.desktop_bytes,
    )  # fmt: skip
    loaded = [models.load(name, offline=question.offline) for name in question.models]
    each = [searched(question, machine, model, number) for number, model in enumerate(loaded)]
    searches, found = [search for search, _, _ in each], [candidates for _, candidates, _ in each]
    notes = [note for _, _, more in each for note in more]
    if len(loaded) == 1 and not found[0] and (question.context_tokens or question.users_count):
        return _smaller(question, machine, loaded[0], searches[0])
    if len(loaded) == 1:
        choices = [choice_of(c) for c in found[0]]
    else:
        choices = all_of(question, found, profile_of(question).least_tokens_per_s)
        notes += _several_notes(question, choices)
    return answered(question, machine, loaded, searches, choices, notes)


def _smaller(question: PlanQuestion, machine: Machine, model: Model, search: Search) -> PlanAnswer:
    """No way holds the asked sequences or context: the nearest that one does, by halving what was asked."""
    wanted = search_for(question, machine, model).context_tokens
    smaller = replace(question, context_tokens=wanted)
    while True:
        users, context = smaller.users_count, smaller.context_tokens
        if users and users > 1:
            smaller = replace(smaller, users_count=users // 2)
        elif context and context > _LEAST_CONTEXT_TOKENS:
            smaller = replace(smaller, context_tokens=context // 2)
        else:
            return answered(question, machine, [model], [search], [], [])
        again, found, _ = searched(smaller, machine, model)
        if found:
            break
    answer = answered(smaller, machine, [model], [again], [choice_of(c) for c in found], [])
    return replace(
        answer, asked=asked_of(question), verdict="no_plan", reason=_held(question, wanted, smaller, answer)
    )


def _held(question: PlanQuestion, wanted: int | None, smaller: PlanQuestion, answer: PlanAnswer) -> str:
    """'no way holds 5,000 sequences of 16,384 tokens; the nearest holds 78 (q2_k on llama.cpp)'."""
    parts = [c.parts[0] for c in answer.choices]
    tokens = format_count(wanted or 0)
    if smaller.context_tokens == wanted:
        best = max(parts, key=lambda p: p.most_sequences_count or 0)
        asked = f"{format_count(question.users_count or 1)} sequences of {tokens} tokens"
        held = format_count(best.most_sequences_count or best.sequences_count)
    else:
        lengths = {p.fingerprint: _longest(p, wanted or 0) for p in parts}
        best = max(parts, key=lambda p: lengths[p.fingerprint])
        asked = f"{tokens} tokens"
        held = f"{format_count(lengths[best.fingerprint])} with one sequence"
    where = f"{best.weight_format} on {best.model.runtime.replace('llama_cpp', 'llama.cpp')}"
    return f"no way holds {asked}; the nearest holds {held} ({where})"


def _longest(part: Part, limit: int) -> int:
    """The longest context of a way, a multiple of 256 tokens, whatever the model was trained for."""
    found = core.largest(lambda n: core.room(core.with_context(part.deployments, n)), limit, 256)
    return found or part.context_tokens


def _several_notes(question: PlanQuestion, choices: Sequence[Choice]) -> list[str]:
    """Which model goes first, and how long a swap takes."""
    notes = [f"{question.models[0]} comes first: its way is chosen before the others'"]
    if choices and not any(c.arrangement == "beside" for c in choices):
        notes.append("no way holds all of them at once")
    if not question.disk_bytes_per_s:
        notes.append("how long a swap takes is not known: tell how fast weights are read (--disk 7GB/s)")
    return notes


def check(question: PlanQuestion) -> None:
    """Refuse what contradicts itself."""
    if question.goal == "long-context" and question.context_tokens:
        raise BadSetting(
            "long-context looks for the longest context, and --context fixes it",
            hint="leave --context out, or use --goal chat --context N",
        )
    for name, wish in (("--min-tps", question.min_tokens_per_s), ("--max-ttft", question.max_first_token_s)):
        if wish is not None and not (math.isfinite(wish) and wish > 0):
            raise BadSetting(f"{name} is a number above 0", hint=f"{name} 20")
    if question.goal == "batch" and question.max_first_token_s:
        raise BadSetting(
            "nobody waits for a batch: --max-ttft does not go with --goal batch", hint="--goal agents"
        )
    if question.goal == "max-quality" and question.weights:
        raise BadSetting("max-quality chooses the weights, and --weights fixes them", hint="--goal chat")


def profile_of(question: PlanQuestion) -> Profile:
    """The goal's defaults with what was asked put in."""
    profile = PROFILES[question.goal]
    return replace(
        profile,
        context_tokens=question.context_tokens or profile.context_tokens,
        sequences_count=question.users_count or profile.sequences_count,
        least_tokens_per_s=profile.least_tokens_per_s
        if question.min_tokens_per_s is None
        else question.min_tokens_per_s,
    )


def search_for(question: PlanQuestion, machine: Machine, model: Model, number: int = 0) -> Search:
    """The search for one model of the question, at the goal's or the asked context."""
    profile = profile_of(question)
    context, trained = profile.context_tokens, model.trained_context_tokens
    if context and not question.context_tokens:
        context = min(context, trained or context)
    return Search(
        name=question.models[number], model=model, machine=machine, question=question, profile=profile,
        calibration=shipped.load(), serving=shipped.load(shipped.SERVING_PATH),
        context_tokens=context, is_first=number == 0,
    )  # fmt: skip


def searched(
    question: PlanQuestion, machine: Machine, model: Model, number: int = 0
) -> tuple[Search, list[Candidate], list[str]]:
    """Everything that fits at the goal's context, or at a half, a quarter .. of it, the first that fits."""
    search = search_for(question, machine, model, number)
    found = candidates(search)
    wanted = context = search.context_tokens
    while not found and not question.context_tokens and search.context_tokens:
        if search.context_tokens // 2 < _LEAST_CONTEXT_TOKENS:
            break
        search.context_tokens //= 2
        found = candidates(search)
    notes = []
    if found and wanted and search.context_tokens != wanted:
        notes.append(
            f"context: {format_count(search.context_tokens or 0)} tokens, because no way holds the "
            f"{format_count(wanted)} that {question.goal} starts from"
        )
    elif context and not question.context_tokens:
        notes.append(f"context: {format_count(context)} tokens, because none was asked for (--context N)")
    return search, found, notes


def choice_of(candidate: Candidate) -> Choice:
    """A choice of one model alone, not yet ranked."""
    verdict = "offload" if candidate.part.placement else candidate.judgement.verdict
    return Choice(
        rank=0, arrangement="alone", verdict=verdict, parts=(candidate.part,),
        memory_left_bytes=candidate.judgement.headroom_bytes, is_on_front=False,
    )  # fmt: skip


def answered(
    question: PlanQuestion, machine: Machine, loaded: Sequence[Model], searches: Sequence[Search],
    choices: Sequence[Choice], notes: Sequence[str],
) -> PlanAnswer:  # fmt: skip
    """Rank, keep what reaches the wishes, and say why."""
    choices, cost_notes = priced(question, choices)
    wishes = (question.min_tokens_per_s, question.max_first_token_s)
    least = profile_of(question).least_tokens_per_s
    known = [c for c in choices if c.verdict != "unknown"]
    pool = known or list(choices)
    good = [c for c in pool if reaches(c, *wishes)]
    verdict, reason = "planned", ""
    if not pool:
        is_tried = any(s.considered_count for s in searches)
        verdict = "does_not_fit" if is_tried else "no_plan"
        reason = _nothing_fits(machine, loaded, searches)
    elif not good and any(w is not None for w in wishes):
        if any(reaches(c, *wishes) is None for c in pool):
            verdict, reason = "unknown", "no way whose speed is known reaches it; of others it is not known"
        else:
            verdict, reason = "no_plan", missed(pool, *wishes)
        good = nearest(pool, *wishes)
    elif not known:
        verdict, reason = "unknown", "how much memory the host has was not told (--ram 128GiB)"
    if verdict == "planned" and question.budget:
        verdict, reason, good = within(question.budget, good)
    order = ranked(good, question.goal, least) if verdict != "no_plan" else _numbered(good)
    shown, count = _shown(order, question.goal)
    shown = explained(shown, order, question.goal, least) if verdict != "no_plan" else shown
    return PlanAnswer(
        question="plan", asked=asked_of(question), goal=question.goal,
        objective=PROFILES[question.goal].objective, verdict=verdict, reason=reason, machine=machine.name,
        choices=tuple(shown), considered_count=sum(s.considered_count for s in searches),
        fitting_count=len(choices), front_count=count, left_out=_left_out(searches),
        notes=tuple(dict.fromkeys((*notes, *_notes(question, shown, least), *cost_notes, *machine.notes))),
        unknowns=(reason,) if verdict == "unknown" else (),
        sources=_sources(machine, loaded, searches, shown),
        versions={"plimsoll": __version__},
    )  # fmt: skip


def _sources(
    machine: Machine, loaded: Sequence[Model], searches: Sequence[Search], shown: Sequence[Choice]
) -> tuple[Source, ...]:
    """Of the models, of the machine, of the quality measurements that told a loss, and of the rules that
    tell whether what is shown runs."""
    told = [s for model in loaded for s in model.sources] + list(machine.sources)
    measured = tuple(dict.fromkeys(s for search in searches for s in search.losses.sources))
    rules = (s for c in shown for p in c.parts for s in p.compatibility.sources)
    return tuple(dict.fromkeys((*told, *sources.load_all(tuple(dict.fromkeys((*measured, *rules)))))))


def _numbered(choices: Sequence[Choice]) -> list[Choice]:
    return [replace(choice, rank=number) for number, choice in enumerate(choices, start=1)]


def _shown(order: Sequence[Choice], goal: Goal) -> tuple[list[Choice], int]:
    """The best of the front with their limits, numbered anew, and how many are on the front.

    Of one runtime, split and weight format that differ in the cache only, the best is shown; both where the
    cache is what the goal is about.
    """
    count_of_each = 2 if goal == "long-context" else 1
    marked = [replace(c, is_on_front=on) for c, on in zip(order, front(order), strict=True)]
    on_front = [c for c in marked if c.is_on_front or c.rank == 1]
    seen: dict[tuple[str, ...], int] = {}
    shown: list[Choice] = []
    for choice in on_front:
        keys = [(p.weight_format, p.model.runtime, p.split) for p in choice.parts]
        key = (choice.arrangement, *(word for words in keys for word in words))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= count_of_each and len(shown) < SHOWN_COUNT:
            shown.append(with_limits(choice))
    return _numbered(shown), len(on_front)


def with_limits(choice: Choice) -> Choice:
    """How far context and sequences may be turned, one at a time."""
    if choice.arrangement != "alone" or choice.verdict == "unknown":
        return choice
    parts = tuple(
        replace(
            p, longest_context_tokens=core.longest_context(p.deployments),
            most_sequences_count=core.most_sequences(p.deployments),
        )
        for p in choice.parts
    )  # fmt: skip
    return replace(choice, parts=parts)


def _nothing_fits(machine: Machine, loaded: Sequence[Model], searches: Sequence[Search]) -> str:
    memory = sum(d.memory_bytes for d in machine.devices) or machine.ram_bytes or 0
    names = " and ".join(m.id for m in loaded)
    tried = sum(s.considered_count for s in searches)
    if not tried:
        return f"no way that was asked for runs {names}: {'; '.join(_refusals(searches))}"
    return (
        f"none of {format_count(tried)} ways to run {names} fits the {format_bytes(memory)} of {machine.name}"
    )


def _refusals(searches: Sequence[Search]) -> list[str]:
    """Every reason why a way was not tried, the most frequent first."""
    return [words.partition(" x ")[2] for words in _left_out(searches)][:3]


def _left_out(searches: Sequence[Search]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for search in searches:
        for reason, count in search.left_out.items():
            counts[reason] = counts.get(reason, 0) + count
    return tuple(f"{format_count(n)} x {reason}" for reason, n in sorted(counts.items(), key=lambda x: -x[1]))


def _notes(question: PlanQuestion, shown: Sequence[Choice], least: float) -> list[str]:
    notes = []
    parts = [p for c in shown for p in c.parts]
    if any(p.placement and not d.machine.ram_bandwidth_bytes_per_s for p in parts for d in p.deployments):
        notes.append(
            "the speed of the host memory is not known; name the processor or the memory, such as "
            "'+ 192GiB ddr5-6000 x2' or '+ epyc-9554-12ch-ddr5-4800'"
        )
    if shown and shown[0].arrangement == "alone":
        notes += drafting_notes(shown[0])
    speeds = [p.figures["decode"].estimate.value for p in parts if "decode" in p.figures]
    if speeds and question.min_tokens_per_s is None and speeds[0] < least:
        which = "no way reaches" if max(speeds) < least else "within 25 % of"
        notes.append(f"{which} the {least:.3g} tokens/s that {question.goal} takes for comfortable")
    return notes


__all__ = ["Goal", "PlanQuestion", "plan"]
