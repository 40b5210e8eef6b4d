"""JSON from strangers."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.errors import MalformedConfig
from plimsoll.parse import strict_json

DEEP = 100_000
HOSTILE = {
    "100,000 lists deep": b"[" * DEEP + b"]" * DEEP,
    "100,000 objects deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "100,000 levels never closed": b"[" * DEEP,
    "65 levels": b"[" * 66 + b"]" * 66,
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "a number beyond a float": b'{"a": 1e999}',
    "a number of 10,000 digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "a key twice": b'{"hidden_size": 1, "hidden_size": 2}',
    "a key twice, deep inside": b'{"a": [{"b": 1, "b": 1}]}',
    "not UTF-8": b'{"a": "\xff"}',
    "cut off": b'{"a": [1, 2',
    "nothing": b"",
    "a comment": b'{"a": 1} // size',
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "two documents": b"{}{}",
    "millions of values": b"[" + b"{}," * 2_000_000 + b"{}]",
    "more than 8 MiB": b'"' + b"a" * (9 << 20) + b'"',
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_documents_are_refused_in_time_and_memory(case: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(MalformedConfig) as caught:
        strict_json.loads(HOSTILE[case], where="repo/config.json")
    took, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith("repo/config.json: ")
    assert took < 0.2
    assert peak < 100 << 20


def test_depth_does_not_lean_on_the_callers_stack() -> None:
    """Also with little stack left, the answer is a MalformedConfig."""

    def dive(levels: int) -> None:
        if levels:
            dive(levels - 1)
        else:
            with pytest.raises(MalformedConfig):
                strict_json.loads(HOSTILE["100,000 lists deep"], where="x")

    dive(sys.getrecursionlimit() // 2)


def test_reads_what_is_right() -> None:
    text = '\ufeff{"a": [1, 2.5, "ü", null, true], "b": {"c": -1e-5}}'
    assert strict_json.loads_object(text.encode(), where="x") == {
        "a": [1, 2.5, "ü", None, True], "b": {"c": -1e-5},
    }  # fmt: skip
    with pytest.raises(MalformedConfig, match="holds a list"):
        strict_json.loads_object(b"[]", where="x")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(_VALUES)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert strict_json.loads(json.dumps(value).encode(), where="x") == value
