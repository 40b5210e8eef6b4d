"""What a release of a runtime is built on: `stacks/<runtime>.toml`, read through a generated index."""

from __future__ import annotations

import json
import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from plimsoll.domain.rule import Numbers
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "stacks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One release and what it is pinned to.

    `cuda` is the CUDA runtime of the default wheel from the package index; `pins` are requirement
    specifiers by package; `container` is an image tag; '' and empty mean: not read.
    """

    runtime: str
    version: str
    checked_on: str
    sources: tuple[str, ...]
    python: str = ""
    cuda: str = ""
    container: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@cache
def load_all() -> tuple[Stack, ...]:
    """All stacks, by runtime and in the order of their files."""
    try:
        with open(os.path.join(FOLDER, "index.json"), "rb") as file:
            data: dict[str, Any] = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise CatalogError(f"stacks/index.json: {error}") from error
    return tuple(stack for name, table in data.items() for stack in stacks_from(table, f"stacks/{name}.toml"))


def stacks_from(data: Mapping[str, Any], where: str) -> tuple[Stack, ...]:
    """The stacks of one parsed file; raises CatalogError for an unknown or missing key."""
    found = []
    for row in data.get("stacks", ()):
        lists = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
        shared = {"checked_on": data.get("checked_on"), "sources": tuple(data.get("sources", ()))}
        try:
            found.append(Stack(**{"runtime": data["runtime"], **shared, **row, **lists}))
        except (TypeError, KeyError) as error:
            raise CatalogError(f"{where}: {row.get('version', '?')}: {error}") from error
    return tuple(found)


def find(runtime: str, version: str) -> Stack | None:
    """The stack of a release, or None when it was not read."""
    return next((s for s in load_all() if (s.runtime, s.version) == (runtime, version)), None)


def cuda_of(runtime: str, version: str) -> Numbers | None:
    """The CUDA runtime of a release's default wheel, or None."""
    stack = find(runtime, version)
    return tuple(int(part) for part in stack.cuda.split(".")) if stack and stack.cuda else None
