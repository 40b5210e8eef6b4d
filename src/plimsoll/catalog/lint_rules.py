"""What the lint asks of rules: each file on its own, and all rules side by side."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

from plimsoll.catalog import releases, rules, stacks, uis
from plimsoll.catalog.index import rule_index
from plimsoll.domain.rule import OUTCOMES, Rule, overlap
from plimsoll.errors import CatalogError


class FactFile(Protocol):
    """A parsed file and its path in the catalog."""

    @property
    def path(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


def check_rule_file(entry: FactFile) -> Iterator[str]:
    """A rule has a name of its own, sources, a day, and a note where it says more than yes or no."""
    parts = entry.path.split("/")
    if len(parts) == 3 and entry.data.get("runtime") != parts[1]:
        yield f"runtime is {entry.data.get('runtime')!r}, the folder is {parts[1]!r}"
    if len(parts) == 3 and not parts[2].startswith(str(entry.data.get("aspect"))):
        yield f"aspect is {entry.data.get('aspect')!r}, the file is {parts[2]!r}"
    seen: set[str] = set()
    for number, rule in enumerate(entry.data.get("rules", ()), 1):
        name = rule.get("name", f"rule {number}")
        yield from (f"{name}: {found}" for found in _rule_problems(rule, entry.data))
        if name in seen:
            yield f"{name}: the name is given twice"
        seen.add(name)


def _rule_problems(rule: Mapping[str, Any], file: Mapping[str, Any]) -> Iterator[str]:
    if "name" not in rule:
        yield "it has no name"
    if not (rule.get("sources") or file.get("sources")):
        yield "it has no source"
    note = rule.get("note", "")
    if rule.get("says", file.get("says")) in ("penalty", "inefficient", "unsupported") and not note:
        yield "penalty, inefficient and unsupported need a note"
    if note and not note.endswith("."):
        yield "its note is not a sentence"
    checked = rule.get("checked_on") or file.get("checked_on", "")
    try:
        date.fromisoformat(checked)
    except (TypeError, ValueError):
        yield f"checked_on {checked!r} is not a day"


def check_stack_file(entry: FactFile) -> Iterator[str]:
    """The stacks of one runtime load, each release once, with a day and a source."""
    try:
        found = stacks.stacks_from(entry.data, entry.path)
    except CatalogError as error:
        yield error.message.partition(": ")[2]
        return
    if not entry.data.get("checked_on") or not entry.data.get("sources"):
        yield "checked_on and sources must be given"
    versions = [stack.version for stack in found]
    yield from (f"{v} is given twice" for v in dict.fromkeys(versions) if versions.count(v) > 1)


def check_ui_file(entry: FactFile) -> Iterator[str]:
    """A front-end loads, and each feature is a sentence with a source that was read and the day of it."""
    try:
        ui = uis.ui_from(entry.data, entry.path)
    except CatalogError as error:
        yield error.message.partition(": ")[2]
        return
    for feature in ui.features:
        if feature.outcome not in OUTCOMES:
            yield f"{feature.name}: {feature.outcome!r} is not one of {', '.join(OUTCOMES)}"
        if not feature.sources or not feature.checked_on:
            yield f"{feature.name}: it has no source or no day"
        if not feature.note.endswith("."):
            yield f"{feature.name}: its note is not a sentence"
        if feature.outcome == "unknown":
            yield f"{feature.name}: leave out what is not known"


def lint(catalog: Path) -> list[str]:
    """Findings about all rules together: what does not resolve, and what contradicts."""
    folder = catalog / "rules"
    if not folder.exists():
        return []
    try:
        rule_index(folder)
    except CatalogError as error:
        return [error.message]
    return [
        f"{one.id} and {other.id} hold for the same situation" for one, other in overlaps(read_all(catalog))
    ]


def read_all(catalog: Path) -> tuple[Rule, ...]:
    """Every rule of a catalog folder, from its files and not from the index."""
    words = tomllib.loads((catalog / "rules/vocabulary.toml").read_text("utf-8"))
    known = {
        path.stem: releases.releases_from(tomllib.loads(path.read_text("utf-8")), path.name)
        for path in sorted((catalog / "runtimes").glob("*.toml"))
    }
    found: list[Rule] = []
    for path in sorted((catalog / "rules").glob("*/*.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        where = f"rules/{path.parent.name}/{path.name}"
        found += [rules.rule_from_row(row) for row in rules.rows_from(data, where, words, known)]
    return tuple(found)


def overlaps(found: tuple[Rule, ...]) -> Iterator[tuple[Rule, Rule]]:
    """Pairs of rules of one topic that may both hold; rules about named models are compared by name."""
    groups: dict[tuple[str, str, str], list[Rule]] = {}
    for rule in found:
        groups.setdefault((rule.runtime, rule.aspect, rule.topic), []).append(rule)
    for group in groups.values():
        by_model: dict[str, list[Rule]] = {}
        general = [rule for rule in group if not rule.models]
        for rule in group:
            for model in rule.models:
                by_model.setdefault(model, []).append(rule)
        seen: set[tuple[str, str]] = set()
        pairs = [*combinations(general, 2), *((a, b) for a in general for b in group if b.models)]
        for named in by_model.values():
            pairs += combinations(named, 2)
        for one, other in pairs:
            if (one.id, other.id) not in seen and overlap(one, other):
                seen.add((one.id, other.id))
                yield one, other


def oldest_check(found: tuple[Rule, ...]) -> str:
    """The day of the rule that was looked at the longest ago, or '' when there is none."""
    return min((rule.checked_on for rule in found), default="")
