import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.domain.speed_answer import SpeedAnswer


def ask(model: str, on: str, **more: object) -> SpeedAnswer:
    fields = {"context_tokens": 256, "offline": True, "weights": "q4_k_m", **more}
    return speed(SpeedQuestion(fit=FitQuestion(models=(model,), on=on, **fields)))  # type: ignore[arg-type]


def test_a_published_measurement_is_shown_and_draws_the_prediction() -> None:
    answer = ask("Qwen/Qwen3-30B-A3B", "rtx-pro-6000")
    published = {m.metric: m.value for m in answer.measured}
    assert published == {"decode_tps": 251.61, "prefill_tps": 7640.08}
    assert all(m.source.startswith("https://") for m in answer.measured)
    decode = next(s for s in answer.speeds if s.estimate.quantity == "decode")
    assert decode.new == ""
    assert decode.estimate.low < 251.61 < decode.estimate.high
    assert decode.estimate.value == pytest.approx(251.61, rel=0.1)


def test_the_format_asked_for_comes_first_and_no_sweep_twice() -> None:
    answer = ask("Qwen/Qwen3-30B-A3B", "dgx-spark", weights="q8_0", context_tokens=8192)
    assert 0 < len(answer.measured) <= 3
    assert answer.measured[0].weight_format == "q8_0"
    sweeps = [(m.metric, m.source, m.weight_format) for m in answer.measured]
    assert len(set(sweeps)) == len(sweeps)


def test_what_nobody_measured_has_no_published_line_and_says_which_part_is_new() -> None:
    answer = ask("meta-llama/Llama-3.1-8B", "rtx-5060-ti-16gb")
    assert answer.measured == ()
    assert any(note.startswith("basis: no measurement of this device") for note in answer.notes)


def test_experts_in_host_memory_are_compared_with_the_like_only() -> None:
    answer = ask("Qwen/Qwen3-30B-A3B", "rtx-4070-laptop + 64GiB ddr5-5600 x2", context_tokens=4096)
    assert answer.placement
    assert all(m.cpu_expert_layers_count or m.gpu_layers_count is not None for m in answer.measured)
