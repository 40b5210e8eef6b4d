"""Checks of the known failures, `failures/<runtime>.toml`, and of machine risks, `risks/machine.toml`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plimsoll.catalog import failures, machine_risks
from plimsoll.catalog.index import device_index, risk_index
from plimsoll.errors import CatalogError

if TYPE_CHECKING:
    from plimsoll.catalog.lint import Entry

_DAY = re.compile(r"20\d\d-\d\d-\d\d")


def check_failure_file(entry: Entry) -> Iterator[str]:
    """The file is named after its runtime, each failure is whole, and says on which day it was read."""
    runtime = entry.data.get("runtime", "")
    if f"failures/{runtime}.toml" != entry.path:
        yield f"runtime is {runtime!r}, which is not the file's name"
    seen: set[str] = set()
    for failure in entry.data.get("failures", ()):
        name = failure.get("name", "?")
        if name in seen:
            yield f"{name}: the name is given twice"
        seen.add(name)
        yield from (f"{name}: {problem}" for problem in failures.problems(failure))
        if not _DAY.fullmatch(str(failure.get("checked_on", entry.data.get("checked_on", "")))):
            yield f"{name}: checked_on is not a day"


def lint(catalog: Path) -> list[str]:
    """Hardware is named as in the rules, and no two failures are recognised by the same texts."""
    hardware = set(tomllib.loads((catalog / "rules" / "vocabulary.toml").read_text("utf-8"))["hardware"])
    found: list[str] = []
    owner: dict[str, str] = {}
    for path in sorted((catalog / "failures").glob("*.toml")):
        where = f"failures/{path.name}"
        try:
            rows = list(failures.rows_from(tomllib.loads(path.read_text("utf-8")), where))
        except CatalogError:
            continue  # said already, file by file
        for row in rows:
            unknown = set(row.get("hardware", ())) - hardware
            found += [f"{where}: {row['id']}: no hardware {name!r}" for name in sorted(unknown)]
            for text in (*row.get("texts", ()), *(("phrase", p) for p in row.get("phrases", ()))):
                key = json.dumps([text, sorted(row.get("runtimes", ())), sorted(row.get("hardware", ())),
                                  sorted(row.get("models", ())), row.get("never", [])])  # fmt: skip
                if key in owner:
                    found.append(f"{where}: {row['id']} is recognised by the same text as {owner[key]}")
                owner[key] = row["id"]
    return found + lint_risks(catalog, hardware)


def lint_risks(catalog: Path, hardware: set[str]) -> list[str]:
    """The machine risks are whole, name known devices and hardware, and their index is fresh."""
    path = catalog / "risks" / "machine.toml"
    if not path.exists():
        return []
    try:
        rows = list(machine_risks.rows_from(tomllib.loads(path.read_text("utf-8")), "risks/machine.toml"))
    except (CatalogError, tomllib.TOMLDecodeError) as error:
        return [str(error)]
    known = {"hardware": hardware, "devices": set(device_index(catalog / "devices")["ids"])}
    found = [
        f"risks/machine.toml: {row['id']}: no {kind} {name!r}"
        for row in rows
        for kind, names in known.items()
        for name in sorted(set(row.get(kind, ())) - names)
    ]
    found += [f"risks/machine.toml: {r['id']}: checked_on is not a day" for r in rows
              if not _DAY.fullmatch(str(r["checked_on"]))]  # fmt: skip
    index = catalog / "risks" / "index.json"
    if not index.exists() or index.read_text("utf-8") != risk_index(catalog / "risks"):
        found.append("risks/index.json is stale: run python -m plimsoll.catalog.index")
    return found
