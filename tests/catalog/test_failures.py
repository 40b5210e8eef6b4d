"""The known failures: enough of them, each recognised by its own texts, no text mistaken for another's."""

from __future__ import annotations

import pytest

from plimsoll.catalog import failures
from plimsoll.core import diagnose
from plimsoll.domain.failure import KnownFailure

CASES = [(f, text) for f in failures.load() for text in f.texts]


def log_of(text: tuple[str, ...]) -> str:
    """A log that holds just this text, something in the place of every wildcard."""
    return "".join(f"ERROR {pattern.replace('*', ' 7 ')} end\n" for pattern in text)


def found(failure: KnownFailure, log: str) -> list[str]:
    scan = diagnose.scan_for(failures.load())
    diagnose.scanned(scan, log.encode())
    runtime = next(iter(sorted(failure.runtimes)), "")
    told = {"hardware": failure.hardware, "models": failure.models, "runtime": runtime}
    return [r.failure.id for r in diagnose.recognised(scan, failures.load(), **told)]  # type: ignore[arg-type]


def test_there_are_at_least_150() -> None:
    assert len(failures.load()) >= 150


@pytest.mark.parametrize(("failure", "text"), CASES, ids=[f"{f.id}-{i}" for i, (f, _) in enumerate(CASES)])
def test_a_failure_is_the_first_answer_to_its_own_text(failure: KnownFailure, text: tuple[str, ...]) -> None:
    ids = found(failure, log_of(text))
    assert failure.id in ids
    if not failure.is_generic:
        assert ids[0] == failure.id
