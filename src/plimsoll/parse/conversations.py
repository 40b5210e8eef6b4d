"""Conversations as ShareGPT and chat APIs write them: texts by turns, and no times.

ShareGPT  {"id": ..., "conversations": [{"from": "human"|"user"|"gpt"|..., "value": text}, ...]}, as vLLM's
          benchmark reads it (vllm/benchmarks/datasets/datasets.py of 0.27.1, ShareGPTDataset)
chat      {"messages": [{"role": "user"|"assistant"|..., "content": text or [{"type": "text", "text": ...}]}]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from plimsoll.domain.traffic import Conversation
from plimsoll.errors import MalformedTrace
from plimsoll.parse.request_trace import Records, Tally

_ANSWERS = frozenset({"gpt", "assistant", "chatgpt", "bing", "bard", "model", "function_call"})
_HINT = (
    'each record is {"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}'
)


def conversations(records: Records, tally: Tally, count: Callable[[str], int]) -> Iterator[Conversation]:
    """Each conversation with the tokens of its turns, as `count` counts them.

    A turn is everything said up to an answer, and the answer; what comes after the last answer, empty
    answers and conversations without any are left out and counted. Raises MalformedTrace.
    """
    for number, value in records.values:
        turns: list[tuple[int, int]] = []
        asked = 0
        for who, text in _said(value, records.where, number):
            tokens = count(text) if text else 0
            if who not in _ANSWERS:
                asked += tokens
            elif tokens and asked:
                turns.append((asked, tokens))
                asked = 0
        if not turns:
            tally.unserved_count += 1
            continue
        tally.rows_count += 1
        yield Conversation(name=str(value.get("id", ""))[:80] or f"{number}", turns=tuple(turns))
    if not tally.rows_count:
        raise MalformedTrace("holds no conversation with an answer", where=records.where, hint=_HINT)


def _said(value: dict[str, Any], where: str, number: int) -> Iterator[tuple[str, str]]:
    for key, who, what in (("conversations", "from", "value"), ("messages", "role", "content")):
        if key not in value:
            continue
        messages = value[key]
        if not isinstance(messages, list):
            _refuse(f"has {key} that are no list", where, number)
        for message in messages:
            if not isinstance(message, dict) or not isinstance(message.get(who), str):
                _refuse(f"has a message without {who!r}", where, number)
            yield message[who], _text(message.get(what), where, number)
        return
    _refuse("holds neither conversations nor messages", where, number)


def _text(content: Any, where: str, number: int) -> str:
    """A message's text; parts that are no text (images, tools) count nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        _refuse("has a message that is no text", where, number)
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _refuse(what: str, where: str, number: int) -> NoReturn:
    raise MalformedTrace(what, where=f"{where}:{number}", hint=_HINT)
