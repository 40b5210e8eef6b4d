"""Every model of the catalog on one machine: which run well, the largest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.ask.fit import FitQuestion, deploy, named_runtime
from plimsoll.ask.plan import check, choice_of, profile_of
from plimsoll.ask.plan_candidates import Candidate, Search, candidates
from plimsoll.ask.plan_question import PlanQuestion, asked_of
from plimsoll.ask.speed import case_from
from plimsoll.catalog import calibration as shipped
from plimsoll.catalog import models as catalog
from plimsoll.core.goals import Profile
from plimsoll.core.plan import ranked, ranked_models
from plimsoll.core.plan_figures import figures, slow_end
from plimsoll.core.plan_formats import nominal_bits, weight_formats
from plimsoll.core.speed import NoCeiling
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.plan import Choice, PlanAnswer
from plimsoll.domain.speed import Calibration, SpeedCase
from plimsoll.errors import BadSetting, PlimsollError, UnknownModel
from plimsoll.formulas.decode import kv_bytes_read
from plimsoll.formulas.roofline import family_of
from plimsoll.formulas.weights import parameters_count
from plimsoll.runtimes import formats_of
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture

OBJECTIVE = (
    "at least a comfortable speed, no more than noticeable loss, then the most parameters: how good the "
    "models are beside each other is not judged here"
)
# What an estimate may take of the memory: the rest is left to buffers, which only the exact way counts.
_FULL_SHARE = 0.97
_LEAST_BITS = 3.4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guess:
    """A model with the format it would run in, by its nominal bits alone."""

    name: str
    model: Model
    runtime: str
    formats: tuple[str, ...]
    parameters_count: int
    tokens_per_s: float

    def key(self, least: float) -> tuple[float, ...]:
        """Slow ones last, then the largest first."""
        is_slow = float(self.tokens_per_s < least)
        return (is_slow, -self.parameters_count, -self.tokens_per_s)


def plan_catalog(question: PlanQuestion, words: Sequence[str] = (), limit: int = 20) -> PlanAnswer:
    """The models whose ids contain all words, ranked; each of the first `limit` in its best exact way.

    All models are ordered by an estimate (nominal bits per weight, cache, predicted speed); the first are
    then judged to the byte, as `plan` judges one; where one does not fit after all, the next takes its place.
    """
    _check(question)
    machine = machines.resolve(
        question.on, vram_free_bytes=question.vram_free_bytes, ram_bytes=question.ram_bytes,
        desktop_bytes=question.desktop_bytes,
    )  # fmt: skip
    calibration, profile = shipped.load(), profile_of(question)
    names = [i for i in catalog.find_all() if all(w.lower() in i.lower() for w in words)]
    if not names:
        raise UnknownModel(
            f"no model of the catalog has {' and '.join(map(repr, words))} in its name", name=" ".join(words),
            hint="plimsoll models lists them",
        )  # fmt: skip
    left_out: dict[str, int] = {}
    tried = [_guessed(name, machine, question, profile, calibration, left_out) for name in names]
    guesses = [g for g in tried if g]
    guesses.sort(key=lambda g: g.key(profile.least_tokens_per_s))
    choices: list[Choice] = []
    for guess in guesses:
        if len(choices) == limit:
            break
        found = _exact(guess, machine, question, profile, calibration)
        if found:
            choices.append(choice_of(found))
        else:
            _count(left_out, "does not fit, counted to the byte")
    order = ranked_models(choices, profile.least_tokens_per_s)
    verdict = "planned" if order else "does_not_fit"
    reason = "" if order else f"none of {len(names):,} models fits {machine.name}"
    return PlanAnswer(
        question="plan", asked={**asked_of(question), "words": list(words)}, goal=question.goal,
        objective=OBJECTIVE, verdict=verdict, reason=reason, machine=machine.name, choices=tuple(order),
        considered_count=len(names), fitting_count=len(guesses), front_count=len(order),
        left_out=tuple(f"{n:,} x {why}" for why, n in sorted(left_out.items(), key=lambda x: -x[1])),
        notes=_notes(guesses, order, profile), unknowns=(), sources=machine.sources,
        versions={"plimsoll": __version__},
    )  # fmt: skip


def _check(question: PlanQuestion) -> None:
    check(question)
    named_runtime(question.runtime)
    if question.goal == "long-context" or profile_of(question).sequences_count is None:
        hint = "--goal chat, agents or max-quality" if question.goal == "long-context" else "--users 8"
        raise BadSetting(f"the catalog is not ranked for {question.goal}", hint=hint)


def _guessed(
    name: str, machine: Machine, question: PlanQuestion, profile: Profile, calibration: Calibration,
    left_out: dict[str, int],
) -> _Guess | None:  # fmt: skip
    """The largest format that is likely to fit and fast enough, else the fastest; None where none is."""
    try:
        model = models.from_catalog(name)
        runtime = _runtime(model, machine, question)
        case = _case(model, machine)
    except NoCeiling as error:
        _count(left_out, str(error))
        return None
    except PlimsollError as error:
        _count(left_out, error.message)
        return None
    capacity = sum(d.memory_bytes for d in machine.devices) or machine.ram_bytes or 0
    count = parameters_count(model.tensors)
    context = _context(model, profile)
    cache = kv_bytes_read(model.layers, context, "f16", "f16") * (profile.sequences_count or 1)
    fit = [
        x for x in _formats(model, runtime, question)
        if _bits(model, x) * count / 8 + cache <= _FULL_SHARE * capacity
    ]  # fmt: skip
    if not fit:
        _count(left_out, "larger than the memory in every format tried")
        return None
    speed = 0.0
    while fit:
        speed = _speed(case, model, runtime, fit[0], count, profile, context, calibration)
        if speed >= profile.least_tokens_per_s or len(fit) == 1:
            break
        fit = fit[1:]
    return _Guess(
        name=name,
        model=model,
        runtime=runtime,
        formats=tuple(fit),
        parameters_count=count,
        tokens_per_s=speed,
    )


def _count(left_out: dict[str, int], why: str) -> None:
    left_out[why] = left_out.get(why, 0) + 1


def _runtime(model: Model, machine: Machine, question: PlanQuestion) -> str:
    """The asked runtime, else llama.cpp, else vLLM for what llama.cpp does not convert."""
    if question.runtime:
        return named_runtime(question.runtime)[0]
    try:
        gguf_architecture(model)
        return "llama_cpp"
    except PlimsollError:
        if any(d.backend in ("cuda", "rocm") for d in machine.devices):
            return "vllm"
        raise


def _formats(model: Model, runtime: str, question: PlanQuestion) -> tuple[str, ...]:
    wanted = (question.weights,) if question.weights else weight_formats(model, runtime)
    return tuple(name for name in wanted if name == question.weights or _bits(model, name) >= _LEAST_BITS)


def _bits(model: Model, weight_format: str) -> float:
    """Nominal bits; as published: all bytes of the files x 8 / parameters."""
    if weight_format:
        return nominal_bits(weight_format)
    return model.quantisation.bits if model.quantisation else 16.0


def _context(model: Model, profile: Profile) -> int:
    wanted = profile.context_tokens or 1
    return min(wanted, model.trained_context_tokens or wanted)


def _case(model: Model, machine: Machine) -> SpeedCase:
    """The model as published on the machine's devices; the cheapest table that holds all its tensors."""
    deployment, _ = deploy(
        model, machine, FitQuestion(models=(model.id,), runtime="transformers", context_tokens=1)
    )
    return case_from(deployment)


