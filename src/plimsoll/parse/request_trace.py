"""Traces of requests in the common shapes, row by row and never whole in memory.

Shapes, each as its publisher documents it:
azure     TIMESTAMP,ContextTokens,GeneratedTokens (github.com/Azure/AzurePublicDataset,
          AzureLLMInferenceDataset2023.md and 2024.md; 2023 writes times with 7 digits and no zone, 2024 with
          +00:00; the 2025 one has a column NumImages besides)
mooncake  {"timestamp": ms, "input_length", "output_length", "hash_ids": one name per 512 tokens}
          (github.com/kvcache-ai/Mooncake, FAST25-release/README.md)
burstgpt  Timestamp,[Session ID,Elapsed time,]Model,Request tokens,Response tokens,Total tokens,Log Type in
          seconds; 0 response tokens are failures (github.com/HPMLL/BurstGPT, README.md)
plain     arrival_s,prompt_tokens,output_tokens[,session]: our own, as CSV or JSON
sharegpt  conversations without times: see `parse.conversations`
"""

from __future__ import annotations

import csv
import math
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from operator import gt, itemgetter
from typing import Any, NamedTuple, NoReturn

from plimsoll.domain.traffic import Request
from plimsoll.errors import BadSetting, MalformedTrace, choices_hint
from plimsoll.parse import json_records

# (time in seconds, prompt tokens, output tokens, session, prefix blocks, line)
Row = tuple[float, int, int, str, tuple[int, ...], int]

REORDER_ROWS = 32_768
_MOST_TOKENS = 100_000_000
_LATEST_S = 1e11  # 3,000 years: whoever writes milliseconds as seconds is told
_MOONCAKE_BLOCK_TOKENS = 512


class Shape(NamedTuple):
    """Names of a trace's columns, and how many seconds one unit of its time column is (0: a date)."""

    time: str
    prompt: str
    output: str
    session: str
    blocks: str
    seconds: float


SHAPES = {
    "azure": Shape("TIMESTAMP", "ContextTokens", "GeneratedTokens", "", "", 0.0),
    "burstgpt": Shape("Timestamp", "Request tokens", "Response tokens", "Session ID", "", 1.0),
    "mooncake": Shape("timestamp", "input_length", "output_length", "", "hash_ids", 1e-3),
    "plain": Shape("arrival_s", "prompt_tokens", "output_tokens", "session", "", 1.0),
}
FORMATS = (*SHAPES, "sharegpt")
_EXAMPLE = "a header such as arrival_s,prompt_tokens,output_tokens, or --trace-format " + "|".join(FORMATS)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was met while a trace was read; complete when it has been read to its end."""

    rows_count: int = 0
    unserved_count: int = 0  # with 0 tokens: failed requests, which are left out
    unsorted_count: int = 0  # earlier than the row before them
    last_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a file holds, opened as far as its header: CSV rows, or JSON values."""

    format: str
    where: str
    header: tuple[str, ...] = ()  # () for JSON
    lines: Iterable[str] = ()
    values: Iterable[tuple[int, dict[str, Any]]] = ()


def opened(blocks: Iterable[bytes], *, where: str, wanted: str = "") -> Records:
    """Recognise a trace by its header, or take it for the `wanted` format.

    Raises BadSetting for a format that is none, MalformedTrace for what cannot be a trace.
    """
    if wanted and wanted not in FORMATS:
        raise BadSetting(
            f"{wanted!r} is no format of traces I read", hint=choices_hint(wanted, FORMATS, "--trace-format")
        )
    blocks = _text_blocks(blocks, where)
    start = next(blocks, b"")
    blocks = chain([start], blocks)
    if start[:1] in (b"[", b"{"):
        values = (
            json_records.of_array(_pieces(blocks, where), where=where)
            if start[:1] == b"["
            else json_records.of_lines(_lines(blocks, where), where=where)
        )
        value = next(values, None)
        if value is None:
            raise MalformedTrace("holds no records", where=where, hint=_EXAMPLE)
        name = _recognised(frozenset(value[1]), wanted, where)
        return Records(format=name, where=where, values=chain([value], values))
    lines = _lines(blocks, where)
    first = next(lines, "")
    if not first:
        raise MalformedTrace("is empty", where=where, hint=_EXAMPLE)
    header = tuple(field.strip() for field in next(csv.reader([first]), []))
    name = _recognised(frozenset(header), wanted, where)
    if name == "sharegpt":
        raise MalformedTrace("is CSV; conversations come as JSON", where=where, hint=_EXAMPLE)
    return Records(format=name, where=where, header=header, lines=lines)


