"""The known failures: enough of them, each recognised by its own texts, no text mistaken for another's."""

from __future__ import annotations

import pytest

from plimsoll.catalog import failures
from plimsoll.core import diagnose
from plimsoll.domain.failure import KnownFailure

CASES = [(f, text) for f in failures.load() for text in f.texts]
PHRASES = [(f, phrase) for f in failures.load() for phrase in f.phrases]


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
    if failure.tier == "exact":
        assert ids[0] == failure.id


@pytest.mark.parametrize("failure", {f.id: f for f, _ in PHRASES}.values(), ids=lambda f: f.id)
def test_a_class_is_among_the_answers_to_each_of_its_phrases(failure: KnownFailure) -> None:
    for phrase in failure.phrases:
        line = "RuntimeError: the loader: " + " 7 ".join(phrase) + " ends here\n"
        assert failure.id in found(failure, line), phrase


def test_phrases_need_a_line_that_tells_of_an_error() -> None:
    assert all(f.tier != "exact" for f, _ in PHRASES)
    log = "INFO 09-07 10:00:00 [cuda.py:1] fp8 is not supported on this device, falling back\nready\n" * 30
    assert found(PHRASES[0][0], log) == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"phrases": ["Not Small"]}, "small letters"),
        ({"phrases": ["at"]}, "small letters"),
        ({"phrases": ["is not supported"], "tier": "exact"}, "phrases are for classes"),
        ({"tier": "kind", "texts": ["long enough text"]}, "tier is 'kind'"),
        ({}, "needs texts or phrases"),
    ],
)
def test_a_bad_entry_is_refused(entry: dict[str, object], problem: str) -> None:
    whole = {
        "name": "a", "title": "a", "tier": "class", "cause": "It is.", "cause_basis": "code", "fix": "Do.",
        "severity": "stops", "urls": ["https://example.org"], **entry,
    }  # fmt: skip
    assert any(problem in p for p in failures.problems(whole))
