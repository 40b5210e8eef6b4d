"""What is in this adapter, does it work on that model, and how many fit beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from plimsoll import __version__
from plimsoll.ask import adapter_files, models
from plimsoll.core import adapter as core
from plimsoll.core import adapter_uses
from plimsoll.core import fit as fit_core
from plimsoll.domain.adapter import AdapterAnswer, LoraAdapter, RuntimeUse
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.model import Model
from plimsoll.errors import BadSetting, PlimsollError, UnknownName

_MOST_ADAPTERS_COUNT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterQuestion:
    """What was asked. Without `model`, the base that the adapter names is tried."""

    path: str
    model: str = ""
    on: str = ""
    runtime: str = ""
    weights: str = ""
    context_tokens: int | None = None
    offline: bool = False


def adapter(question: AdapterQuestion) -> AdapterAnswer:
    """Answer an AdapterQuestion; 'does not work' is an answer, a broken file is a ReadError."""
    found = adapter_files.load(question.path)
    model, unknowns = _model(found, question)
    runtimes = adapter_uses.uses(found, model)
    check = core.check(found, model) if model else None
    answer = AdapterAnswer(
        question="adapter", asked=_asked(question), adapter=found,
        parameters_count=adapter_uses.values_count(found),
        tensors_bytes=sum(t.size_bytes for t in found.tensors), check=check, runtimes=runtimes,
        notes=_notes(found), unknowns=tuple(unknowns), sources=model.sources if model else (),
        versions={"plimsoll": __version__},
    )  # fmt: skip
    return _with_machine(answer, question, model) if question.on and model else answer


def _asked(question: AdapterQuestion) -> dict[str, object]:
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return {name: value for name, value in values.items() if value}


def _model(found: LoraAdapter, question: AdapterQuestion) -> tuple[Model | None, list[str]]:
    """The model asked for, or the adapter's own base where it is known without the network."""
    if question.model:
        return models.load(question.model, offline=question.offline), []
    if question.on:
        if not found.base:
            raise BadSetting("the adapter names no base model", hint="--for MODEL says which one")
        return models.load(found.base, offline=question.offline), []
    if not found.base:
        return None, ["the adapter names no base model: --for MODEL checks it against one"]
    try:
        return models.load(found.base, offline=True), []
    except (UnknownName, PlimsollError):
        return None, [f"its base {found.base} is not in the catalog or on this disk: --for MODEL checks it"]


def _notes(found: LoraAdapter) -> tuple[str, ...]:
    notes = list(found.notes)
    if found.unread_keys:
        notes.append(f"keys that nobody read: {', '.join(found.unread_keys)}")
    named = {rank for _, rank in found.rank_pattern} | {found.rank}
    if found.naming == "peft":
        odd = {r for r in found.ranks.values() if r not in named and not any(r % n == 0 for n in named)}
        if odd:
            notes.append(f"the config says rank {found.rank}, the file holds pairs of rank {_few(odd)}")
    unread = sum(1 for t in found.tensors if t.part == "b" and t.is_zero is None)
    if unread:
        notes.append(f"the values of {unread} tensors were not read: whether they are zero is unknown")
    return tuple(notes)


def _few(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)[:4]))


def _with_machine(answer: AdapterAnswer, question: AdapterQuestion, model: Model) -> AdapterAnswer:
    """The bill with one adapter on the chosen runtime, and how many fit on each runtime that serves them."""
    from plimsoll.ask.fit import FitQuestion, deploy, fit

    asked = FitQuestion(
        models=(question.model or answer.adapter.base,), on=question.on, runtime=question.runtime,
        weights=question.weights, context_tokens=question.context_tokens, offline=question.offline,
        adapters=(question.path,),
    )  # fmt: skip
    bill = fit(asked)
    runtimes = []
    for use in answer.runtimes:
        if use.verdict not in ("supported", "penalty"):
            runtimes.append(use)
            continue
        try:
            deployment, _ = deploy(model, bill.deployments[0].machine, replace(asked, runtime=use.runtime))
        except PlimsollError:
            runtimes.append(use)
            continue
        runtimes.append(_counted(use, deployment, answer.adapter))
    return replace(answer, machine=bill.machine, fit=bill, runtimes=tuple(runtimes))


def _counted(use: RuntimeUse, deployment: Deployment, found: LoraAdapter) -> RuntimeUse:
    """How many such adapters fit beside the model, each in memory at the same time."""
    one = adapter_uses.served(found, use.runtime)
    slots = {"sglang": "max_loras_per_batch"}.get(use.runtime)

    def room(count: int) -> int:
        settings = {**deployment.settings, slots: count} if slots else deployment.settings
        return fit_core.room([replace(deployment, adapters=(one,) * count, settings=settings)])

    problems: Sequence[str] = fit_core.problems_of([deployment])
    count = 0 if problems else fit_core.largest(room, _MOST_ADAPTERS_COUNT) or 0
    reason = f"{use.reason}; {problems[0]}" if problems else use.reason
    return replace(use, fits_count=count, reason=reason)
