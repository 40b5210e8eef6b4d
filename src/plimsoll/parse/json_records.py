"""JSON objects one after another, one a line or all in one array, and never all of them in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from plimsoll.errors import MalformedTrace

LONGEST = 16 << 20  # characters of one line, or of one member of an array
_BLANKS = " \t\r\n"


def of_lines(lines: Iterable[str], *, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of each line that is not blank. MalformedTrace: no JSON (NaN is none), no object."""
    decode = _DECODER.decode
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
        try:
            value = decode(line)
        except (ValueError, RecursionError) as error:
            _refuse(error, where, number)
        yield number, _object(value, where, number)


def of_array(pieces: Iterator[str], *, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 1, object) of each member of an array, whose text comes in pieces. As `of_lines`."""
    text = next(pieces, "").lstrip(_BLANKS)
    text, at, number = text[1:], 0, 1  # without the array's bracket
    while True:
        at = _past_blanks(text, at)
        if text[at : at + 1] == "]":
            return
        trouble: Exception = ValueError("the array does not end")
        end = len(text)
        try:
            value, end = _DECODER.raw_decode(text, at)
            end = _past_blanks(text, end)
        except (ValueError, RecursionError) as error:
            trouble = error
        if end == len(text):  # cut by the end of the piece, or wrong: more text tells
            longer = _longer(text[at:], pieces)
            if len(text) - at > LONGEST or len(longer) == len(text) - at:
                _refuse(trouble, where, number)
            text, at = longer, 0
            continue
        yield number, _object(value, where, number)
        if text[end] not in ",]":
            _refuse(ValueError("a comma or the array's end is missing"), where, number)
        at, number = end + (text[end] == ","), number + 1


def _longer(text: str, pieces: Iterator[str]) -> str:
    """At least twice the text, so that a long member is not read over and over, or all that is left."""
    parts, size = [text], 0
    while size <= len(text) and (piece := next(pieces, "")):
        parts.append(piece)
        size += len(piece)
    return "".join(parts)


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _object(value: Any, where: str, number: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedTrace("is JSON, but no object in braces", where=f"{where}:{number}")
    return value


def _refuse(error: Exception, where: str, number: int) -> NoReturn:
    if isinstance(error, RecursionError):
        what = "is nested too deep"
    elif isinstance(error, json.JSONDecodeError):
        what = f"is no JSON: {error.msg}"
    else:
        what = f"is no JSON: {str(error).split('; use sys.')[0]}"
    raise MalformedTrace(what, where=f"{where}:{number}") from None


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_constant)
