"""Writes rule files, sources and release lists of the catalog: whole files, in one step each, same bytes
for the same facts. A file with origin = "hand" is never touched.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from plimsoll.catalog.releases import version_key
from plimsoll.errors import CatalogError
from tools.harvest.facts import Project
from tools.harvest.ranges import Made

_DAY = re.compile(r'^checked_on = "([0-9-]+)"$', re.M)


def write_rules(
    catalog: Path, project: Project, made: Sequence[Made], source_of: Mapping[str, str], today: date
) -> list[Path]:
    """Write <aspect>-harvest.toml for each aspect; the paths of those that changed.

    Removes harvested files of the runtime in whose aspect nothing is left to say.
    """
    folder = catalog / "rules" / project.runtime
    changed: list[Path] = []
    aspects = sorted({rule.statement.aspect for rule in made})
    for aspect in aspects:
        of_aspect = [rule for rule in made if rule.statement.aspect == aspect]
        text = rule_text(project, aspect, of_aspect, source_of, today)
        changed += write_if_new(folder / f"{aspect}-harvest.toml", text)
    for path in sorted(folder.glob("*-harvest*.toml")):
        if path.name not in {f"{aspect}-harvest.toml" for aspect in aspects} and _is_harvested(path):
            path.unlink()
            changed.append(path)
    return changed


def rule_text(
    project: Project, aspect: str, made: Iterable[Made], source_of: Mapping[str, str], today: date
) -> str:
    """One file of rules, a line each, ordered by topic and name."""
    lines = [
        f"# Read in released packages of {project.name} by python -m tools.harvest; do not edit by hand.",
        f'runtime = "{project.runtime}"', f'aspect = "{aspect}"', 'origin = "harvest"',
        f'checked_on = "{today.isoformat()}"', "rules = [",
    ]  # fmt: skip
    lines += [
        _line(rule, source_of) for rule in sorted(made, key=lambda rule: (rule.statement.topic, rule.name))
    ]
    return "\n".join([*lines, "]", ""])


def _line(rule: Made, source_of: Mapping[str, str]) -> str:
    stated = rule.statement
    ends = dict.fromkeys([rule.first, rule.last])
    values: dict[str, object] = {
        "name": rule.name, "topic": stated.topic, "formats": stated.formats, "hardware": stated.hardware,
        "models": stated.models, "features": stated.features, "versions": rule.versions,
        "says": stated.says, "note": stated.note,
        "sources": [f"{source_of[version]}#{path}" for version, path in ends],
    }  # fmt: skip
    told = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value)
    return f"    {{{', '.join(told)}}},"


def write_sources(catalog: Path, project: Project, versions: Mapping[str, str], today: date) -> list[Path]:
    """A source file for each release that has none; `versions` is version -> source id."""
    changed: list[Path] = []
    for version, name in versions.items():
        path = catalog / "sources" / f"{name}.toml"
        shown = name.removeprefix("llama.cpp-") if project.runtime == "llama_cpp" else version
        if not path.exists():
            changed += write_if_new(path, (
                f'id = "{name}"\nkind = "code"\nurl = "{project.upstream.format(version=shown)}"\n'
                f'seen_on = "{today.isoformat()}"\ntitle = "{project.title.format(version=shown)}"\n'
            ))  # fmt: skip
    return changed


def write_releases(catalog: Path, runtime: str, found: Sequence[str], today: date) -> list[Path]:
    """Add releases to the list of a runtime; what stands in it stays, because rules name it."""
    path = catalog / "runtimes" / f"{runtime}.toml"
    text = path.read_text("utf-8")
    known = tomllib.loads(text)["versions"]
    keys = {version_key(version) for version in known}
    new = [version for version in found if version_key(version) not in keys]
    if not new:
        return []
    listed = sorted([*known, *new], key=version_key)
    rows = [
        "    " + ", ".join(f'"{v}"' for v in listed[i : i + 10]) + ",\n" for i in range(0, len(listed), 10)
    ]
    text = re.sub(r"^versions = \[.*?^\]", f"versions = [\n{''.join(rows)}]", text, flags=re.M | re.S)
    text = _DAY.sub(f'checked_on = "{today.isoformat()}"', text, count=1)
    return write_if_new(path, text)


def write_if_new(path: Path, text: str) -> list[Path]:
    """Write a file in one step unless it says the same already, whatever its day; the path when written.

    Raises CatalogError for a file that was made by hand.
    """
    if path.exists():
        old = path.read_text("utf-8")
        if path.parent.parent.name == "rules" and not _is_harvested(path):
            raise CatalogError(
                f"{path.name} was written by hand", hint="a harvest writes <aspect>-harvest.toml"
            )
        if path.parent.parent.name == "rules" and (day := _DAY.search(old)):
            text = text if _DAY.sub(day[0], text, count=1) != old else old
        if text == old:
            return []
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".harvest-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return [path]


def _is_harvested(path: Path) -> bool:
    return tomllib.loads(path.read_text("utf-8")).get("origin") == "harvest"
