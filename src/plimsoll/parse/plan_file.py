"""A saved plan: which question each choice of it asked, and the fingerprint of its deployment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from plimsoll.errors import MalformedConfig, UsageError
from plimsoll.parse import strict_json

_REFERENCE = re.compile(r"(.+?)#(\d{1,6})(?:\.(\d{1,6}))?", re.DOTALL)
# What a fit question holds, as JSON has it; anything else in a plan is refused, not dropped.
_TEXT = ("on", "runtime", "weights", "kv", "split")
_COUNTS = (
    "context_tokens", "parallel_sequences_count", "vram_free_bytes", "ram_bytes", "desktop_bytes",
    "gpu_layers_count", "cpu_expert_layers_count",
)  # fmt: skip
_LARGEST = 2**60


class Reference(NamedTuple):
    """A plan file, the choice (from 1) and, where a choice holds several models, which one; 0 is not told."""

    path: str
    choice: int
    part: int


class Asked(NamedTuple):
    """The fields of a fit question, and the fingerprint of the deployment it gave."""

    fields: dict[str, Any]
    fingerprint: str


def reference(text: str) -> Reference:
    """'plan.json', 'plan.json#3' or 'plan.json#3.2'."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return Reference(text, 1, 0)
    return Reference(found[1], int(found[2]), int(found[3] or 0))


def asked(data: bytes, wanted: Reference) -> Asked:
    """What the wanted choice asked. Raises MalformedConfig for what is no plan, UsageError for a number it
    does not have."""
    plan = strict_json.loads_object(data, where=wanted.path)
    choices = plan.get("choices")
    if plan.get("question") != "plan" or not isinstance(choices, list):
        raise MalformedConfig(
            "is not a saved plan", where=wanted.path, hint="plimsoll plan MODEL --save FILE"
        )
    chosen = _numbered(choices, wanted.choice, "choice", f"{wanted.path}#")
    parts = chosen.get("parts", [chosen]) if isinstance(chosen, dict) else None
    if not isinstance(parts, list):
        raise MalformedConfig(f"choice {wanted.choice} is not an object with parts", where=wanted.path)
    if len(parts) > 1 and not wanted.part:
        raise UsageError(
            f"choice {wanted.choice} holds {len(parts)} models, each started by a command of its own",
            hint=" and ".join(f"{wanted.path}#{wanted.choice}.{i}" for i in range(1, min(len(parts), 4) + 1)),
        )
    part = _numbered(parts, wanted.part or 1, "model", f"{wanted.path}#{wanted.choice}.")
    return _checked(part, f"{wanted.path}#{wanted.choice}")


def _numbered(rows: list[Any], number: int, what: str, before: str) -> Any:
    if not rows:
        raise UsageError(f"the plan has no {what}", hint="plimsoll plan says why")
    if not 1 <= number <= len(rows):
        raise UsageError(
            f"the plan has {len(rows)} {what}s, not {number}", hint=f"{before}1 to {before}{len(rows)}"
        )
    return rows[number - 1]


def _checked(part: Any, where: str) -> Asked:
    fields = part.get("asked") if isinstance(part, Mapping) else None
    fingerprint = part.get("fingerprint", "") if isinstance(part, Mapping) else None
    if not isinstance(fields, Mapping) or not isinstance(fingerprint, str):
        raise MalformedConfig("lacks what was asked", where=where)
    return Asked({name: _value(name, value, where) for name, value in fields.items()}, fingerprint)


def _value(name: str, value: Any, where: str) -> Any:
    """A field in the kind a fit question has it; MalformedConfig otherwise."""
    if name in _TEXT and isinstance(value, str) and "\0" not in value:
        return value
    if name in _COUNTS and type(value) is int and 0 <= value < _LARGEST:
        return value
    if name == "offline" and isinstance(value, bool):
        return value
    if name in ("models", "adapters") and _is_texts(value):
        return tuple(value)
    if name == "overrides" and isinstance(value, list) and all(_is_texts(v) and len(v) == 2 for v in value):
        return tuple((pattern, buffer) for pattern, buffer in value)
    if name == "settings" and isinstance(value, dict) and all(map(_is_setting, value.values())):
        return dict(value)
    raise MalformedConfig(f"{name!r} cannot be {str(value)[:60]!r} in a question", where=where)


def _is_setting(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(v, str) and "\0" not in v for v in value)
