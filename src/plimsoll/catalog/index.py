"""Builds the two index files that make names quick to find: `python -m plimsoll.catalog.index`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from plimsoll.catalog import devices

CATALOG = Path(__file__).parent


def device_index(folder: Path = devices.FOLDER) -> dict[str, Any]:
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


def written(index: dict[str, Any]) -> str:
    """One line per entry, so that a change of one fact is a change of one line."""
    parts = []
    for section, table in index.items():
        rows = ",\n".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in table.items())
        parts.append(f"{json.dumps(section)}:{{\n{rows}\n}}")
    return "{" + ",\n".join(parts) + "}\n"


def main() -> None:
    """Write both index files."""
    devices.INDEX.write_text(written(device_index()), "utf-8")


if __name__ == "__main__":
    main()
