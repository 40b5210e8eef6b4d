"""What drafting tokens would do to the first way of a plan, where something drafts for its model."""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.catalog import acceptance
from plimsoll.core.speculation import drafts_of
from plimsoll.domain.plan import Choice
from plimsoll.domain.speculation import Method
from plimsoll.errors import PlimsollError

# Which runtimes run a separate head beside a model.
_HEADS = ("vllm", "sglang", "tensorrt_llm")


def drafting_notes(choice: Choice) -> Iterator[str]:
    """The speed with each way to draft whose acceptance was published for the model; with the model's own
    layers also where nobody published it: how to see from which on it pays. None for several sequences, where
    drafts compete with the other sequences."""
    part = choice.parts[0]
    deployment = part.deployments[0]
    if part.sequences_count > 1:
        return
    if any(t.role == "mtp" for t in deployment.model.tensors):
        yield from _told(choice, "mtp", "")
    for method, draft in drafts_of(acceptance.load(), deployment.model.id):
        if method == "draft" or (method == "eagle3" and deployment.runtime.id in _HEADS):
            yield from _told(choice, method, draft if method == "draft" else "")


def _told(choice: Choice, method: Method, draft: str) -> Iterator[str]:
    """One sentence; nothing where it does not fit or no model holds."""
    part = choice.parts[0]
    typed = f"plimsoll speed {part.flags} {f'--draft {draft}' if draft else f'--speculate {method}'}"
    try:
        question = FitQuestion(**part.asked)  # type: ignore[arg-type]
        answer = speed(SpeedQuestion(fit=question, speculate="" if draft else method, draft=draft))
    except PlimsollError:
        return
    found = answer.speculation
    drafted = [s.estimate for s in answer.speeds if s.estimate.quantity == "decode_speculative"]
    if found is None:
        return
    if found.acceptance is None or not drafted:
        yield f"its layers draft tokens; how many are accepted nobody published: {typed}"
        return
    e, share = drafted[0], found.acceptance.value
    who = {"mtp": "its own layers", "eagle3": "an EAGLE-3 head"}.get(method, draft)
    yield (
        f"drafting with {who}: {e.value:,.3g} tokens/s ({e.low:,.3g} … {e.high:,.3g}) at the "
        f"published acceptance of {share:.0%}: {typed}"
    )
