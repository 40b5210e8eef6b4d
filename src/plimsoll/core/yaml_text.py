"""YAML as people read it, from plain values: strings always quoted, a reason above what needs one.

Written by the rules of YAML 1.2 (yaml.org/spec/1.2.2: 5.1 printable characters, 5.7 escapes, 7.3.1 double
quotes) such that readers of YAML 1.1 find the same values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = "bool | int | float | str | Sequence[Value] | Mapping[str, Value] | Noted | None"
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# Plain words that YAML 1.1 reads as something else than text.
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HIDDEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ud800-\\udfff\\ufeff\\ufff0-\\uffff]"
)


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with the reason that stands above it."""

    value: Value
    note: str


def document(value: Mapping[str, Value], note: str = "") -> str:
    """One YAML document; `note` stands at its head."""
    head = [f"# {line}" for line in _notes(note)]
    return "\n".join([*head, *(_mapping(value, "") or ["{}"])]) + "\n"


def _notes(note: str) -> list[str]:
    return [_HIDDEN.sub(_escaped, line) for line in note.split("\n")] if note else []


def _mapping(value: Mapping[str, Value], indent: str) -> list[str]:
    lines = []
    for key, item in value.items():
        plain = _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS
        lines += _entry(f"{key if plain else quoted(key)}:", item, indent, indent + "  ")
    return lines


def _sequence(value: Sequence[Value], indent: str) -> list[str]:
    lines = []
    for item in value:
        inner = item.value if isinstance(item, Noted) else item
        if isinstance(item, Noted):
            lines += [f"{indent}# {line}" for line in _notes(item.note)]
        if inner and not isinstance(inner, str) and isinstance(inner, Mapping | Sequence):
            below = _block(inner, indent + "  ")
            # A note of the first entry stands above the dash, for the dash takes the entry's place.
            while below[0].lstrip().startswith("#"):
                lines.append(indent + below.pop(0).lstrip())
            lines += [f"{indent}- {below[0].lstrip()}", *below[1:]]
        else:
            lines.append(f"{indent}- {_scalar(inner)}")
    return lines


def _entry(head: str, item: Value, indent: str, deeper: str) -> list[str]:
    lines = []
    if isinstance(item, Noted):
        lines += [f"{indent}# {line}" for line in _notes(item.note)]
        item = item.value
    if item and not isinstance(item, str) and isinstance(item, Mapping | Sequence):
        return [*lines, indent + head, *_block(item, deeper)]
    return [*lines, f"{indent}{head} {_scalar(item)}"]


def _block(value: Mapping[str, Value] | Sequence[Value], indent: str) -> list[str]:
    return _mapping(value, indent) if isinstance(value, Mapping) else _sequence(value, indent)


def _scalar(value: Value) -> str:
    if isinstance(value, Noted):
        raise TypeError("a noted value inside a noted value")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    return "{}" if isinstance(value, Mapping) else "[]"


def _number(value: float) -> str:
    """YAML 1.1 takes 1e-05 for text and 1.0e-05 for a number."""
    text = repr(value).replace("inf", ".inf").replace("nan", ".nan")
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}.0e{exponent}" if mark and "." not in mantissa else text


def quoted(text: str) -> str:
    """Text in double quotes; what would not be seen is spelled out."""
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    return f'"{_HIDDEN.sub(_escaped, escaped)}"'


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
