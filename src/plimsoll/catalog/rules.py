"""Rules of the catalog: `rules/<runtime>/<aspect>[-<more>].toml`, read through a generated index.

load()                      -> every Rule, conditions resolved to names and places
load_place("vllm", "kv", models) -> those of one runtime and aspect that may hold for a model
release_of("vllm", "0.33")  -> Release(version="0.33.0", place=(93,), note="")
hardware_of(device)         -> "sm_120": the name rules use for a device of the catalog or a real one
format_of("q4_k_m")         -> "q4_k_m"; format_of("FP8 W8A8") -> "fp8"

The files, the vocabulary and the release lists are described in docs/reference/rules.md.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast, get_args

from plimsoll.catalog.releases import Releases, resolve_range
from plimsoll.domain.machine import Device
from plimsoll.domain.rule import EVERYTHING, Aspect, Numbers, Range, Rule, RuleOrigin, Says
from plimsoll.errors import CatalogError

FOLDER = os.path.join(os.path.dirname(__file__), "rules")
ANY = "any"  # the folder, and the runtime, of rules that hold whatever runs the model

_FILE_KEYS = {"runtime", "aspect", "topic", "origin", "checked_on", "sources", "rules", "says"}
_RULE_KEYS = {
    "name", "topic", "says", "note", "needs", "sources", "checked_on", "versions",
    "formats", "hardware", "backends", "models", "features", "systems", "driver", "cuda",
}  # fmt: skip
_SETS = ("formats", "hardware", "backends", "models", "features", "systems")


def load() -> tuple[Rule, ...]:
    """All rules of the shipped catalog."""
    folders = sorted(entry.name for entry in os.scandir(FOLDER) if entry.is_dir())
    return tuple(
        rule_from_row(row) for folder in folders for a in get_args(Aspect) for row in _rows(folder, a)
    )


def load_place(runtime: str, aspect: Aspect, models: frozenset[str] = frozenset()) -> tuple[Rule, ...]:
    """The rules of one runtime, '' for those that hold for any, about one aspect.

    With names of a model's architecture those about other models are left out.
    """
    rows = _rows(runtime or ANY, aspect)
    if models:
        rows = [row for row in rows if "models" not in row or not models.isdisjoint(row["models"])]
    return tuple(map(rule_from_row, rows))


@cache
def vocabulary() -> Mapping[str, Any]:
    """`hardware`: name -> facts; `formats`: name -> facts; see `rules/vocabulary.toml`."""
    return cast(Mapping[str, Any], _read("vocabulary.json"))


@cache
def architectures() -> Mapping[str, list[str]]:
    """model_type -> the classes that checkpoints of the catalog name for it."""
    with open(os.path.join(os.path.dirname(FOLDER), "models", "architectures.json"), "rb") as file:
        return cast(Mapping[str, list[str]], json.loads(file.read())["classes"])


@cache
def _rows(folder: str, aspect: str) -> Sequence[Mapping[str, Any]]:
    """The index lines of one runtime and aspect; none where there are no rules."""
    name = f"{folder}/{aspect}.json"
    return (
        cast(Sequence[Mapping[str, Any]], _read(name)) if os.path.exists(os.path.join(FOLDER, name)) else ()
    )


def _read(name: str) -> Any:
    try:
        with open(os.path.join(FOLDER, name), "rb") as file:
            return json.loads(file.read())
    except (OSError, ValueError) as error:
        raise CatalogError(f"rules/{name}: {error}") from error


def hardware_of(device: Device) -> str:
    """The vocabulary's name of a device: 'sm_120', 'gfx942', 'm3', or '' when none is known.

    NVIDIA is told by compute capability, AMD by its gfx number, the others by their architecture.
    """
    hardware = vocabulary()["hardware"]
    if device.compute_capability:
        told = device.compute_capability.lower()
        name = told if told.startswith("gfx") else f"sm_{told.replace('.', '')}"
        if name in hardware:
            return name
    words = device.architecture.lower()
    return next(
        (
            name
            for name, facts in hardware.items()
            if facts["vendor"] == device.vendor and words in facts.get("architectures", ())
        ),
        "",
    )


def host_hardware(instructions: str, architecture: str = "") -> str:
    """The vocabulary's name of a processor that runs the model itself."""
    words = f"{instructions} {architecture}".lower()
    if "amx" in words or any(name in words for name in ("sapphire", "emerald", "granite")):
        return "cpu_x86_amx"
    if "avx512" in words or any(name in words for name in ("zen 4", "zen 5")):
        return "cpu_x86_avx512"
    return "cpu_arm" if "neon" in words or "arm" in words else "cpu_x86"


def format_of(text: str) -> str:
    """The vocabulary's name of a format as people or checkpoints spell it, or ''."""
    wanted = _spelling(text)
    for name, facts in vocabulary()["formats"].items():
        if wanted == _spelling(name) or wanted in map(_spelling, facts.get("aliases", ())):
            return str(name)
    return ""


def _spelling(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum() or c == ".")


def rule_from_row(row: Mapping[str, Any]) -> Rule:
    """A Rule from its line in the index."""
    fields = {"runtime": "", **row}
    for name in _SETS:
        if name in fields:
            fields[name] = frozenset(fields[name])
    for name in ("releases", "driver", "cuda"):
        if name in fields:
            low, high = fields[name]
            fields[name] = Range(low=_numbers(low), high=_numbers(high))
    fields["sources"] = tuple(fields["sources"])
    return Rule(**fields)


def _numbers(value: list[int] | None) -> Numbers | None:
    return None if value is None else tuple(value)


