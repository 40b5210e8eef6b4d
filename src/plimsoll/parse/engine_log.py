"""What the readers of engine logs share: line by line, and the line that says why it ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from plimsoll.domain.engine_log import EngineLog, Failure, FailureKind

LONGEST_LINE = 4000
_MOST_FAILURES = 16


def read_with(after: Callable[[EngineLog, str], EngineLog], lines: Iterable[str]) -> EngineLog:
    """The whole log, line by line."""
    found = EngineLog()
    for line in lines:
        found = after(found, line)
    return found


def with_failure(
    log: EngineLog, line: str, patterns: Sequence[tuple[FailureKind, re.Pattern[str]]]
) -> EngineLog:
    """The log with the failure that the line tells, by the first pattern found in it; or as it was."""
    for kind, pattern in patterns:
        if pattern.search(line):
            failure = Failure(kind=kind, line=line.strip())
            return replace(log, failures=(*log.failures, failure)[:_MOST_FAILURES])
    return log
