"""Which versions of a runtime were released: `runtimes/<id>.toml`, read through a generated index.

A rule may only name listed versions, and holds from one *place* in the list to another, so that nothing
has to understand version numbers when a question is asked. llama.cpp numbers its builds: b6097 is
place 6097.
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from plimsoll.catalog.names import one_of
from plimsoll.domain.rule import EVERYTHING, Numbers, Range
from plimsoll.errors import BadSetting, CatalogError, UnknownRuntime

FOLDER = os.path.join(os.path.dirname(__file__), "runtimes")

_VERSION = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)(?:[-._]?(dev|a|b|rc|post)\.?([0-9]+))?(?:\+.*)?")
_STAGES = {"dev": -4, "a": -3, "b": -2, "rc": -1, "": 0, "post": 1}
_BUILD = re.compile(r"b([0-9]{1,6})")
_CLAUSE = re.compile(r"(>=|<=|==|<|>)\s*([0-9A-Za-z.+-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """A runtime and its releases, oldest first; for `scheme` "builds" the list holds the newest alone.

    `dates` go with `versions` where they are known. `is_complete` says that every release is in the list.
    """

    id: str
    name: str
    scheme: Literal["versions", "builds"]
    kind: Literal["engine", "library"]
    versions: tuple[str, ...]
    checked_on: str
    sources: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    dates: Mapping[str, str] | None = None
    is_complete: bool = True
    like: str = ""

    @property
    def newest(self) -> str:
        """The last release we know."""
        return self.versions[-1]

    def version_at(self, place: int) -> str:
        """The release at a place."""
        return f"b{place}" if self.scheme == "builds" else self.versions[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release: as listed, its place, and what to say when it is not the one that was asked."""

    version: str
    place: Numbers
    note: str = ""


@cache
def load_all() -> Mapping[str, Releases]:
    """Every runtime with a release list, by id."""
    try:
        with open(os.path.join(FOLDER, "index.json"), "rb") as file:
            rows: dict[str, Any] = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise CatalogError(f"runtimes/index.json: {error}") from error
    return {name: releases_from(data, f"runtimes/{name}.toml") for name, data in rows.items()}


def releases_from(data: Mapping[str, Any], where: str) -> Releases:
    """The Releases of one parsed file; raises CatalogError for an unknown or missing key."""
    lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
    try:
        return Releases(**{**data, **lists})
    except TypeError as error:
        raise CatalogError(f"{where}: {error}") from error


def find(name: str) -> Releases:
    """The runtime a person means: 'vllm', 'llama.cpp', 'TensorRT-LLM'; raises UnknownRuntime."""
    known = load_all()
    wanted = _key(name)
    for releases in known.values():
        if wanted in map(_key, (releases.id, releases.name, *releases.aliases)):
            return releases
    from difflib import get_close_matches

    spellings = {_key(r.name): r.name for r in known.values()}
    near = tuple(spellings[key] for key in get_close_matches(wanted, spellings, n=3, cutoff=0.5))
    engines = ", ".join(r.name for r in known.values() if r.kind == "engine")
    hint = f"did you mean {one_of(near)}?" if near else f"one of {engines}"
    raise UnknownRuntime(f"there is no runtime {name!r}", name=name, nearest=near, hint=hint)


def _key(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.lower())


def version_key(text: str) -> tuple[Numbers, int, int]:
    """What versions are ordered by; '0.33' equals '0.33.0'. Raises ValueError for what is none."""
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a version")
    numbers = [int(part) for part in found[1].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), _STAGES[found[2] or ""], int(found[3] or 0)


