"""One model over all cards, or copies: real models on real cards, figures against each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.load_copies import CopiesQuestion, copies
from plimsoll.ask.trace import TraceQuestion
from plimsoll.domain.answer import plain
from plimsoll.domain.copies import CopiesAnswer
from plimsoll.errors import BadSetting

FIT = FitQuestion(models=("gpt-oss-120b",), on="4x rtx-pro-6000 + 256GiB ram", context_tokens=32768)
ASKED = CopiesQuestion(
    fit=FIT,
    layouts=("tp4", "4x tp1"),
    prompt_tokens=1000,
    output_tokens=100,
    requests_count=80,
    rate_per_s=4.0,
)


@pytest.fixture(scope="module")
def answer() -> CopiesAnswer:
    return copies(ASKED)


def test_loads_around_the_asked_one_are_compared(answer: CopiesAnswer) -> None:
    assert answer.verdict == "compared"
    assert answer.exit_code == 0
    for one in answer.layouts:
        assert [p.rate_per_s for p in one.points] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
        waits = [p.total_p95_s for p in one.points]
        assert waits[-1] > waits[0]  # more load never shortens it
        assert all(p.ttft_p95_s < p.total_p95_s for p in one.points)
    for one in answer.layouts:
        assert one.kinds[0].fast_times < 1 < one.kinds[0].slow_times
        if one.most_per_s:
            assert one.most_low_per_s < one.most_per_s < one.most_high_per_s  # type: ignore[operator]
    assert [w.rate_per_s for w in answer.winners] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert json.loads(json.dumps(plain(answer)))["verdict"] == "compared"


def test_weights_are_held_once_per_copy_and_leave_less_room(answer: CopiesAnswer) -> None:
    one, many = answer.layouts
    assert many.weights_bytes > 3.5 * one.weights_bytes
    assert many.pool_tokens < one.pool_tokens
    assert (one.kinds[0].count, one.kinds[0].cards_count) == (1, 4)
    assert (many.kinds[0].count, many.kinds[0].cards_count) == (4, 1)
    assert one.kinds[0].exchange_share > 0 == many.kinds[0].exchange_share
    assert any("was not measured" in reason for reason in answer.reasons)


def test_a_copy_is_the_machine_with_its_cards_alone() -> None:
    """Its memory is that of `fit` on so many cards."""
    from plimsoll.ask.fit import judged

    alone = judged(replace(FIT, on="rtx-pro-6000 + 64GiB ram"))
    weights = sum(x.size_bytes for x in alone.bill.lines if x.component == "weights")
    found = copies(replace(ASKED, layouts=("2x tp1",)))
    assert found.layouts[0].kinds[0].weights_bytes == weights
    assert found.layouts[0].idle_cards_count == 2


def test_what_does_not_fit_is_told_beside_what_does() -> None:
    fit = replace(FIT, models=("llama-3.3-70b-instruct",))
    found = copies(replace(ASKED, fit=fit, rate_per_s=0.5))
    assert found.verdict == "compared"
    assert [one.verdict for one in found.layouts] == ["fits", "does_not_fit"]
    assert "lacks" in found.layouts[1].reason
    assert found.layouts[1].points == ()
    none = copies(replace(ASKED, fit=fit, layouts=("4x tp1",)))
    assert (none.verdict, none.exit_code) == ("does_not_fit", 1)


def test_what_is_not_known_is_unknown() -> None:
    fit = replace(FIT, runtime="exllama", weights="exl3_4.0bpw", models=("qwen3-30b-a3b",))
    found = copies(replace(ASKED, fit=fit, layouts=("4x tp1",)))
    assert (found.verdict, found.exit_code) == ("unknown", 3)
    assert found.reason


def test_a_trace_is_served_faster_and_slower(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    rows = [f"{n / 2},{500 + n},{50 + n % 7}" for n in range(60)]
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]))
    question = replace(
        ASKED, trace=TraceQuestion(path=str(path)), prompt_tokens=None, output_tokens=None, rate_per_s=0.0
    )
    found = copies(question)
    assert found.layouts[0].points[3].rate_per_s == pytest.approx(60 / 29.5)
    assert any("60 requests" in note for note in found.notes)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"layouts": ()}, "nothing to compare"), ({"layouts": ("tp4", "1x tp4")}, "named twice"),
        ({"layouts": ("tp8",)}, "needs 8 cards"), ({"routing": "sesion"}, "no routing"),
        ({"habit": "chats", "prompt_tokens": None, "output_tokens": None}, "not known"),
        ({"habit": "chat"}, "lengths of its own"),
        ({"fit": replace(FIT, on="epyc-9554-12ch-ddr5-4800")}, "no cards"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(BadSetting) as caught:
        copies(replace(ASKED, **wrong))  # type: ignore[arg-type]
    assert says in caught.value.message
    assert caught.value.hint


def test_slow_is_judged_by_an_idle_server_not_by_the_least_load_tried(tmp_path: Path) -> None:
    """Even an eighth of this trace's load comes nearly at once."""
    path = tmp_path / "trace.csv"
    rows = [f"{n / 1e5},2000,60" for n in range(300)]
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]))
    question = replace(
        ASKED, layouts=("tp1",), trace=TraceQuestion(path=str(path)), prompt_tokens=None, output_tokens=None,
        rate_per_s=0.0, requests_count=300,
    )  # fmt: skip
    found = copies(question)
    assert found.layouts[0].most_per_s is None
    assert not any(point.is_kept_up for point in found.layouts[0].points)
    assert found.winners[0].text == ""
