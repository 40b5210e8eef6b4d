"""Speculative decoding for a question of speed: what drafts, whether it fits beside, and what it brings."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import get_args

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.rig import Rig, rig_of
from plimsoll.catalog import acceptance as shipped
from plimsoll.core import speculation as core
from plimsoll.core.unlike import as_one
from plimsoll.domain.answer import Answer
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.speculation import Acceptance, Method
from plimsoll.errors import BadSetting
from plimsoll.units import format_bytes

_METHOD = re.compile(r"(mtp|eagle3|draft)(?::([0-9]{1,2}))?")
# Where nobody says how many tokens are drafted: an MTP layer was trained for one, the others for chains.
_DRAFTED = {"mtp": 1, "eagle3": 3, "draft": 4}
_MOST_DRAFTED = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafting:
    """What was asked: the method, the tokens drafted a step, the draft model if one drafts, the share."""

    method: Method
    drafted: int
    is_told: bool
    draft: str = ""
    acceptance: tuple[float, float] | None = None


def drafting_from(speculate: str, draft: str, acceptance: tuple[float, float] | None) -> Drafting | None:
    """The drafting that '--speculate mtp:2', '--draft MODEL' and '--acceptance 0.7' ask for, or None.

    Raises BadSetting for options that contradict each other.
    """
    if not speculate and not draft:
        if acceptance:
            raise BadSetting("an acceptance of what?", hint="--speculate mtp or --draft MODEL")
        return None
    match = _METHOD.fullmatch(speculate.strip().lower() or "draft")
    if match is None or int(match[2] or 1) not in range(1, _MOST_DRAFTED + 1):
        raise BadSetting(
            f"{speculate!r} is no way to speculate",
            hint=f"one of {', '.join(get_args(Method))}, with 1 to {_MOST_DRAFTED} drafted tokens: mtp:2",
        )
    method: Method = match[1]  # type: ignore[assignment]
    if (method == "draft") != bool(draft):
        raise BadSetting(
            "a draft model is not named" if method == "draft" else f"{method} drafts without a draft model",
            hint="--draft MODEL" if method == "draft" else "leave out --draft, or --speculate draft:4",
        )
    return Drafting(
        method=method, drafted=int(match[2] or _DRAFTED[method]), is_told=bool(match[2]), draft=draft,
        acceptance=acceptance,
    )  # fmt: skip


def with_draft(question: FitQuestion, asked: Drafting | None) -> FitQuestion:
    """The fit question with the draft model beside the target."""
    if asked is None or not asked.draft:
        return question
    return replace(question, models=(*question.models, asked.draft))


def drafting_rig(deployments: tuple[Deployment, ...], rig: Rig, asked: Drafting) -> Rig:
    """The rig on which a token is drafted: the draft model's own, or the target's with one layer's work.

    Raises BadSetting for a model without layers of multi-token prediction.
    """
    if asked.draft:
        return replace(rig_of(deployments[1]), power=rig.power)
    model, work = deployments[0].model, rig.case.work
    one = core.mtp_work(model, work) if asked.method == "mtp" else core.head_work(work)
    if one is None:
        raise BadSetting(
            f"{model.id} has no layers for multi-token prediction",
            hint="--draft MODEL with a small model of the same family, or --speculate eagle3",
        )
    stages = tuple(
        replace(s, case=replace(s.case, work=one, host_layers_count=0, host_expert_layers_count=0))
        for s in rig.stages[:1]
    )
    return replace(rig, stages=stages, case=as_one(stages))


def acceptance_of(deployments: tuple[Deployment, ...], asked: Drafting) -> Acceptance | None:
    """The user's acceptance, else what was published for this pair, else None."""
    if asked.acceptance:
        low, high = asked.acceptance
        return Acceptance(value=(low + high) / 2, low=low, high=high, origin="as given")
    draft = deployments[1].model.id if asked.draft else ""
    return core.acceptance_of(shipped.load(), deployments[0].model.id, asked.method, draft)


def speedups_of(deployments: tuple[Deployment, ...], asked: Drafting) -> str:
    """What drafting brought on machines where both speeds were published, or ''."""
    draft = deployments[1].model.id if asked.draft else ""
    return core.speedups_of(shipped.load(), deployments[0].model.id, asked.method, draft)


def beside(fitted: Answer, rig: Rig, asked: Drafting) -> tuple[bool, str]:
    """(whether what drafts fits beside what `fit` counted, what to say about it)."""
    deployment = fitted.deployments[0]
    if asked.draft:
        return True, "memory: both models, each with its own cache, are counted"
    if asked.method == "eagle3":
        size = round(core.head_work(rig.case.work).block_bytes)
        return True, f"memory: the head is not counted; about {format_bytes(size)} and its output matrix"
    size = core.mtp_bytes(deployment.model, rig.case.work)
    if size > fitted.headroom_bytes:
        return False, f"the layers that draft take {format_bytes(size)} more"
    return True, f"memory: the layers that draft take {format_bytes(size)} beside what `plimsoll fit` counts"