def _recognised(columns: frozenset[str], wanted: str, where: str) -> str:
    if wanted == "sharegpt" or (not wanted and columns & {"conversations", "messages"}):
        return "sharegpt"
    names = [wanted] if wanted else list(SHAPES)
    for name in names:
        shape = SHAPES[name]
        if {shape.time, shape.prompt, shape.output} <= columns:
            return name
    shown = ", ".join(sorted(columns))[:120]
    if wanted:
        shape = SHAPES[wanted]
        missing = sorted({shape.time, shape.prompt, shape.output} - columns)
        raise MalformedTrace(
            f"is no {wanted} trace: it has {shown}, not {', '.join(missing)}", where=where, hint=_EXAMPLE
        )
    raise MalformedTrace(f"is no trace I know: it has {shown}", where=where, hint=_EXAMPLE)


def requests(records: Records, tally: Tally) -> Iterator[Request]:
    """The requests in the order of their arrival, the first at 0 s; rows a little out of order are sorted.

    Rows with 0 tokens either way failed or were never answered: they are counted and left out. Raises
    MalformedTrace, naming the line, for whatever is no number, below nothing, beyond reason, or more than
    32,768 rows out of order.
    """
    shape = SHAPES[records.format]
    rows = _csv_rows(records, shape, tally) if records.header else _json_rows(records, shape, tally)
    first: float | None = None
    for time_s, prompt, output, session, names, _ in in_order(rows, tally, where=records.where):
        if first is None:
            first = time_s
        tally.last_s = time_s - first
        yield Request(
            arrival_s=tally.last_s, prompt_tokens=prompt, output_tokens=output, session=session,
            prefix_blocks=names, prefix_block_tokens=_MOONCAKE_BLOCK_TOKENS,
        )  # fmt: skip
    if first is None:
        raise MalformedTrace("holds no request that was answered", where=records.where, hint=_EXAMPLE)


def in_order(rows: Iterator[Row], tally: Tally, *, where: str, window: int = REORDER_ROWS) -> Iterator[Row]:
    """Rows sorted by time with at most two windows of them in memory.

    A row at most `window` rows late finds its place; a later one raises MalformedTrace.
    """
    held: list[Row] = []
    last = -math.inf
    while fresh := list(islice(rows, window)):
        held += fresh
        times = [row[0] for row in held]
        late = sum(map(gt, times, islice(times, 1, None)))
        if late:
            tally.unsorted_count += late
            held.sort(key=itemgetter(0))
        if held[0][0] < last:
            raise MalformedTrace(
                f"comes more than {window:,} rows late: {last - held[0][0]:,.6g} s before one already served",
                where=f"{where}:{held[0][5]}", hint="sort the trace by its time column",
            )  # fmt: skip
        if len(held) > window:
            yield from held[:-window]
            last = held[-window - 1][0]
            del held[:-window]
    yield from held


def _text_blocks(blocks: Iterable[bytes], where: str) -> Iterator[bytes]:
    """The blocks from the first byte that is neither a byte order mark nor blank."""
    is_begun = False
    for block in blocks:
        if b"\0" in block:
            raise MalformedTrace("is not text: it holds zero bytes", where=where, hint="UTF-8 text is read")
        if not is_begun:
            block = block.removeprefix(b"\xef\xbb\xbf").lstrip()
            is_begun = bool(block)
        if block:
            yield block