def _speed(
    case: SpeedCase, model: Model, runtime: str, weight_format: str, count: int, profile: Profile,
    context: int, calibration: Calibration,
) -> float:  # fmt: skip
    """The slow end of generation with all bytes scaled to the format's nominal bits; 0 where unknown."""
    work = case.work
    scale = _bits(model, weight_format) * count / 8 / max(work.weights_bytes, 1)
    experts = tuple(replace(g, size_bytes=round(scale * g.size_bytes)) for g in work.experts)
    family = family_of(weight_format) if weight_format else work.format_family
    scaled = replace(
        work, block_bytes=round(scale * work.block_bytes), output_bytes=round(scale * work.output_bytes),
        experts=experts, format_family=family,
    )  # fmt: skip
    found = figures(
        replace(case, runtime=runtime, work=scaled, kv_format="f16"), calibration, context_tokens=context,
        sequences_count=profile.sequences_count or 1, prompt_tokens=0, output_tokens=0,
    )  # fmt: skip
    return slow_end(found["decode"]) if "decode" in found else 0.0


def _exact(
    guess: _Guess, machine: Machine, question: PlanQuestion, profile: Profile, calibration: Calibration
) -> Candidate | None:
    """The best way in the guessed format, else in the next smaller one, counted to the byte."""
    for weights in _tried(guess):
        natural = question.kv or formats_of(guess.runtime).NATURAL_KV
        pinned = replace(
            question, models=(guess.name,), runtime=question.runtime or guess.runtime,
            weights=weights, kv=natural,
        )  # fmt: skip
        search = Search(
            name=guess.name, model=guess.model, machine=machine, question=pinned, profile=profile,
            calibration=calibration, serving=shipped.load(shipped.SERVING_PATH),
            context_tokens=_context(guess.model, profile),
            is_published_only=not weights,
        )  # fmt: skip
        try:
            found = candidates(search)
        except PlimsollError:
            continue
        if found:
            by_print = {c.part.fingerprint: c for c in found}
            best = ranked([choice_of(c) for c in found], question.goal, profile.least_tokens_per_s)[0]
            return by_print[best.parts[0].fingerprint]
    return None


def _tried(guess: _Guess) -> Iterator[str]:
    """The guessed format and two smaller ones: the guess leaves out little."""
    yield from guess.formats[:3]


def _notes(guesses: Sequence[_Guess], order: Sequence[Choice], profile: Profile) -> tuple[str, ...]:
    notes = [f"context: {profile.context_tokens:,} tokens, or what the model was trained for"]
    if len(guesses) > len(order):
        notes.append(f"{len(guesses) - len(order):,} more fit by estimate; --top N shows more")
    return tuple(notes)
