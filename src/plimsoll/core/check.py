"""From rules to verdicts: one per aspect, the answer to all of them together, and what would work.

The rules arrive as arguments. How the topics of an aspect combine is told in docs/reference/rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from plimsoll.domain.rule import Aspect, Outcome, Rule, Situation, Verdict, covers, covers_in_some_release

GATE = "gate"
MATRIX_UNIT = "matrix unit"

# Worst first: a deployment is as good as its worst aspect.
ORDER: tuple[Outcome, ...] = ("unsupported", "unknown", "inefficient", "penalty", "supported", "native")
# Without these nothing runs (cache and adapter only when they are asked for); silence about another aspect
# is said but does not decide.
DECISIVE: frozenset[Aspect] = frozenset({"device", "weights", "model", "kv", "lora"})


_Read = Callable[[str, Aspect, frozenset[str]], Sequence[Rule]]
_GRADED: frozenset[Aspect] = frozenset({"weights", "kv", "attention", "moe"})


class Rules:
    """Rules by runtime and aspect, so that a question reads only those that may hold."""

    def __init__(self, rules: Iterable[Rule], computes: Mapping[str, str]) -> None:
        """`computes`: weight format -> the type whose matrix unit it can be fed to ('' or absent: none)."""
        known: dict[tuple[str, Aspect], list[Rule]] = {}
        for rule in rules:
            known.setdefault((rule.runtime, rule.aspect), []).append(rule)
        self.computes = computes
        self._at: _Read = lambda runtime, aspect, models: known.get((runtime, aspect), ())

    @classmethod
    def read_by(cls, read: _Read, computes: Mapping[str, str]) -> Rules:
        """Rules of which a place (runtime, aspect, names of a model) is read when it is first asked about."""
        made = cls((), computes)
        made._at = cache(read)
        return made

    def about(self, runtime: str, aspect: Aspect, models: frozenset[str] = frozenset()) -> Sequence[Rule]:
        """The rules of a runtime and those that hold for all, for one aspect, with a model its own."""
        own = self._at(runtime, aspect, models)
        return [*own, *self._at("", aspect, models)] if runtime else own

    def everywhere(self, aspect: Aspect) -> Sequence[Rule]:
        """The rules of one aspect that hold whatever runs the model."""
        return self._at("", aspect, frozenset())


def verdict(rules: Rules, asked: Situation, aspect: Aspect) -> Verdict:
    """What the rules say about one aspect of a situation; unknown when none of them covers it."""
    found = [rule for rule in rules.about(asked.runtime, aspect, asked.models) if covers(rule, asked)]
    units = [rule for rule in found if rule.topic == MATRIX_UNIT]
    found = [rule for rule in found if rule.topic != MATRIX_UNIT]
    found = _by_the_better_name(found)
    refusals = [rule for rule in found if rule.says == "unsupported"]
    if refusals:
        return _said(aspect, "unsupported", refusals)
    kernels = [rule for rule in found if rule.topic != GATE]
    if kernels and not asked.models and (refusing := _for_some_models(rules, asked, aspect)):
        made = _said(aspect, "penalty", refusing, also=kernels)
        return replace(made, note=f"It depends on the model, and none was named. {made.note}")
    if kernels:
        worst = next(outcome for outcome in ORDER if any(rule.says == outcome for rule in kernels))
        first = [rule for rule in kernels if rule.says == worst]
        return _said(aspect, worst, first, also=kernels)
    if found and aspect == "weights" and rules.computes.get(asked.weights):
        return _past_the_gate(found, units)
    if found:
        return _said(aspect, "supported", found)
    return Verdict(aspect=aspect, outcome="unknown", note="No source that was read says so.")


def _for_some_models(rules: Rules, asked: Situation, aspect: Aspect) -> list[Rule]:
    """Rules that refuse or lower, for models they name, what the question brings along besides an adapter.

    Without a model an unconditional yes would be too much where they exist.
    """
    candidates = [r for r in rules.about(asked.runtime, aspect) if r.models and r.features - {"lora"}]
    return [
        rule for rule in candidates
        if rule.says not in ("native", "supported") and covers(replace(rule, models=frozenset()), asked)
    ]  # fmt: skip


def _by_the_better_name(found: list[Rule]) -> list[Rule]:
    """Without refusals of one name of an architecture where the same topic takes another of its names."""
    taken = {rule.topic for rule in found if rule.models and rule.says != "unsupported"}
    return [r for r in found if not (r.models and r.says == "unsupported" and r.topic in taken)]


def _past_the_gate(gates: Sequence[Rule], units: Sequence[Rule]) -> Verdict:
    """The loader lets the format pass: whether it is fast depends on the hardware's matrix unit."""
    lacking = [rule for rule in units if rule.says != "native"]
    if lacking:
        made = _said("weights", "penalty", lacking, also=gates)
        return replace(made, note=f"The loader accepts it, but: {lacking[0].note}")
    made = _said("weights", "supported", [*gates, *units])
    if units:
        return replace(made, note="The loader accepts it and the hardware has the matrix unit; "
                       "whether a kernel uses it was not read.")  # fmt: skip
    return replace(made, note=made.note or "The loader accepts it.")


