"""Traces in every shape, and every way to be none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plimsoll.domain.traffic import Request
from plimsoll.errors import BadSetting, MalformedTrace, PlimsollError
from plimsoll.parse import request_trace
from plimsoll.parse.request_trace import Row, Tally, clock_reader, in_order, opened

# Rows as published: Azure/AzurePublicDataset data/AzureLLMInferenceTrace_conv.csv and the shape of 2024,
# HPMLL/BurstGPT data/BurstGPT_1.csv and the columns of its release v1.2, kvcache-ai/Mooncake.
AZURE_2023 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n"
)
AZURE_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01.009930+00:00,2399,6\n"
)
BURST = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,0,1087,Conversation log\n"
    "118,GPT-4,417,276,693,Conversation log\n"
)
BURST_3 = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,abc,3.2,ChatGPT,472,18,490,Conversation log\n9,,1,GPT-4,9,9,18,API log\n"
)
MOONCAKE = (
    '{"timestamp": 27482, "input_length": 1053, "output_length": 52, "hash_ids": [46, 47, 48]}\n'
    '{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46, 47, 2366]}\n'
)
PLAIN = "arrival_s,prompt_tokens,output_tokens,session\n0,10,5,a\n\n1.5,12,6,a\n"
PLAIN_JSON = (
    '[{"arrival_s": 0, "prompt_tokens": 10, "output_tokens": 5},'
    '{"arrival_s": 1.5, "prompt_tokens": 12,\n"output_tokens": 6, "session": 7}]'
)


def _read(text: str, *, wanted: str = "", size: int = 1 << 20) -> tuple[str, list[Request], Tally]:
    data, tally = text.encode(), Tally()
    blocks = (data[at : at + size] for at in range(0, len(data), size))
    records = opened(blocks, where="trace", wanted=wanted)
    return records.format, list(request_trace.requests(records, tally)), tally


@pytest.mark.parametrize(
    ("text", "format", "times", "tokens", "sessions"),
    [
        (AZURE_2023, "azure", [0, 4.314579], [(374, 44), (396, 109)], ["", ""]),
        (AZURE_2024, "azure", [0, 1], [(2162, 5), (2399, 6)], ["", ""]),
        (BURST, "burstgpt", [0, 113], [(472, 18), (417, 276)], ["", ""]),
        (BURST_3, "burstgpt", [0, 4], [(472, 18), (9, 9)], ["abc", ""]),
        (MOONCAKE, "mooncake", [0, 3.053], [(1053, 52), (6472, 26)], ["", ""]),
        (PLAIN, "plain", [0, 1.5], [(10, 5), (12, 6)], ["a", "a"]),
        (PLAIN_JSON, "plain", [0, 1.5], [(10, 5), (12, 6)], ["", "7"]),
        ("\ufeff\n " + PLAIN, "plain", [0, 1.5], [(10, 5), (12, 6)], ["a", "a"]),
    ],
)
@pytest.mark.parametrize("size", [1 << 20, 7])
def test_each_shape_is_recognised_by_its_header(
    text: str, format: str, times: list[float], tokens: list[tuple[int, int]], sessions: list[str], size: int
) -> None:
    found, requests, tally = _read(text, size=size)
    assert found == format
    assert [r.arrival_s for r in requests] == pytest.approx(times, abs=1e-6)
    assert [(r.prompt_tokens, r.output_tokens) for r in requests] == tokens
    assert [r.session for r in requests] == sessions
    assert tally.unserved_count == (1 if text is BURST else 0)
    assert tally.last_s == requests[-1].arrival_s


def test_mooncakes_hashes_name_blocks_of_512_tokens() -> None:
    _, requests, _ = _read(MOONCAKE)
    assert [r.prefix_blocks for r in requests] == [(46, 47, 48), (46, 47, 2366)]
    assert requests[0].prefix_block_tokens == 512


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("-1,10,5", "comes at -1 s"), ("nan,10,5", "nan"), ("inf,10,5", "3,000 years"),
        ("1e12,10,5", "3,000 years"),
        ("x,10,5", "'x' for arrival_s"), (",10,5", "has no arrival_s"), ("1", "has no prompt_tokens"),
        ("1,,5", "has no prompt_tokens"), ("1,10", "has no output_tokens"),
        ("1,-3,5", "-3 for prompt_tokens"),
        ("1,10,1e300", "for output_tokens"), ("1,1.5,5", "no whole number"), ("1,10,nan", "no whole number"),
        ("1,10,inf", "endless"), (f"1,{'9' * 5000},5", "endless"), ("1,1000000000,5", "1,000,000,000"),
        (f'1,"{"x" * 200_000}",5', "field larger"), ('1,"a"b,5', "no CSV"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_named(row: str, says: str) -> None:
    with pytest.raises(MalformedTrace) as caught:
        _read(f"arrival_s,prompt_tokens,output_tokens\n0,10,5\n{row}\n")
    assert says in caught.value.message
    assert caught.value.where == "trace:3"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('{"timestamp": -1, "input_length": 1, "output_length": 1}', "comes at -0.001 s"),
        ('{"timestamp": NaN, "input_length": 1, "output_length": 1}', "NaN is not JSON"),
        ('{"timestamp": 1e999, "input_length": 1, "output_length": 1}', "3,000 years"),
        ('{"timestamp": true, "input_length": 1, "output_length": 1}', "True for timestamp"),
        ('{"timestamp": 1, "input_length": [1], "output_length": 1}', "[1] for input_length"),
        ('{"timestamp": 1, "output_length": 1}', "has no input_length"),
        ('{"timestamp": 1, "input_length": 1, "output_length": 1, "hash_ids": "ab"}', "prefix blocks"),
        ("[1, 2]", "no object"), ("{", "no JSON"), ("[" * 200_000, "nested too deep"),
        (f'{{"timestamp": {"1" * 5000}}}', "no JSON"),
    ],
)  # fmt: skip
def test_a_json_row_that_cannot_be_is_named(row: str, says: str) -> None:
    with pytest.raises(MalformedTrace) as caught:
        _read(MOONCAKE + row + "\n")
    assert says in caught.value.message
    assert caught.value.where == "trace:3"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"), ("\n \n", "is empty"), ("[]", "holds no records"), ("a,b\n1,2\n", "it has a, b"),
        ("arrival_s,prompt_tokens,output_tokens\n", "no request"), ("[{}]", "is no trace"),
        ("\0\0", "zero bytes"),
        ("arrival_s,prompt_tokens,output_tokens\n0,0,5\n", "no request that was answered"),
        ('[{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1}', "the array does not end"),
        ('[{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1} {}]', "a comma"),
        ('[{"arrival_s": 0, "prompt_tokens": 1, "output_tokens": 1}, 3]', "no object"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_trace_is_refused(text: str, says: str) -> None:
    with pytest.raises(MalformedTrace) as caught:
        _read(text)
    assert says in caught.value.message


def test_bytes_that_are_no_utf8_are_refused() -> None:
    for data in (b"arrival_s\xff,prompt_tokens\n", b'[{"a": "\xff"}]'):
        with pytest.raises(MalformedTrace, match="UTF-8"):
            list(request_trace.requests(opened([data], where="trace"), Tally()))


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    endless: Iterator[bytes] = iter(lambda: b"1" * (1 << 20), b"")
    with pytest.raises(MalformedTrace, match="longer than"):
        opened(endless, where="trace")
    unended: Iterator[bytes] = iter(lambda: b'["' + b"1" * (1 << 20), b"")
    with pytest.raises(MalformedTrace, match="trace:1"):
        opened(unended, where="trace")


def test_the_format_may_be_told_and_misspelt() -> None:
    text = MOONCAKE.replace(
        '"input_length"', '"arrival_s": 9, "prompt_tokens": 3, "output_tokens": 4, "input_length"'
    )
    assert _read(text)[1][0].prompt_tokens == 1053
    assert _read(text, wanted="plain")[1][0].prompt_tokens == 3
    with pytest.raises(MalformedTrace, match="is no burstgpt trace"):
        _read(text, wanted="burstgpt")
    with pytest.raises(BadSetting) as caught:
        _read(text, wanted="moncake")
    assert "did you mean mooncake?" in caught.value.hint


def test_rows_out_of_order_are_sorted_and_counted() -> None:
    _, requests, tally = _read("arrival_s,prompt_tokens,output_tokens\n5,1,1\n3,2,1\n4,3,1\n9,4,1\n")
    assert [(r.arrival_s, r.prompt_tokens) for r in requests] == [(0, 2), (1, 3), (2, 1), (6, 4)]
    assert tally.unsorted_count == 1


def _rows(times: list[float]) -> Iterator[Row]:
    return ((time, 1, 1, "", (), line) for line, time in enumerate(times, start=2))


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 8))
@example([3, 2, 1, 0], 1)
def test_in_order_sorts_or_names_the_row_that_is_too_late(times: list[int], window: int) -> None:
    shuffled = [float(time) for time in times]
    lateness = max(
        (sum(earlier > now for earlier in shuffled[:at]) for at, now in enumerate(shuffled)), default=0
    )
    try:
        found = [row[0] for row in in_order(_rows(shuffled), Tally(), where="t", window=window)]
    except MalformedTrace as error:
        assert lateness > window
        at = int(error.where.removeprefix("t:")) - 2
        assert shuffled[at] < max(shuffled[:at])
    else:
        assert found == sorted(shuffled)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e9), st.integers(0, 1 << 20), st.integers(0, 1 << 20)),
        min_size=1,
        max_size=50,
    ),
    st.integers(1, 64),
)
def test_csv_and_json_say_the_same(rows: list[tuple[float, int, int]], size: int) -> None:
    names = ("arrival_s", "prompt_tokens", "output_tokens")
    as_csv = "\n".join([",".join(names), *(",".join(map(repr, row)) for row in rows)])
    as_json = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)
    served = sorted(row[0] for row in rows if row[1] and row[2])
    if not served:
        with pytest.raises(MalformedTrace):
            _read(as_csv)
        return
    _, found, tally = _read(as_csv, size=size)
    assert _read(as_json, size=size)[1] == found
    assert [r.arrival_s for r in found] == [time - served[0] for time in served]
    assert tally.rows_count == len(served)
    assert tally.unserved_count == len(rows) - len(served)


@given(st.binary(max_size=300), st.sampled_from([b"", PLAIN.encode(), MOONCAKE.encode(), b'[{"arrival_s":']))
def test_whatever_the_bytes_are_errors_are_typed(data: bytes, start: bytes) -> None:
    try:
        found = list(request_trace.requests(opened([start, data], where="t"), Tally()))
    except PlimsollError:
        return
    assert all(math.isfinite(r.arrival_s) for r in found)


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
)
def test_dates_are_those_of_the_standard_library(moment: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    read = clock_reader()
    since = datetime(1970, 1, 1, tzinfo=UTC)
    for text, told in (
        (moment.isoformat(" "), moment.replace(tzinfo=UTC)),
        (moment.replace(tzinfo=zone).isoformat(), moment.replace(tzinfo=zone)),
    ):
        assert read(text) == pytest.approx((told - since).total_seconds(), abs=1e-4)


@pytest.mark.parametrize(
    "text",
    ["2023-13-01 00:00:00", "2023-01-01 25:00:00", "2023-01-01", "", "yesterday", "2023/01/01 00:00:00"],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        clock_reader()(text)
