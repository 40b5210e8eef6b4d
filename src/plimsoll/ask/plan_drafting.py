"""What drafting tokens would do to the first way of a plan, where its model has layers for it."""

from __future__ import annotations

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.domain.plan import Choice
from plimsoll.errors import PlimsollError


def drafting_note(choice: Choice) -> str:
    """The speed with multi-token prediction at its published acceptance; where none was published, how to see
    from which on it pays; '' for a model without such layers and for several sequences."""
    part = choice.parts[0]
    deployment = part.deployments[0]
    if part.sequences_count > 1 or not any(t.role == "mtp" for t in deployment.model.tensors):
        return ""
    typed = f"plimsoll speed {part.flags} --speculate mtp"
    try:
        question = FitQuestion(**part.asked)  # type: ignore[arg-type]
        answer = speed(SpeedQuestion(fit=question, speculate="mtp"))
    except PlimsollError:
        return ""
    found = answer.speculation
    drafted = [s.estimate for s in answer.speeds if s.estimate.quantity == "decode_speculative"]
    if found is None:
        return ""
    if found.acceptance is None or not drafted:
        return f"its layers draft tokens; how many are accepted nobody published: {typed}"
    e, share = drafted[0], found.acceptance.value
    return (
        f"drafting with its own layers: {e.value:,.3g} tokens/s ({e.low:,.3g} … {e.high:,.3g}) at the "
        f"published acceptance of {share:.0%}: {typed}"
    )
