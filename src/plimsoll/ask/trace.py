"""The requests of a trace file, as it tells them or begun by a pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from plimsoll.core import arrivals as patterns
from plimsoll.domain.traffic import Request
from plimsoll.edges import trace_file
from plimsoll.errors import BadSetting
from plimsoll.parse import request_trace
from plimsoll.parse.conversations import conversations
from plimsoll.parse.request_trace import Tally

# A user's next question comes so long after an answer, where a trace has no times: our assumption.
WAIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuestion:
    """A trace file and how to read it; '' and 0 leave it to the file.

    Conversations without times begin `conversations_per_s` a second, with `wait_s` between an answer and the
    next question; their tokens are counted by the tokenizer of `tokenizer` (a model, file or folder), or are
    their characters over `characters_per_token`. `faster` brings timed requests closer together.
    """

    path: str
    format: str = ""
    tokenizer: str = ""
    characters_per_token: float = 0.0
    conversations_per_s: float = 0.0
    burstiness: float = 1.0
    wait_s: float = WAIT_S
    faster: float = 1.0
    seed: int = 0
    told: Callable[[int, int], None] = lambda done, size: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A trace opened as far as its header. Its requests can be had once; what was met on the way is in the
    tally, and `notes` says it."""

    format: str
    requests: Iterator[Request]
    tally: Tally
    asked: TraceQuestion

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results should know; whole when all requests were read."""
        tally, what = self.tally, "conversations" if self.format == "sharegpt" else "requests"
        notes = [f"{self.asked.path}: {tally.rows_count:,} {what}, read as {self.format}"]
        if tally.unserved_count:
            why = "without an answer" if self.format == "sharegpt" else "with 0 tokens, which failed"
            notes.append(f"left out: {tally.unserved_count:,} {what} {why}")
        if tally.unsorted_count:
            notes.append(f"{tally.unsorted_count:,} rows came before the row above them and were sorted")
        if self.format == "sharegpt":
            way = self.asked.tokenizer or f"{self.asked.characters_per_token:g} characters each"
            notes.append(
                f"no times in it: {self.asked.conversations_per_s:g} conversations begin a second, the next"
                f" question comes {self.asked.wait_s:g} s after an answer on average; tokens by {way}"
            )
        return tuple(notes)


def trace(question: TraceQuestion) -> Trace:
    """Open a trace. Raises NotFound, MalformedTrace, BadSetting; its requests raise MalformedTrace too."""
    if not question.faster > 0:
        raise BadSetting(
            "a trace cannot run 0 times as fast", hint="--faster 2 brings requests closer together"
        )
    blocks = trace_file.blocks(question.path, question.told)
    records = request_trace.opened(blocks, where=question.path, wanted=question.format)
    tally = Tally()
    if records.format == "sharegpt":
        found = _begun(question, records, tally)
    else:
        found = request_trace.requests(records, tally)
        if question.faster != 1:
            found = patterns.faster(found, question.faster)
    return Trace(format=records.format, requests=found, tally=tally, asked=question)


def _begun(question: TraceQuestion, records: request_trace.Records, tally: Tally) -> Iterator[Request]:
    if question.conversations_per_s <= 0:
        raise BadSetting(
            f"{question.path} holds conversations without times",
            hint="say how many begin a second: --arrivals 0.5/s",
        )
    arrivals = patterns.Arrivals(rate_per_s=question.conversations_per_s, burstiness=question.burstiness)
    talks = conversations(records, tally, _counter(question))
    return patterns.of_conversations(talks, arrivals, wait_s=question.wait_s, seed=question.seed)


def _counter(question: TraceQuestion) -> Callable[[str], int]:
    if question.characters_per_token > 0:
        per = question.characters_per_token
        return lambda text: max(round(len(text) / per), 1)
    if not question.tokenizer:
        raise BadSetting(
            f"{question.path} holds texts, whose tokens must be counted",
            hint="--tokenizer MODEL|tokenizer.json, or --characters-per-token 4",
        )
    from plimsoll.ask import tokenizer_files  # a trace with token counts need not wait for it
    from plimsoll.ask.tokenizer import encoder

    files = tokenizer_files.load(question.tokenizer)
    if files.vocabulary is None:
        raise BadSetting(files.missing, hint=files.hint or "--characters-per-token 4")
    spans = encoder(files).spans
    return lambda text: len(spans(text))
