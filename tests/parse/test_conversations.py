"""Conversations without times."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plimsoll.domain.traffic import Conversation
from plimsoll.errors import MalformedTrace
from plimsoll.parse.conversations import conversations
from plimsoll.parse.request_trace import Tally, opened


def _read(*records: Any, as_lines: bool = False) -> tuple[list[Conversation], Tally]:
    text = "\n".join(map(json.dumps, records)) if as_lines else json.dumps(records, indent=1)
    tally = Tally()
    found = conversations(opened([text.encode()], where="t"), tally, lambda said: len(said.split()))
    return list(found), tally


SHAREGPT = {
    "id": "QWJhYvA_0",
    "conversations": [
        {"from": "system", "value": "be brief"}, {"from": "human", "value": "one two three"},
        {"from": "gpt", "value": "four five"}, {"from": "human", "value": "six"},
        {"from": "gpt", "value": "7 8 9"},
        {"from": "human", "value": "unanswered"},
    ],
}  # fmt: skip
CHAT = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "what is"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "a b"}, {"role": "assistant", "content": "c"},
    ]
}  # fmt: skip


@pytest.mark.parametrize("as_lines", [True, False])
def test_turns_are_what_was_asked_and_answered(as_lines: bool) -> None:
    found, tally = _read(SHAREGPT, {"id": "x", "conversations": []}, CHAT, as_lines=as_lines)
    assert found == [
        Conversation(name="QWJhYvA_0", turns=((5, 2), (1, 3))), Conversation(name="3", turns=((4, 1),)),
    ]  # fmt: skip
    assert (tally.rows_count, tally.unserved_count) == (2, 1)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"conversations": "all of them"}, "no list"), ({"conversations": [3]}, "without 'from'"),
        ({"conversations": [{"value": "a"}]}, "without 'from'"), ({"other": 1}, "neither"),
        ({"messages": [{"role": "user", "content": 5}]}, "no text"),
    ],
)  # fmt: skip
def test_a_record_that_is_no_conversation_is_named(record: Any, says: str) -> None:
    with pytest.raises(MalformedTrace) as caught:
        _read(SHAREGPT, record)
    assert says in caught.value.message
    assert caught.value.where == "t:2"


def test_no_answer_at_all_is_refused() -> None:
    with pytest.raises(MalformedTrace, match="no conversation with an answer"):
        _read({"conversations": []})
