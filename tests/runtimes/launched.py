"""Commands as the recorded option lists of released servers would take them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Command, Serving

FOLDER = Path(__file__).parents[1] / "fixtures" / "launch_flags"
SERVING = Serving(model_path="org/some model", served_name="some-model")


def recorded(release: str) -> dict[str, Any]:
    """What tools/read_launch_flags.py read of a release ('vllm-0.33.0')."""
    found: dict[str, Any] = json.loads((FOLDER / f"{release}.json").read_text("utf-8"))
    return found


def launched(wanted: Deployment, serving: Serving = SERVING) -> Command:
    """The command of a deployment."""
    module = importlib.import_module(f"plimsoll.runtimes.{wanted.runtime.id}.launch")
    found: Command = module.command(wanted, serving)
    return found


def value(command: Command, name: str) -> str | None:
    """A flag's value; None where the flag is not there."""
    return next((f.value for f in command.flags if f.name == name), None)


def refused(command: Command, options: dict[str, Any]) -> list[str]:
    """What a parser with these options would refuse of a command, in words."""
    found = []
    takes: Any = "str"
    for flag in command.flags:
        name = flag.name
        if name:
            takes = options.get(name, options.get(name.replace("--no-", "--", 1), "unknown"))
        if takes == "unknown":
            found.append(f"no option {name}")
        elif takes == "switch":
            found += [f"{name} takes no value"] if flag.value else []
        elif not flag.value:
            found.append(f"{name} needs a value")
        elif isinstance(takes, list):
            words = {str(word) for word in takes}
            found += [] if flag.value in words else [f"{name} does not take {flag.value}"]
        elif takes in ("int", "float"):
            found += [] if _is_number(flag.value, takes) else [f"{name} takes a number"]
        elif takes == "json":
            json.loads(flag.value)
        if not name and takes != "list":
            found.append(f"a second value for an option that takes one: {flag.value}")
    return found


def _is_number(text: str, kind: str) -> bool:
    try:
        int(text) if kind == "int" else float(text)
    except ValueError:
        return False
    return True
