"""A trace as a question: the file to requests, with what was met said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plimsoll.ask.trace import TraceQuestion, trace
from plimsoll.errors import BadSetting, MalformedTrace

TOKENIZER = Path(__file__).parent.parent / "fixtures/tokenizers/byte_level/tokenizer.json"


def _file(folder: Path, text: str) -> str:
    path = folder / "trace"
    path.write_text(text)
    return str(path)


def test_what_was_met_is_said(tmp_path: Path) -> None:
    path = _file(tmp_path, "Timestamp,Request tokens,Response tokens\n5,9,9\n3,9,9\n7,9,0\n")
    found = trace(TraceQuestion(path=path, faster=2.0))
    assert [r.arrival_s for r in found.requests] == [0.0, 1.0]
    assert found.notes == (
        f"{path}: 2 requests, read as burstgpt",
        "left out: 1 requests with 0 tokens, which failed",
        "1 rows came before the row above them and were sorted",
    )


def test_texts_need_a_rate_and_a_way_to_count_tokens(tmp_path: Path) -> None:
    said = [{"from": "human", "value": "how many tokens"}, {"from": "gpt", "value": "a few"}]
    path = _file(tmp_path, json.dumps([{"conversations": said * 2}]))
    with pytest.raises(BadSetting, match="without times"):
        trace(TraceQuestion(path=path))
    with pytest.raises(BadSetting) as caught:
        trace(TraceQuestion(path=path, conversations_per_s=1.0))
    assert "--characters-per-token" in caught.value.hint
    found = trace(TraceQuestion(path=path, conversations_per_s=1.0, characters_per_token=5.0))
    assert [(r.prompt_tokens, r.output_tokens) for r in found.requests] == [(3, 1), (7, 1)]
    assert "no times in it" in found.notes[-1]


def test_an_installed_tokenizer_counts(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    path = _file(
        tmp_path,
        json.dumps({"messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}]}),
    )
    found = trace(TraceQuestion(path=path, conversations_per_s=1.0, tokenizer=str(TOKENIZER)))
    (request,) = found.requests
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(TOKENIZER))
    assert request.prompt_tokens == len(library.encode("ab", add_special_tokens=False).ids)
    assert request.output_tokens == len(library.encode("c", add_special_tokens=False).ids)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="0 times as fast"):
        trace(TraceQuestion(path=_file(tmp_path, ""), faster=0.0))
    with pytest.raises(MalformedTrace, match="is empty"):
        trace(TraceQuestion(path=_file(tmp_path, "")))