def _lines(blocks: Iterable[bytes], where: str) -> Iterator[str]:
    """Lines without their ends, decoded as UTF-8."""
    rest = b""
    for block in blocks:
        whole, end, rest = (rest + block).rpartition(b"\n")
        if len(rest) > json_records.LONGEST:
            raise MalformedTrace(f"has a line longer than {json_records.LONGEST:,} bytes", where=where)
        if end:
            yield from _decoded(whole, where).split("\n")
    if rest:
        yield _decoded(rest, where)


def _pieces(blocks: Iterable[bytes], where: str) -> Iterator[str]:
    """The text in pieces that end where a character ends."""
    decoder = getincrementaldecoder("utf-8")()
    for block in blocks:
        try:
            yield decoder.decode(block)
        except UnicodeDecodeError as error:
            raise _not_utf8(error, where) from None


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(error, where) from None


def _not_utf8(error: UnicodeDecodeError, where: str) -> MalformedTrace:
    before = error.object[max(0, error.start - 20) : error.start + 1]
    return MalformedTrace(f"is not UTF-8 text after {before!r}", where=where, hint="save it as UTF-8")


def _csv_rows(records: Records, shape: Shape, tally: Tally) -> Iterator[Row]:
    places = {name: at for at, name in enumerate(records.header)}
    time_at, prompt_at, output_at = places[shape.time], places[shape.prompt], places[shape.output]
    session_at = places.get(shape.session, -1)
    seconds: Callable[[str], float] = clock_reader() if shape.seconds == 0 else float
    reader = csv.reader(records.lines, strict=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            _refuse(records, reader.line_num + 1, f"is no CSV: {error}")
        if fields is None:
            return
        if not fields:
            continue
        try:
            time_s = seconds(fields[time_at])
            prompt, output = int(fields[prompt_at]), int(fields[output_at])
            session = fields[session_at] if session_at >= 0 else ""
        except (ValueError, IndexError):
            values = [fields[at] if at < len(fields) else None for at in (time_at, prompt_at, output_at)]
            time_s, prompt, output = _slowly(records, shape, reader.line_num + 1, values, seconds)
            session = fields[session_at] if 0 <= session_at < len(fields) else ""
        if not (0 <= time_s <= _LATEST_S and 0 < prompt <= _MOST_TOKENS and 0 < output <= _MOST_TOKENS):
            _judge(records, shape, reader.line_num + 1, (time_s, prompt, output))
            tally.unserved_count += 1
            continue
        tally.rows_count += 1
        yield (time_s, prompt, output, session, (), reader.line_num + 1)


def _json_rows(records: Records, shape: Shape, tally: Tally) -> Iterator[Row]:
    for line, value in records.values:
        found: list[Any] = [value.get(name) for name in (shape.time, shape.prompt, shape.output)]
        if all(type(number) is int for number in found):
            time, prompt, output = found
        else:
            time, prompt, output = _slowly(records, shape, line, found, _as_float)
        time_s = time * shape.seconds
        if not (0 <= time_s <= _LATEST_S and 0 < prompt <= _MOST_TOKENS and 0 < output <= _MOST_TOKENS):
            _judge(records, shape, line, (time_s, prompt, output))
            tally.unserved_count += 1
            continue
        names = _block_names(records, line, value.get(shape.blocks)) if shape.blocks else ()
        session = value.get(shape.session, "") if shape.session else ""
        tally.rows_count += 1
        yield (time_s, prompt, output, str(session), names, line)


def _as_float(value: Any) -> float:
    return float(value)


def _block_names(records: Records, line: int, names: Any) -> tuple[int, ...]:
    if names is None:
        return ()
    if not isinstance(names, list) or not all(type(name) is int for name in names):
        _refuse(records, line, "names its prefix blocks by something else than whole numbers")
    return tuple(names)


def _slowly(
    records: Records, shape: Shape, line: int, values: list[Any], seconds: Callable[[str], float]
) -> tuple[float, int, int]:
    """The three numbers of a row that was not plain: '374.0' is 374, other things are refused by name."""
    numbers: list[float] = []
    for name, value in zip((shape.time, shape.prompt, shape.output), values, strict=True):
        if value is None or value == "":
            _refuse(records, line, f"has no {name}")
        try:
            number = float(value) if name != shape.time else seconds(value)
            is_wrong = isinstance(value, bool | list | dict) or math.isnan(number)
        except (ValueError, TypeError, OverflowError):
            is_wrong = True
        if is_wrong or (name != shape.time and math.isfinite(number) and number != int(number)):
            _refuse(records, line, f"has {_shown(value)} for {name}, which is no {_kind(shape, name)}")
        numbers.append(number)
    if math.inf in map(abs, numbers[1:]):
        _refuse(records, line, "has an endless number of tokens")
    return numbers[0], int(numbers[1]), int(numbers[2])


def _judge(records: Records, shape: Shape, line: int, numbers: tuple[float, int, int]) -> None:
    """Refuse what is below nothing or beyond reason; what is left has no tokens."""
    time_s, prompt, output = numbers
    if math.isnan(time_s) or time_s < 0:
        _refuse(records, line, f"comes at {time_s:g} s: times are 0 or later")
    if time_s > _LATEST_S:
        _refuse(records, line, f"comes at {time_s:g} s, after more than 3,000 years: is that milliseconds?")
    for name, count in ((shape.prompt, prompt), (shape.output, output)):
        if count < 0:
            _refuse(records, line, f"has {count:,} for {name}: there are no negative tokens")
        if count > _MOST_TOKENS:
            _refuse(records, line, f"has {_shown(count)} for {name}; more than {_MOST_TOKENS:,} are not read")


def _refuse(records: Records, line: int, what: str) -> NoReturn:
    hint = f"correct or remove that row; the file was read as {records.format}: another --trace-format?"
    raise MalformedTrace(what, where=f"{records.where}:{line}", hint=hint)


def _kind(shape: Shape, name: str) -> str:
    if name != shape.time:
        return "whole number"
    return "number" if shape.seconds else "time such as 2023-11-16 18:15:46.68"


def _shown(value: object) -> str:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    text = f"{value:,}" if is_count else repr(value)  # JSON's and int's own limit is 4,300 digits
    return text if len(text) <= 60 else text[:57] + "..."


def clock_reader() -> Callable[[str], float]:
    """A function from '2023-11-16 18:15:46.6805900' or '2024-05-10 00:00:00.009930+00:00' to seconds.

    Seconds since 1970-01-01 in UTC, which is assumed where no zone is given. Days of a date in the proleptic
    Gregorian calendar by `days_from_civil` (Howard Hinnant, chrono-compatible low-level date algorithms).
    """
    days: dict[str, float] = {}

    def read(text: str) -> float:
        date = text[:10]
        start = days.get(date)
        if start is None:
            if len(days) > 4096:
                days.clear()
            start = days[date] = _days(date) * 86_400.0
        hours, minutes, rest = int(text[11:13]), int(text[14:16]), text[17:]
        shift = 0.0
        if len(rest) > 6 and rest[-6] in "+-" and rest[-3] == ":":
            shift = (int(rest[-5:-3]) * 3600 + int(rest[-2:]) * 60) * (-1.0 if rest[-6] == "-" else 1.0)
            rest = rest[:-6]
        second = float(rest.removesuffix("Z"))
        if not (hours < 24 and minutes < 60 and 0 <= second < 61) or text[13] != ":" or text[16] != ":":
            raise ValueError(text)
        return start + hours * 3600 + minutes * 60 + second - shift

    return read


def _days(date: str) -> int:
    year, month, day = int(date[:4]), int(date[5:7]), int(date[8:10])
    if date[4] != "-" or date[7] != "-" or not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError(date)
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
