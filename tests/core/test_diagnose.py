"""Signatures: a wildcard stays within its line, generic failures come last, told facts exclude others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core import diagnose
from plimsoll.domain.failure import KnownFailure

FAILURE = KnownFailure(
    id="vllm/a", title="a", texts=(("out of memory*on device",),), cause="It is full.", fix="Free some.",
    cause_basis="thread", severity="stops", urls=("https://example.org",), checked_on="2026-11-26",
)  # fmt: skip


def found(log: str, *failures: KnownFailure, **told: object) -> list[tuple[str, int]]:
    scan = diagnose.scan_for(failures)
    for block in log.encode().splitlines(keepends=True):
        diagnose.scanned(scan, block)
    return [(r.failure.id, r.line_number) for r in diagnose.recognised(scan, failures, **told)]  # type: ignore[arg-type]


def test_a_wildcard_stays_within_its_line() -> None:
    assert found("x\nERR out of memory: 3 GiB on device 0\n", FAILURE) == [("vllm/a", 2)]
    assert found("out of memory\nnothing on device\n", FAILURE) == []
    assert found("on device: out of memory\n", FAILURE) == []


def test_terminal_colours_do_not_hide_a_line() -> None:
    assert found("\x1b[31mout of\x1b[0m memory: all on device\n", FAILURE) == [("vllm/a", 1)]


def test_all_texts_of_one_alternative_must_be_there_and_none_of_never() -> None:
    both = replace(FAILURE, texts=(("first thing said", "second thing said"), ("third thing said",)))
    assert found("second thing said\n.\nfirst thing said\n", both) == [("vllm/a", 1)]
    assert found("first thing said\n", both) == []
    assert found("third thing said\n", both) == [("vllm/a", 1)]
    assert found("third thing said\nall is well after all\n", replace(both, never=("well after all",))) == []


def test_the_more_specific_comes_first_and_the_generic_last() -> None:
    short = replace(FAILURE, id="short", texts=(("engine core failed",),))
    long = replace(FAILURE, id="long", texts=(("engine core failed to start: no kernel",),))
    generic = replace(
        long, id="generic", tier="symptom", texts=(("engine core failed to start: no kernel im",),)
    )
    log = "engine core failed to start: no kernel image\n"
    assert [name for name, _ in found(log, generic, short, long)] == ["long", "short", "generic"]


def test_what_is_told_excludes_failures_of_others() -> None:
    log = "out of memory now on device\n"
    of_blackwell = replace(
        FAILURE, hardware=frozenset({"sm_120"}), runtimes=frozenset({"vllm"}), models=frozenset({"gpt-oss"})
    )
    assert found(log, of_blackwell)
    assert found(log, of_blackwell, hardware=frozenset({"sm_120"}), runtime="vllm")
    assert not found(log, of_blackwell, hardware=frozenset({"sm_86"}))
    assert not found(log, of_blackwell, runtime="sglang")
    assert not found(log, of_blackwell, models=frozenset({"llama"}))


def test_a_warning_is_not_taken_for_the_cause_of_an_end() -> None:
    warning = replace(
        FAILURE, id="warning", severity="slows", texts=(("a long warning about a slower path",),)
    )
    end = replace(FAILURE, id="end", tier="symptom", texts=(("the engine is dead",),))
    log = "a long warning about a slower path\nthe engine is dead\n"
    assert [name for name, _ in found(log, warning, end)] == ["end", "warning"]


def test_a_condition_counts_for_a_failure_only_where_it_is_told() -> None:
    log = "hip: out of memory now on device\n"
    general = replace(FAILURE, id="general")
    special = replace(
        FAILURE, id="special", texts=(("hip: out of memory*on device",),), hardware=frozenset({"gfx1151"})
    )
    assert [name for name, _ in found(log, general, special)] == ["general", "special"]
    told = found(log, general, special, hardware=frozenset({"gfx1151"}))
    assert [name for name, _ in told] == ["special", "general"]


@given(st.lists(st.text(alphabet="ab \n", max_size=30), max_size=8), st.integers(1, 40))
def test_blocks_change_nothing(parts: list[str], size: int) -> None:
    log = "\n".join([*parts, "out of memory: b on device", "end"]) + "\n"
    whole, pieces = diagnose.scan_for([FAILURE]), diagnose.scan_for([FAILURE])
    diagnose.scanned(whole, log.encode())
    lines = log.encode().splitlines(keepends=True)
    for start in range(0, len(lines), size):
        diagnose.scanned(pieces, b"".join(lines[start : start + size]))
    assert whole.first == pieces.first
    assert whole.lines_count == pieces.lines_count


def test_lines_that_differ_in_digits_only_are_searched_a_few_times() -> None:
    scan = diagnose.scan_for([FAILURE])
    fresh = diagnose.scanned(scan, b"".join(b"step %d of 9\n" % i for i in range(500)) + b"end\n")
    assert fresh.text.count(b"step") < 20
    assert fresh.number_at(fresh.text.index(b"end")) == 501
    assert scan.lines_count == 501


@pytest.mark.parametrize("line", ["x" * 100_000 + "out of memory on device", "out of memory" * 20_000])
def test_a_very_long_line_is_searched_and_cut(line: str) -> None:
    scan = diagnose.scan_for([FAILURE])
    diagnose.scanned(scan, line.encode())
    assert all(len(text) <= diagnose.LONGEST_LINE for _, text in scan.first.values())


CLASS = replace(FAILURE, id="class", texts=(), phrases=(("is not supported",),), tier="class")


def test_exact_before_class_before_broad_before_symptom() -> None:
    broad = replace(CLASS, id="broad", phrases=(("not supported on",),), breadth=2)
    symptom = replace(FAILURE, id="symptom", tier="symptom", texts=(("the engine core is dead",),))
    log = "the engine core is dead\nValueError: fp8 is not supported on it\nout of memory: on device\n"
    assert [name for name, _ in found(log, symptom, broad, CLASS, FAILURE)] == [
        "vllm/a", "class", "broad", "symptom",
    ]  # fmt: skip


def test_of_two_classes_the_first_in_the_log_is_the_root() -> None:
    later = replace(CLASS, id="later", phrases=(("connection closed by the other rank",),))
    log = "ValueError: it is not supported\nRuntimeError: connection closed by the other rank\n"
    assert [name for name, _ in found(log, later, CLASS)] == ["class", "later"]


def test_what_may_follow_comes_after_what_stands_further_up() -> None:
    timeout = replace(
        FAILURE, id="timeout", texts=(("Watchdog caught collective operation timeout",),), may_follow=True
    )
    end = "Watchdog caught collective operation timeout\n"
    assert [n for n, _ in found("ValueError: it is not supported\n" + end, timeout, CLASS)] == [
        "class",
        "timeout",
    ]
    assert [n for n, _ in found(end + "ValueError: it is not supported\n", timeout, CLASS)] == [
        "timeout",
        "class",
    ]


def test_bare_words_of_refusal_add_nothing_to_a_symptom_of_the_same_line() -> None:
    broad = replace(CLASS, id="broad", phrases=(("invalid",),), breadth=3)
    symptom = replace(FAILURE, id="symptom", tier="symptom", texts=(("CUDA error: something",),))
    assert [n for n, _ in found("CUDA error: something invalid\n", broad, symptom)] == ["symptom"]


def test_a_hostile_line_is_searched_in_time() -> None:
    line = "ValueError: " + "a/" * 40_000 + "\\a" * 40_000 + " '" * 20_000
    assert found(line + "\nis not supported\n", CLASS) in ([], [("class", 2)])