def release_of(releases: Releases, text: str) -> Release:
    """The release that '0.33', 'v0.33.0' or 'b6097' names; '' is the newest known.

    A version newer than all known ones is answered for the newest, with a note. Raises BadSetting for
    one that was never released, with its neighbours.
    """
    if not text.strip():
        return Release(version=releases.newest, place=_place(releases, releases.newest))
    if releases.scheme == "builds":
        return _build(releases, text)
    try:
        wanted = version_key(text)
    except ValueError as error:
        raise BadSetting(
            f"{text!r} is not a version of {releases.name}", hint=f"such as {releases.newest}"
        ) from error
    keys = [version_key(version) for version in releases.versions]
    if wanted in keys:
        place = keys.index(wanted)
        return Release(version=releases.versions[place], place=(place,))
    if wanted > keys[-1]:
        return _too_new(releases, text)
    after = next(i for i, key in enumerate(keys) if key > wanted)
    if after == 0 or not releases.is_complete:
        around = releases.versions[max(0, after - 1)]
        note = f"{releases.name} {text} is not in the release list; the nearest known is {around}"
        return Release(version=text, place=(-1,) if after == 0 else (after - 1,), note=note)
    before, later = releases.versions[after - 1], releases.versions[after]
    raise BadSetting(
        f"{releases.name} {text} is in no list of releases", hint=f"its neighbours are {before} and {later}"
    )


def _build(releases: Releases, text: str) -> Release:
    found = _BUILD.fullmatch(text.strip().lower())
    if found is None:
        raise BadSetting(f"{text!r} is not a build of {releases.name}", hint=f"such as {releases.newest}")
    if int(found[1]) > int(releases.newest[1:]):
        return _too_new(releases, text)
    return Release(version=text.strip().lower(), place=(int(found[1]),))


def _too_new(releases: Releases, text: str) -> Release:
    note = f"{releases.name} {text} is newer than any I know: answers are for {releases.newest}"
    return Release(version=releases.newest, place=_place(releases, releases.newest), note=note)


def _place(releases: Releases, version: str) -> Numbers:
    if releases.scheme == "builds":
        return (int(version[1:]),)
    return (releases.versions.index(version),)


def meets(version: str, requirement: str) -> bool | None:
    """Does a version satisfy '>=1.2,<2,!=1.5'? What follows a '+' does not count; None: cannot tell."""
    try:
        have = version_key(version)
        said = [_holds(clause.strip(), have) for clause in requirement.split(",") if clause.strip()]
    except ValueError:
        return None
    return all(said)


def _holds(clause: str, have: tuple[Numbers, int, int]) -> bool:
    """One comparison of a requirement; '~=3.8.0' means from 3.8.0 on and below 3.9."""
    sign = next((s for s in ("~=", "==", "!=", ">=", "<=", ">", "<") if clause.startswith(s)), "")
    text = clause.removeprefix(sign).strip()
    if not sign or text.endswith(".*"):
        raise ValueError(clause)
    wanted = version_key(text)
    if sign == "~=":
        parts = text.split(".")[:-1]
        above = ".".join([*parts[:-1], str(int(parts[-1]) + 1)])
        return wanted <= have < version_key(above)
    return {
        "==": have == wanted, "!=": have != wanted, ">=": have >= wanted, "<=": have <= wanted,
        ">": have > wanted, "<": have < wanted,
    }[sign]  # fmt: skip


def resolve_range(text: str, releases: Releases) -> Range:
    """'>=0.14,<0.16.0' -> places in the release list; raises CatalogError for a version not in it."""
    low: Numbers | None = None
    high: Numbers | None = None
    for clause in filter(None, text.split(",")):
        found = _CLAUSE.fullmatch(clause.strip())
        if found is None:
            raise CatalogError(f"{clause!r} is not a comparison with a version")
        place = _listed(releases, found[2])
        after = (place[0] + 1,)
        if found[1] in (">=", "==", ">"):
            low = after if found[1] == ">" else place
        if found[1] in ("<", "<=", "=="):
            high = place if found[1] == "<" else after
    made = Range(low=low, high=high)
    if made == EVERYTHING or (low is not None and high is not None and low >= high):
        raise CatalogError(f"{text!r} holds for no release")
    return made


def _listed(releases: Releases, version: str) -> Numbers:
    if releases.scheme == "builds":
        found = _BUILD.fullmatch(version)
        if found is None or int(found[1]) > int(releases.newest[1:]):
            raise CatalogError(f"{version!r} is not a listed build of {releases.name}")
        return (int(found[1]),)
    keys = [version_key(v) for v in releases.versions]
    try:
        return (keys.index(version_key(version)),)
    except ValueError as error:
        raise CatalogError(f"{version!r} is not a listed release of {releases.name}") from error