def rows_from(
    data: Mapping[str, Any], where: str, words: Mapping[str, Any], releases: Mapping[str, Releases]
) -> list[dict[str, Any]]:
    """The index lines of one parsed rule file; raises CatalogError naming the rule and what is wrong."""
    if unknown := set(data) - _FILE_KEYS:
        raise CatalogError(f"{where}: unknown keys: {', '.join(sorted(unknown))}")
    rows = []
    for number, rule in enumerate(data.get("rules", ()), 1):
        name = rule.get("name", f"rule {number}")
        try:
            rows.append(_row(data, rule, where, words, releases))
        except (KeyError, TypeError, ValueError, CatalogError) as error:
            said = error.message if isinstance(error, CatalogError) else str(error)
            raise CatalogError(f"{where}: {name}: {said}") from error
    return rows


def _row(
    data: Mapping[str, Any], rule: Mapping[str, Any], where: str, words: Mapping[str, Any],
    releases: Mapping[str, Releases],
) -> dict[str, Any]:  # fmt: skip
    if unknown := set(rule) - _RULE_KEYS:
        raise CatalogError(f"unknown keys: {', '.join(sorted(unknown))}")
    runtime = "" if data["runtime"] == ANY else str(data["runtime"])
    row: dict[str, Any] = {
        "id": f"{where.removesuffix('.toml').removeprefix('rules/')}#{rule['name']}",
        "runtime": runtime, "aspect": _one_of(data["aspect"], Aspect),
        "topic": rule.get("topic", data.get("topic", "")),
        "says": _one_of(rule["says"] if "says" in rule else data["says"], Says),
        "origin": _one_of(data.get("origin", "hand"), RuleOrigin),
        "note": rule.get("note", ""), "needs": rule.get("needs", ""),
        "checked_on": rule.get("checked_on") or data["checked_on"],
        "sources": rule.get("sources") or data["sources"],
        "hardware": hardware_names(rule.get("hardware", ()), words["hardware"]),
        "formats": format_names(rule.get("formats", ()), words["formats"]),
        "models": sorted(name.lower() for name in rule.get("models", ())),
        "driver": _bounds(rule.get("driver", "")), "cuda": _bounds(rule.get("cuda", "")),
    }  # fmt: skip
    for name in ("backends", "features", "systems"):
        row[name] = sorted(rule.get(name, ()))
    if unknown := {name for name in row["features"] if not is_feature(name, words)}:
        raise CatalogError(f"there is no feature {', '.join(sorted(unknown))} in rules/vocabulary.toml")
    if unknown := set(row["backends"]) - set(words.get("backends", ())):
        raise CatalogError(f"there is no backend {', '.join(sorted(unknown))} in rules/vocabulary.toml")
    if unknown := set(row["systems"]) - set(words.get("systems", ())):
        raise CatalogError(f"there is no system {', '.join(sorted(unknown))} in rules/vocabulary.toml")
    if text := rule.get("versions", ""):
        if runtime not in releases:
            raise CatalogError(f"versions are given, but {runtime or ANY!r} has no release list")
        row["versions"] = text
        found = resolve_range(text, releases[runtime])
        row["releases"] = [found.low, found.high]
    return {key: value for key, value in row.items() if value not in ("", [], None) and value is not True}


def is_feature(name: str, words: Mapping[str, Any]) -> bool:
    """Is it a feature of the vocabulary, or a name in one of its families such as 'tool-parser:hermes'?"""
    family, _, own = name.partition(":")
    return name in words.get("features", ()) or bool(own and family in words.get("feature_families", ()))


def _one_of(value: str, kind: Any) -> str:
    if value not in get_args(kind):
        raise CatalogError(f"{value!r} is not one of {', '.join(get_args(kind))}")
    return value


def hardware_names(asked: Any, known: Mapping[str, Any]) -> list[str]:
    """Names for a list of names, groups ('nvidia', 'cdna3', 'cpu') and capability ranges ('cc>=7.5,<8.9')."""
    names: set[str] = set()
    for item in asked:
        if item.startswith("cc"):
            wanted = _range(item[2:])
            found = {n for n, facts in known.items() if "cc" in facts and wanted.holds(_dotted(facts["cc"]))}
        elif item in known:
            found = {item}
        else:
            found = {n for n, f in known.items() if item == f["vendor"] or item in f.get("groups", ())}
        if not found:
            raise CatalogError(f"there is no hardware {item!r} in rules/vocabulary.toml")
        names |= found
    return sorted(names)


def format_names(asked: Any, known: Mapping[str, Any]) -> list[str]:
    """Names for a list of names and groups ('gguf', 'gguf-iq')."""
    names: set[str] = set()
    for item in asked:
        found = {item} if item in known else {n for n, f in known.items() if item in f.get("groups", ())}
        if not found:
            raise CatalogError(f"there is no format {item!r} in rules/vocabulary.toml")
        names |= found
    return sorted(names)


def _bounds(text: str) -> list[Any] | None:
    found = _range(text)
    return None if found == EVERYTHING else [found.low, found.high]


def _range(text: str) -> Range:
    """'>=580.65,<595' -> Range; only >= and <, because dotted numbers have no next one."""
    low: Numbers | None = None
    high: Numbers | None = None
    for clause in filter(None, text.split(",")):
        if clause.startswith(">="):
            low = _dotted(clause[2:])
        elif clause.startswith("<") and not clause.startswith("<="):
            high = _dotted(clause[1:])
        else:
            raise CatalogError(f"{clause!r} is not '>=NUMBER' or '<NUMBER'")
    return Range(low=low, high=high)


def _dotted(text: str) -> Numbers:
    return tuple(int(part) for part in text.strip().split("."))
