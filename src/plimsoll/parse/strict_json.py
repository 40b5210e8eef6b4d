"""JSON from strangers: no NaN, no duplicate keys, no bottomless nesting, no surprise in memory."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from plimsoll.errors import MalformedConfig


class Limits(NamedTuple):
    """What a document may be. `wide_bytes` is the limit for text that is not plain ASCII, which
    Python stores with up to four bytes per character."""

    size_bytes: int
    values_count: int
    depth: int
    wide_bytes: int


CONFIG = Limits(8 << 20, 300_000, 64, 8 << 20)
INDEX = Limits(48 << 20, 700_000, 8, 4 << 20)
HEADER = Limits(24 << 20, 1_200_000, 8, 4 << 20)
TOKENIZER = Limits(64 << 20, 4_000_000, 32, 64 << 20)


def loads(data: bytes, *, where: str, limits: Limits = CONFIG) -> Any:
    """The value that `data` holds; `where` names it in errors.

    Raises MalformedConfig for anything that is not strict JSON within the limits. Size and number of
    values are judged before parsing, so that a hostile document costs neither time nor memory.
    """
    _refuse_size(data, where, limits)
    try:
        value = json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )
    except RecursionError:
        raise MalformedConfig(f"nested deeper than {limits.depth} levels", where=where) from None
    except UnicodeDecodeError as error:
        raise MalformedConfig(f"not UTF-8 at byte {error.start}", where=where) from None
    except json.JSONDecodeError as error:
        raise MalformedConfig(
            f"not JSON: {error.msg} at line {error.lineno} column {error.colno}", where=where
        ) from None
    except ValueError as error:
        raise MalformedConfig(str(error).split("; use sys.")[0], where=where) from None
    _refuse_depth(value, where, limits.depth)
    return value


def loads_object(data: bytes, *, where: str, limits: Limits = CONFIG) -> dict[str, Any]:
    """As `loads`, for a document that must be an object."""
    value = loads(data, where=where, limits=limits)
    if not isinstance(value, dict):
        raise MalformedConfig(f"holds a {type(value).__name__}, not an object", where=where)
    return value


def _refuse_size(data: bytes, where: str, limits: Limits) -> None:
    size = len(data)
    if size > limits.size_bytes:
        raise MalformedConfig(f"{size} bytes; more than {limits.size_bytes} are not read", where=where)
    if size > limits.wide_bytes and not data.isascii():
        raise MalformedConfig(f"{size} bytes that are not plain ASCII are not read", where=where)
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > limits.values_count:
        raise MalformedConfig(
            f"about {values} values; more than {limits.values_count} are not read", where=where
        )


def _refuse_depth(value: Any, where: str, limit: int) -> None:
    """Walk level by level, keeping only containers."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            child
            for box in level
            for child in (box.values() if isinstance(box, dict) else box)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise MalformedConfig(f"nested deeper than {limit} levels", where=where)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {_shown(key)} stands twice")
            seen.add(key)
    return result


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{_shown(digits)} is too large a number")
    return value


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
