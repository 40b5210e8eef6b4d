"""TabbyAPI's config.yml, the reason above each key."""

from __future__ import annotations

from plimsoll.core.yaml_text import Noted, Value, document
from plimsoll.domain.launch import LaunchFile, LaunchFiles, LaunchParts
from plimsoll.runtimes.exllama.launch import settings

RUNTIMES = ("exllama",)

_FILE = "config.yml"
_LISTS = ("model.autosplit_reserve",)
_WORDS = ("model.cache_mode", "model.model_dir", "model.model_name", "network.host")


def files(parts: LaunchParts) -> LaunchFiles:
    """config.yml for TabbyAPI's folder."""
    sections: dict[str, dict[str, Value]] = {}
    kept: list[Value] = []
    for flag in settings(parts.deployment, parts.serving):
        section, _, key = flag.name.partition(".")
        if not flag.name:
            kept.append(Noted(_typed("", flag.value), flag.reason))
            continue
        value: Value = _typed(flag.name, flag.value)
        if flag.name in _LISTS:
            kept = [Noted(value, flag.reason)]
            value = kept
        sections.setdefault(section, {})[key] = value if value is kept else Noted(value, flag.reason)
    return LaunchFiles(
        files=(LaunchFile(name=_FILE, text=document(sections), reason="for TabbyAPI's folder"),),
        start=("python", "main.py", "--config", _FILE), notes=parts.command.notes,
    )  # fmt: skip


def _typed(name: str, text: str) -> Value:
    if name in _WORDS:
        return text
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdecimal() else float(text)
