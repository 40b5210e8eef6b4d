"""Builds the index files that make names and devices quick to find: `python -m plimsoll.catalog.index`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from plimsoll.catalog import devices, failures, machine_risks, releases, rules
from plimsoll.catalog.names import name_key

CATALOG = Path(__file__).parent

_ROLE = re.compile(r"-(?:[Ii]nstruct|it|IT|[Cc]hat|hf|Preview|BF16)(?=-|$)")
_PREFIX = re.compile(r"^(?:NVIDIA|Meta|c4ai)-")
_ACTIVE = re.compile(r"(?<=[0-9]B)-A[0-9.]+B")
_DATE = re.compile(r"-(?:[0-9]{4}|v0?[0-9](?:\.[0-9])?|[0-9]{2}-[0-9]{4})$")
_ZERO = re.compile(r"(?<=[0-9])\.0(?=-|$)")


def device_index(folder: Path = CATALOG / "devices") -> dict[str, Any]:
    """`ids`: id -> file; `names`: key -> ids; `cpus`: id -> patterns of model numbers."""
    ids: dict[str, str] = {}
    own: dict[str, set[str]] = {}
    shared: dict[str, set[str]] = {}
    cpus: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*/*.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        ids[data["id"]] = f"{path.parent.name}/{path.name}"
        for name in (data["id"], data["name"], *data.get("aliases", ())):
            own.setdefault(devices.device_key(name), set()).add(data["id"])
        for name in data.get("shared_aliases", ()):
            shared.setdefault(devices.device_key(name), set()).add(data["id"])
        if "cpu" in data:
            cpus[data["id"]] = list(data["cpu"].get("models", ()))
    names = {key: sorted(found) for key, found in {**shared, **own}.items()}
    return {"ids": ids, "names": dict(sorted(names.items())), "cpus": cpus}


def device_records(folder: Path = CATALOG / "devices") -> str:
    """The data of all devices, one line of JSON each, because TOML costs 10 ms of every cold start."""
    files = sorted(folder.glob("*/*.toml"))
    return "".join(json.dumps(tomllib.loads(path.read_text("utf-8"))) + "\n" for path in files)


def source_index(folder: Path = CATALOG / "sources") -> str:
    """All sources, id -> data, one line each."""
    files = sorted(folder.glob("*.toml"))
    rows = (f"{json.dumps(path.stem)}:{json.dumps(tomllib.loads(path.read_text('utf-8')))}" for path in files)
    return "{\n" + _rows(rows) + "\n}\n"


def config_key_index(folder: Path = CATALOG / "config_keys") -> str:
    """All groups of config keys, one line of JSON each, because TOML costs 20 ms of a cold start."""
    files = sorted(folder.glob("*.toml"))
    rows = (
        f"{json.dumps(path.stem)}:{json.dumps(tomllib.loads(path.read_text('utf-8')), ensure_ascii=False)}"
        for path in files
    )
    return "{\n" + _rows(rows) + "\n}\n"


def runtime_index(folder: Path = CATALOG / "runtimes") -> str:
    """All release lists, id -> data, one line each."""
    rows = (f"{json.dumps(path.stem)}:{json.dumps(data)}" for path, data in _tomls(folder, "*.toml"))
    return "{\n" + _rows(rows) + "\n}\n"


def stack_index(folder: Path = CATALOG / "stacks") -> str:
    """What releases are built on, runtime -> data, one line each."""
    rows = (f"{json.dumps(path.stem)}:{json.dumps(data)}" for path, data in _tomls(folder, "*.toml"))
    return "{\n" + _rows(rows) + "\n}\n"


def ui_index(folder: Path = CATALOG / "uis") -> str:
    """All front-ends, id -> data, one line each."""
    rows = (
        f"{json.dumps(path.stem)}:{json.dumps(data, ensure_ascii=False)}"
        for path, data in _tomls(folder, "*.toml")
    )
    return "{\n" + _rows(rows) + "\n}\n"


def rule_index(folder: Path = CATALOG / "rules") -> dict[str, str]:
    """Index files by name: the vocabulary, and per runtime and aspect the rules, a line each.

    A question reads the rules of one runtime and those for any. Raises CatalogError for a bad file.
    """
    words = tomllib.loads((folder / "vocabulary.toml").read_text("utf-8"))
    known = {
        path.stem: releases.releases_from(data, f"runtimes/{path.name}")
        for path, data in _tomls(folder.parent / "runtimes", "*.toml")
    }
    rows: dict[str, list[str]] = {}
    for path, data in _tomls(folder, "*/*.toml"):
        where = f"rules/{path.parent.name}/{path.name}"
        found = rules.rows_from(data, where, words, known)
        name = f"{path.parent.name}/{data['aspect']}.json"
        rows.setdefault(name, []).extend(json.dumps(r, ensure_ascii=False) for r in found)
    files = {name: "[\n" + _rows(lines) + "\n]\n" for name, lines in rows.items() if lines}
    return {"vocabulary.json": written(words), **files}


def stray_rules(catalog: Path, fresh: Mapping[str, str]) -> list[Path]:
    """Index files of runtimes and aspects that have no rules any more."""
    rules_folder = catalog / "rules"
    found = sorted(rules_folder.glob("*/*.json"))
    return [path for path in found if path.relative_to(rules_folder).as_posix() not in fresh]


def architecture_index(folder: Path = CATALOG / "models") -> dict[str, Any]:
    """`classes`: model_type -> the classes that the catalog's configs name for it."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*/*.json")):
        config = json.loads(path.read_bytes()).get("config", {})
        names = config.get("architectures") or ()
        for part in (config, config.get("text_config", {})):
            found.setdefault(part.get("model_type", ""), set()).update(names)
    return {"classes": {kind: sorted(names) for kind, names in sorted(found.items()) if kind and names}}