def _said(
    aspect: Aspect, outcome: Outcome, deciding: Sequence[Rule], *, also: Sequence[Rule] = ()
) -> Verdict:
    """The verdict of the deciding rules, with what all of them demand."""
    every = list(dict.fromkeys([*deciding, *also]))
    return Verdict(
        aspect=aspect, outcome=outcome,
        note=" ".join(dict.fromkeys(rule.note for rule in deciding if rule.note)) or _plain(outcome),
        needs=tuple(dict.fromkeys(rule.needs for rule in every if rule.needs)),
        sources=tuple(dict.fromkeys(source for rule in deciding for source in rule.sources)),
        checked_on=min(rule.checked_on for rule in deciding),
        rules=tuple(rule.id for rule in every),
    )  # fmt: skip


def _plain(outcome: Outcome) -> str:
    return {"native": "The hardware does it as it is.", "supported": "It works as meant."}.get(outcome, "")


def overall(verdicts: Sequence[Verdict]) -> Outcome:
    """The worst of all aspects; an unknown aspect counts only where nothing runs without it.

    A plain yes to a question of yes or no (does the runtime know the model?) does not lower what the
    arithmetic is: only weights, cache, attention and experts can be supported instead of native.
    """
    outcomes = {v.outcome for v in verdicts if v.outcome != "unknown" or v.aspect in DECISIVE}
    graded = {v.outcome for v in verdicts if v.aspect in _GRADED}
    if "native" in graded and "supported" not in graded:
        outcomes.discard("supported")
    return next((outcome for outcome in ORDER if outcome in outcomes), "unknown")


def answer_of(rules: Rules, asked: Situation, aspects: Sequence[Aspect]) -> Outcome:
    """The overall outcome of a situation, without the sentences; the first refusal decides."""
    found: list[Verdict] = []
    for aspect in aspects:
        found.append(verdict(rules, asked, aspect))
        if found[-1].outcome == "unsupported":
            return "unsupported"
    return overall(found)


def works(outcome: Outcome) -> bool:
    """Is this an answer one can launch?"""
    return outcome in ("native", "supported", "penalty", "inefficient")


def release_bounds(rules: Rules, asked: Situation, aspects: Sequence[Aspect]) -> list[int]:
    """Places of releases at which some rule about this runtime begins or ends, in order."""
    places = {0}
    for aspect in aspects:
        for rule in rules.about(asked.runtime, aspect, asked.models):
            places |= {end[0] for end in (rule.releases.low, rule.releases.high) if end is not None}
    return sorted(places)


def lowest_release(
    rules: Rules,
    at: Callable[[int], Situation],
    aspects: Sequence[Aspect],
    newest: int,
    builds: Iterable[int] = (),
) -> tuple[int, Outcome] | None:
    """The first release from which on, without a break up to the newest, the situation works.

    `at` gives the situation in the release at a place, with what that release is built on; `builds` are
    the places where that may change. Only rules that hold in some release are looked at.
    """
    asked = at(newest)
    known = (r for a in aspects for r in rules.about(asked.runtime, a, asked.models))
    found = (rule for rule in known if covers_in_some_release(rule, asked))
    rules = Rules(found, rules.computes)
    best: tuple[int, Outcome] | None = None
    for place in sorted({*release_bounds(rules, asked, aspects), *builds, newest}, reverse=True):
        if place > newest:
            continue
        outcome = answer_of(rules, at(place), aspects)
        if not works(outcome):
            break
        best = (place, outcome)
    return best
