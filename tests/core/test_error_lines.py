"""Lines that tell of errors: which are kept, what of them is searched, and how phrases match."""

from __future__ import annotations

import pytest

from plimsoll.core import error_lines
from plimsoll.core.error_lines import ErrorLines, candidates, holds, message, tells_of_error


@pytest.mark.parametrize(
    "line",
    [
        "ValueError: the model is too large",
        "(EngineCore pid=7) ERROR 02-24 00:11:22 [core.py:936] it failed",
        'time=2026-01-01 level=ERROR source=sched.go:441 msg="Load failed"',
        "RuntimeWarning ignored, then RuntimeError: no",
        "llama_model_load: error loading model: it failed",
        "WARNING 09-07 the worker said OSError: gone",
        "Killed",
    ],
)
def test_these_tell_of_an_error(line: str) -> None:
    assert tells_of_error(line)


@pytest.mark.parametrize(
    "line",
    [
        "INFO 09-07 10:00:00 [cuda.py:290] not supported here, using another",
        "(APIServer pid=1) WARNING 09-07 10:00:00 [x.py:1] fp8 is not supported",
        "[2026-02-12 14:28:58] WARNING server_args.py:1968: is not supported",
        'time=2026-01-01T00:00:00 level=WARN source=x.go:1 msg="not found"',
        '  File "/usr/lib/python3.12/site-packages/vllm/config.py", line 7, in failed',
        "UserWarning: it is not supported",
    ],
)
def test_these_do_not(line: str) -> None:
    assert not tells_of_error(line)


@pytest.mark.parametrize(
    ("phrase", "line", "expected"),
    [
        (("port",), "it is not supported", False),
        (("port",), "the port is taken", True),
        (("gated",), "an ungated model", False),
        (("cuda", "out of memory"), "cuda error: out of memory", True),
        (("cuda", "out of memory"), "out of memory on cuda", False),
        (("", "devicelost"), "vk::errordevicelost", True),
        (("keyerror: '", ".weight'"), "keyerror: 'blocks.0.qkv.weight'", True),
    ],
)
def test_pieces_stand_in_order_at_the_start_of_a_word(
    phrase: tuple[str, ...], line: str, expected: bool
) -> None:
    assert holds(phrase, line) is expected


def test_places_in_code_are_not_what_a_line_says() -> None:
    line = "[TM][ERROR] Assertion fail: /lmdeploy/src/turbomind/triton_backend/llama/Model.cc:384"
    assert message(line) == "[tm][error] assertion fail:"
    assert message("ERROR [shm_broadcast.py:466] see https://x.org/a.py now") == "error see now"
    assert message("cannot open /dev/kfd or /opt/models/a.gguf") == "cannot open /dev/kfd or a.gguf"


def test_the_first_and_the_last_lines_are_kept() -> None:
    lines = ErrorLines()
    for number in range(2000):
        lines.add(number, b"ValueError: %d" % number)
    numbers = [number for number, _ in lines.lines()]
    assert numbers[: error_lines.FIRST_COUNT] == list(range(error_lines.FIRST_COUNT))
    assert numbers[-1] == 1999
    assert len(numbers) == error_lines.FIRST_COUNT + error_lines.LAST_COUNT


def test_a_short_quotation_without_any_error_is_searched_whole() -> None:
    lines = ErrorLines(quoted=[(1, b"heads do not divide")])
    assert lines.lines() == [(1, "heads do not divide")]
    lines.quoted *= 50
    assert lines.lines() == []


def test_candidates_are_whole_lines_in_order() -> None:
    text = b"fine\nit failed here\nfine\nan Error: that cannot be\n"
    assert list(candidates(text)) == [(5, b"it failed here"), (25, b"an Error: that cannot be")]
