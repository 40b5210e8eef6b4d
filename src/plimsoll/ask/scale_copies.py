"""One model over all cards, or a copy on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plimsoll.ask.scale_candidates import Onward, one_card
from plimsoll.ask.scale_question import ScaleQuestion, plan_question
from plimsoll.ask.scale_ways import possible
from plimsoll.core import scale as core
from plimsoll.domain.model import Model
from plimsoll.domain.scale import Possible


def with_copies(
    question: ScaleQuestion, loaded: Sequence[Model], onward: Onward, found: Sequence[Possible]
) -> list[Possible]:
    """What runs on several like cards, with as many copies of it where one card holds it alone."""
    single = one_card(onward)
    if single is None:
        return list(found)
    out = []
    for name, model, together in zip(question.models, loaded, found, strict=True):
        alone = possible(plan_question(question, name, single.on, None), single.machine, model)
        out.append(replace(together, as_copies=core.copies(alone, onward.count)))
    return out
