"""From statements of single releases to rules over ranges of releases, beside the rules by hand.

A range goes from one release that was read to another that was read and says the same, with every release
read in between saying the same too. Before the oldest and after the newest that was read nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plimsoll.catalog.releases import Releases
from plimsoll.catalog.rules import rows_from, rule_from_row
from plimsoll.domain.rule import Rule, overlap
from tools.harvest.statements import Statement

WORKS = ("native", "supported", "penalty", "inefficient")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A rule to be written: the statement, the range, and where its ends were read (version, path)."""

    statement: Statement
    versions: str
    first: tuple[str, str]
    last: tuple[str, str]

    @property
    def name(self) -> str:
        """Unique within a file: the statement's stem and the first release of the range."""
        return f"{self.statement.name}-{self.statement.says[:2]}-{self.first[0]}"


def compressed(stated: Mapping[str, Mapping[Statement, str]]) -> list[Made]:
    """Rules for version -> statement -> path; the versions are in their order."""
    versions = list(stated)
    made: list[Made] = []
    for statement in sorted({s for known in stated.values() for s in known}):
        run: list[str] = []
        for version in [*versions, ""]:
            if version and statement in stated[version]:
                run.append(version)
            elif run:
                made.append(_rule(statement, run, stated))
                run = []
    return made


def _rule(statement: Statement, run: Sequence[str], stated: Mapping[str, Mapping[Statement, str]]) -> Made:
    first, last = run[0], run[-1]
    return Made(
        statement=statement, versions=f"=={first}" if first == last else f">={first},<={last}",
        first=(first, stated[first][statement]), last=(last, stated[last][statement]),
    )  # fmt: skip


def beside(
    stated: Mapping[str, Mapping[Statement, str]], hand: Sequence[Rule], runtime: str,
    words: Mapping[str, Any], releases: Mapping[str, Releases],
) -> tuple[dict[str, dict[Statement, str]], list[str]]:  # fmt: skip
    """The statements that go beside the rules by hand, and a line for each that was left out.

    Left out is what would hold for the same situation as a rule by hand of the same topic, and a refusal
    of something that a rule by hand lets work: who wrote it looked at more than one file.
    """
    kept: dict[str, dict[Statement, str]] = {}
    dropped: dict[str, list[str]] = {}
    for version, known in stated.items():
        kept[version] = {}
        for statement, path in known.items():
            rule = as_rule(statement, f"=={version}", runtime, words, releases)
            why = next((h.id for h in hand if _is_in_the_way(rule, h)), "")
            if why:
                dropped.setdefault(f"{statement.aspect} {statement.name}: {why}", []).append(version)
            else:
                kept[version][statement] = path
    return kept, [f"{what} ({', '.join(versions)})" for what, versions in sorted(dropped.items())]


def _is_in_the_way(rule: Rule, hand: Rule) -> bool:
    if overlap(rule, hand):
        return True
    if rule.says != "unsupported" or hand.says not in WORKS or rule.aspect != hand.aspect:
        return False
    return rule.aspect in ("weights", "kv", "device", "model") and _alike(rule, hand)


def _alike(rule: Rule, hand: Rule) -> bool:
    """Do both hold somewhere, and is the hand's one about what the refusal is about, not about anything?"""
    named = hand.models if rule.models else hand.formats if rule.formats else hand.hardware
    shared = {"formats", "hardware", "models"}
    return bool(named) and hand.releases.meets(rule.releases) and all(
        not getattr(rule, name) or not getattr(hand, name)
        or not getattr(rule, name).isdisjoint(getattr(hand, name))
        for name in shared
    )  # fmt: skip


def as_rule(
    statement: Statement, versions: str, runtime: str, words: Mapping[str, Any],
    releases: Mapping[str, Releases],
) -> Rule:  # fmt: skip
    """The Rule that a statement would be in one range, to hold it against others."""
    rule = {"name": statement.name, "says": statement.says, "versions": versions, "note": statement.note}
    for key in ("formats", "hardware", "models", "features"):
        if getattr(statement, key):
            rule[key] = list(getattr(statement, key))  # type: ignore[assignment]
    data = {
        "runtime": runtime, "aspect": statement.aspect, "topic": statement.topic, "origin": "harvest",
        "checked_on": "2000-01-01", "sources": [""], "rules": [rule],
    }  # fmt: skip
    (row,) = rows_from(data, f"rules/{runtime}/{statement.aspect}-harvest.toml", words, releases)
    return rule_from_row(row)
