"""Two releases side by side, as release notes: what came, what went, what changed."""

from __future__ import annotations

from collections.abc import Iterator

from tools.harvest.facts import Entry, Facts, Table

# Table -> what one entry of it is called; the order is that of the report.
_TITLES = {
    "architectures": "architectures", "TurboMind architectures": "architectures of TurboMind",
    "refused architectures": "architectures refused by name", "LoRA": "adapters (SupportsLoRA)",
    "quantisation": "quantisation methods", "quantisers": "quantisers",
    "quantisation modes": "modes of quantisation", "KV cache types": "KV cache types",
    "attention backends": "attention backends", "tool parsers": "tool-call parsers",
    "reasoning parsers": "reasoning parsers", "adapter kinds": "kinds of adapters",
    "LoRA targets": "modules that LoRA is put on", "CUDA architectures": "CUDA architectures",
    "ROCm architectures": "ROCm architectures", "requirements": "requirements",
    "commit": "commit of llama.cpp",
}  # fmt: skip
_VALUED = ("quantisation", "LoRA", "LoRA targets", "requirements", "commit", "quantisers")


def notes(old: Facts, new: Facts) -> list[str]:
    """The lines of a report; one line says so when nothing that is read has changed."""
    lines = [f"{new.project} {old.version} -> {new.version}"]
    for name, title in _TITLES.items():
        lines += _section(name, title, old.table(name), new.table(name))
    return lines if len(lines) > 1 else [*lines, "  nothing of what is read here has changed"]


def _section(name: str, title: str, old: Table, new: Table) -> Iterator[str]:
    came = [key if name not in _VALUED else _with_value(name, key, new[key]) for key in new if key not in old]
    went = [key for key in old if key not in new]
    if name == "LoRA":  # the architectures themselves are told above
        came, went = [], []
    if came:
        yield f"  new {title}: {', '.join(came)}"
    if went:
        yield f"  gone {title}: {', '.join(went)}"
    if name in _VALUED:
        for key, entry in new.items():
            if key in old and old[key].value != entry.value:
                yield f"  {key} {_value(name, old[key])} -> {_value(name, entry)} ({title})"


def _with_value(name: str, key: str, entry: Entry) -> str:
    value = _value(name, entry)
    return f"{key} {value}".strip() if name in ("quantisation", "requirements") else key


def _value(name: str, entry: Entry) -> str:
    """7.5 for a gate of 75; yes or no; the text itself."""
    if name == "quantisation" and type(entry.value) is int:
        return f"{entry.value // 10}.{entry.value % 10}"
    if isinstance(entry.value, bool):
        return "yes" if entry.value else "no"
    return str(entry.value) or "(computed)"