def failure_index(folder: Path = CATALOG / "failures") -> str:
    """All known failures, one line each; CatalogError for a bad file."""
    rows = [
        json.dumps(row, ensure_ascii=False)
        for path, data in _tomls(folder, "*.toml")
        for row in failures.rows_from(data, f"failures/{path.name}")
    ]
    return "[\n" + _rows(rows) + "\n]\n"


def risk_index(folder: Path = CATALOG / "risks") -> str:
    """All risks that come with a machine, one line each; CatalogError for a bad file."""
    rows = [
        json.dumps(row, ensure_ascii=False)
        for path, data in _tomls(folder, "*.toml")
        for row in machine_risks.rows_from(data, f"risks/{path.name}")
    ]
    return "[\n" + _rows(rows) + "\n]\n"


def _tomls(folder: Path, pattern: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob(pattern)):
        yield path, tomllib.loads(path.read_text("utf-8"))


def model_index(folder: Path = CATALOG / "models") -> dict[str, Any]:
    """`ids`: all ids; `names`: key -> ids, where an exact name hides aliases and an alias short forms."""
    tiers: tuple[dict[str, set[str]], ...] = ({}, {}, {}, {})
    ids = []
    for path in sorted(folder.glob("*/*.json")):
        data = json.loads(path.read_bytes())
        ids.append(data["id"])
        name = data["id"].partition("/")[2]
        for tier, forms in enumerate(([name], data["aliases"], short_forms(name), shorter_forms(name))):
            for form in forms:
                tiers[tier].setdefault(name_key(form), set()).add(data["id"])
    names: dict[str, list[str]] = {}
    for tier_names in tiers:
        for key, found in tier_names.items():
            names.setdefault(key, sorted(found))
    return {"ids": sorted(ids), "names": dict(sorted(names.items()))}


def short_forms(name: str) -> Iterator[str]:
    """The name without its role ('-Instruct', '-it') and without the maker's prefix."""
    yield _PREFIX.sub("", name)
    yield _ROLE.sub("", name)
    yield _PREFIX.sub("", _ROLE.sub("", name))
    yield _ZERO.sub("", name)
    yield _ZERO.sub("", _ROLE.sub("", name))


def shorter_forms(name: str) -> Iterator[str]:
    """Also without the count of active parameters, without a date or version at the end."""
    for form in {name, *short_forms(name)}:
        undated = _ROLE.sub("", _DATE.sub("", form))
        yield from (undated, _ACTIVE.sub("", form), _ACTIVE.sub("", undated), _DATE.sub("", form))


def written(index: dict[str, Any]) -> str:
    """One line per entry, so that a change of one fact is a change of one line."""
    parts = []
    for section, table in index.items():
        if isinstance(table, list):
            parts.append(f"{json.dumps(section)}:[\n{_rows(json.dumps(value) for value in table)}\n]")
        else:
            rows = (f"{json.dumps(key)}:{json.dumps(value)}" for key, value in table.items())
            parts.append(f"{json.dumps(section)}:{{\n{_rows(rows)}\n}}")
    return "{" + ",\n".join(parts) + "}\n"


def _rows(rows: Iterable[str]) -> str:
    return ",\n".join(rows)


def main() -> None:
    """Write the index files."""
    (CATALOG / "sources" / "index.json").write_text(source_index(), "utf-8")
    (CATALOG / "config_keys" / "index.json").write_text(config_key_index(), "utf-8")
    (CATALOG / "runtimes" / "index.json").write_text(runtime_index(), "utf-8")
    (CATALOG / "stacks" / "index.json").write_text(stack_index(), "utf-8")
    (CATALOG / "uis" / "index.json").write_text(ui_index(), "utf-8")
    fresh = rule_index()
    for path in stray_rules(CATALOG, fresh):
        path.unlink()
    for name, text in fresh.items():
        (CATALOG / "rules" / name).write_text(text, "utf-8")
    (CATALOG / "failures" / "index.json").write_text(failure_index(), "utf-8")
    (CATALOG / "risks" / "index.json").write_text(risk_index(), "utf-8")
    (CATALOG / "devices" / "records.jsonl").write_text(device_records(), "utf-8")
    (CATALOG / "devices" / "index.json").write_text(written(device_index()), "utf-8")
    (CATALOG / "models" / "architectures.json").write_text(written(architecture_index()), "utf-8")
    (CATALOG / "models" / "index.json").write_text(written(model_index()), "utf-8")


if __name__ == "__main__":
    main()
