"""A presets file for llama-server as a router: the model is loaded when it is first asked for.

Format: 'Model presets' in tools/server/README.md and the grammar in common/preset.cpp of ggml-org/llama.cpp,
b11434: a section per model, keys are flags without dashes; a value ends at a line's end, ';' or '#', and
nothing can be escaped.
"""

from __future__ import annotations

import re

from plimsoll.core.launch_shell import shown
from plimsoll.domain.launch import Flag, LaunchFile, LaunchFiles, LaunchParts
from plimsoll.errors import BadSetting
from plimsoll.runtimes.llama_cpp.launch import need

RUNTIMES = ("llama_cpp",)
NAME = "presets.ini"
# The router takes these from its own command line, or decides them itself.
_ROUTERS = frozenset({"--host", "--port", "--alias"})
_JOINED = frozenset({"-ot", "--lora"})  # one key, values divided by commas
_ENDS_VALUE = re.compile(r"[;#\x00-\x1f\x7f]")
_NO_SECTION = re.compile(r"[\]\[\x00-\x1f\x7f]")


def files(parts: LaunchParts) -> LaunchFiles:
    """One section for the deployment. Raises BadSetting for a name or path that the format cannot hold."""
    need(parts.deployment, "--models-preset")
    name = parts.serving.served_name
    if _NO_SECTION.search(name) or name.strip() != name or not name or name == "*":
        raise BadSetting(f"{name!r} cannot name a section of {NAME}", hint="--name NAME without brackets")
    lines = ["version = 1", "", f"[{name}]"]
    for key, value, reason in _pairs(parts.command.flags):
        lines += [f"; {shown(reason)}", f"{key} = {value}"]
    serving = parts.serving
    start = ("llama-server", "--models-preset", NAME, "--host", serving.host, "--port", str(serving.port))
    reason = f"what llama-server loads when {name} is asked for"
    return LaunchFiles(
        files=(LaunchFile(name=NAME, text="\n".join(lines) + "\n", reason=reason),), start=start,
        notes=("add the sections of other models to the same file; --models-max says how many stay loaded",),
    )  # fmt: skip


def _pairs(flags: tuple[Flag, ...]) -> list[tuple[str, str, str]]:
    """Key, value and reason, with flags that may stand several times joined into one."""
    found: dict[str, tuple[str, str]] = {}
    for flag in flags:
        if flag.name in _ROUTERS:
            continue
        value, reason = _value(flag), flag.reason
        if flag.name in found:
            if flag.name not in _JOINED:
                raise BadSetting(f"{NAME} cannot hold {flag.name} twice")
            value, reason = f"{found[flag.name][0]},{value}", f"{found[flag.name][1]}; {reason}"
        found[flag.name] = (value, reason)
    return [(name.lstrip("-"), value, reason) for name, (value, reason) in found.items()]


def _value(flag: Flag) -> str:
    if not flag.value:
        return "true"
    if _ENDS_VALUE.search(flag.value) or flag.value.strip() != flag.value:
        raise BadSetting(
            f"{NAME} cannot hold {flag.value!r}: a value ends at ';', '#' and the line's end",
            hint="give the file another name, or --as command",
        )
    return flag.value
