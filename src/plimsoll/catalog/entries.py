"""What known failures and machine risks share: entries in TOML files, read through a generated index of rows.

read(folder) -> the rows of its index.json; rows_from(...) -> the rows of one file, checked.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

from plimsoll.errors import CatalogError

Problems = Callable[[Mapping[str, Any]], Iterator[str]]


def read(folder: str) -> list[Mapping[str, Any]]:
    """The rows of a folder's index."""
    try:
        with open(os.path.join(folder, "index.json"), "rb") as file:
            rows: list[Mapping[str, Any]] = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise CatalogError(f"{os.path.basename(folder)}/index.json: {error}") from error
    return rows


def refuse_unknown(data: Mapping[str, Any], keys: Set[str], where: str) -> None:
    """CatalogError where a file has other keys at its top."""
    if unknown := set(data) - keys:
        raise CatalogError(f"{where}: unknown keys {', '.join(sorted(unknown))}")


def rows_from(
    entries: Sequence[Mapping[str, Any]], where: str, *, prefix: str, checked_on: str, problems: Problems
) -> Iterator[dict[str, Any]]:
    """Entries as rows of the index, `prefix`/name as id; CatalogError for what is wrong with one."""
    seen: set[str] = set()
    for entry in entries:
        name = entry.get("name", "?")
        wrong = [*problems(entry), *(["the name is given twice"] if name in seen else [])]
        if wrong:
            raise CatalogError(f"{where}: {name}: {'; '.join(wrong)}")
        seen.add(name)
        row = {k: v for k, v in entry.items() if k != "name"}
        row["id"] = f"{prefix}/{name}"
        row.setdefault("checked_on", checked_on)
        yield row


def key_problems(entry: Mapping[str, Any], keys: Set[str], needed: Set[str]) -> Iterator[str]:
    """Unknown keys, and needed ones that are not there."""
    if unknown := set(entry) - keys:
        yield f"unknown keys {', '.join(sorted(unknown))}"
    if missing := needed - set(entry):
        yield f"lacks {', '.join(sorted(missing))}"


def url_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """Sources that are missing or no https addresses."""
    if not entry["urls"] or not all(str(u).startswith("https://") for u in entry["urls"]):
        yield "urls must name at least one https address"
