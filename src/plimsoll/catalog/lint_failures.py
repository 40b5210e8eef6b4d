"""Checks of the known failures: `failures/<runtime>.toml`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plimsoll.catalog import failures
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
            for text in row["texts"]:
                key = json.dumps([text, sorted(row.get("runtimes", ())), sorted(row.get("hardware", ())),
                                  sorted(row.get("models", ())), row.get("never", [])])  # fmt: skip
                if key in owner:
                    found.append(f"{where}: {row['id']} is recognised by the same text as {owner[key]}")
                owner[key] = row["id"]
    return found
