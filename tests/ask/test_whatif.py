"""The questions people ask about config.json, on models of the catalog."""

from __future__ import annotations

import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.speed import SpeedQuestion, speed
from plimsoll.ask.whatif import WhatIfQuestion, ask
from plimsoll.domain.whatif import Figure, WhatIf
from plimsoll.errors import BadSetting


def answer(model: str, *sets: str, **more: object) -> WhatIf:
    return ask(WhatIfQuestion(model=model, sets=sets, offline=True, **more))  # type: ignore[arg-type]


def figure(found: WhatIf, quantity: str) -> Figure:
    return next(f for f in found.figures if f.quantity == quantity)


def test_sixteen_experts_cost_no_memory() -> None:
    found = answer("Qwen/Qwen3-30B-A3B", "num_experts_per_tok=16", on="rtx-pro-6000")
    assert found.verdict == "changes_behaviour"
    for quantity in ("parameters", "weight_bytes", "kv_bytes", "device_bytes gpu0"):
        assert figure(found, quantity).before == figure(found, quantity).after
    active = figure(found, "active_parameters")
    # 48 layers x 8 more experts of 3 x 2048 x 768 values
    assert active.after == active.before + 48 * 8 * 3 * 2048 * 768  # type: ignore[operator]
    assert figure(found, "bytes_per_token").after > figure(found, "bytes_per_token").before  # type: ignore[operator]


def test_other_heads_name_the_tensor_and_both_shapes() -> None:
    found = answer("Qwen/Qwen3-30B-A3B", "num_attention_heads=48")
    assert found.verdict == "load_error"
    assert found.together is not None
    for engine in found.together.engines:
        change = engine.tensors[0]
        assert change.held_shape == (4096, 2048)
        assert change.wanted_shape == (6144, 2048)
        assert "[4096, 2048]" in engine.reason


def test_each_edit_is_judged_alone_and_all_together() -> None:
    found = answer("llama 3.3 70b", "num_attention_heads=32", "num_key_value_heads=4", "head_dim=256")
    assert [j.verdict for j in found.judged] == ["load_error", "load_error", "load_error"]
    assert found.verdict == "breaks_silently"
    assert "64 heads of 128 become 32 of 256" in found.together.engines[0].reason  # type: ignore[union-attr]


def test_fewer_layers_load_silently_in_one_engine_and_not_in_the_other() -> None:
    found = answer("llama 3.3 70b", "num_hidden_layers=60")
    assert [e.verdict for e in found.together.engines] == ["breaks_silently", "load_error"]  # type: ignore[union-attr]


def test_every_runtime_is_told() -> None:
    told = {
        o.runtime: o for o in answer("gpt-oss-120b", "num_experts_per_tok=8", "rope_scaling=yarn:8").overrides
    }
    assert told["llama.cpp"].text == (
        "--override-kv gpt-oss.expert_used_count=int:8 "
        "--rope-scaling yarn --rope-scale 8 --yarn-orig-ctx 4096"
    )
    assert told["vllm"].text.startswith('--hf-overrides \'{"num_experts_per_tok": 8, "rope_parameters": {')
    assert told["sglang"].text.startswith("--json-model-override-args '{")
    assert "config.num_experts_per_tok = 8" in told["transformers"].text
    assert told["ollama"].kind == "cannot"


def test_a_nested_key_is_overridden_where_it_stands() -> None:
    told = {o.runtime: o for o in answer("google/gemma-3-27b-it", "sliding_window=4096").overrides}
    assert told["vllm"].text == '--hf-overrides \'{"text_config": {"sliding_window": 4096}}\''
    assert told["sglang"].kind == "cannot"
    assert told["llama.cpp"].text == "--override-kv gemma3.attention.sliding_window=int:4096"


@pytest.mark.parametrize(
    "model",
    [
        "gpt-oss-120b", "Qwen/Qwen3-30B-A3B", "google/gemma-3-27b-it", "deepseek-ai/DeepSeek-V3",
        "Qwen/Qwen3-Next-80B-A3B-Instruct", "llama 3.3 70b",
    ],
)  # fmt: skip
def test_the_six_models_answer(model: str) -> None:
    found = answer(model, "rope_scaling=linear:2")
    assert found.verdict == "changes_behaviour"
    assert figure(found, "flops_per_token").before > 0  # type: ignore[operator]
    swept = ask(WhatIfQuestion(model=model, contexts=(4096, 1 << 20), offline=True)).sweep
    assert swept is not None
    low, high = (point.figures["kv_bytes"] for point in swept.points)
    assert low < high  # type: ignore[operator]


def test_a_sweep_of_experts_marks_what_cannot_be() -> None:
    found = ask(WhatIfQuestion(model="Qwen/Qwen3-30B-A3B", experts=(1, 8, 128, 129), offline=True))
    assert found.sweep is not None
    assert [p.verdict for p in found.sweep.points] == [
        "changes_behaviour", "safe", "changes_behaviour", "load_error",
    ]  # fmt: skip
    assert found.sweep.present == 8


def test_a_predicted_speed_is_not_made_up() -> None:
    found = answer("gpt-oss-120b", "num_experts_per_tok=8")
    assert figure(found, "tokens_per_second").after is None
    assert any("speed" in unknown for unknown in found.unknowns)


def test_on_a_machine_the_speed_before_is_that_of_plimsoll_speed_and_more_experts_cost_some() -> None:
    question = WhatIfQuestion(
        model="Qwen/Qwen3-30B-A3B", sets=("num_experts_per_tok=16",), on="rtx-pro-6000", context_tokens=32768,
        offline=True,
    )  # fmt: skip
    rate = figure(ask(question), "tokens_per_second")
    fit = FitQuestion(models=(question.model,), on="rtx-pro-6000", context_tokens=32768, offline=True)
    told = next(s.estimate for s in speed(SpeedQuestion(fit=fit)).speeds if s.estimate.quantity == "decode")
    assert rate.before == told.value
    assert rate.after is not None
    assert 0.5 < rate.after / told.value < 0.95  # a half more is read for a token, not all of it


def test_what_does_not_fit_has_no_speed() -> None:
    question = WhatIfQuestion(
        model="Qwen/Qwen3-30B-A3B", sets=("num_experts_per_tok=16",), on="rtx-3060-12gb", offline=True
    )
    rate = figure(ask(question), "tokens_per_second")
    assert (rate.before, rate.after, rate.note) == (None, None, "it does not fit this machine")


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({}, "nothing is to be changed"),
        ({"sets": ("rms_norm_eps=1e-5",), "experts": (1,), "contexts": (1, 2)}, "one sweep"),
        ({"sets": ("num_experts_per_tok=2", "num_experts_per_tok=4")}, "twice"),
        ({"sets": ("num_attention_heads=0",)}, "cannot be 0"),
        ({"sets": ("num_hidden_layers=1000000",)}, "cannot be|at most"),
    ],
)
def test_impossible_questions_are_typed_errors(question: dict[str, tuple[object, ...]], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        ask(WhatIfQuestion(model="Qwen/Qwen3-30B-A3B", offline=True, **question))  # type: ignore[arg-type]


def test_experts_of_a_dense_model() -> None:
    with pytest.raises(BadSetting, match="no experts"):
        ask(WhatIfQuestion(model="llama 3.3 70b", experts=(1, 2), offline=True))


@pytest.mark.parametrize("value", ["{}", "[]", "3"])
def test_a_value_of_another_kind_is_answered(value: str) -> None:
    """A fuzz run over 77 architectures found these: a dict was looked up in a dict."""
    try:
        found = answer("deepseek-ai/DeepSeek-V3", f"scoring_func={value}")
    except BadSetting:
        return
    assert found.verdict in ("safe", "unknown", "load_error", "changes_behaviour")


def test_a_width_that_no_block_format_holds_is_a_load_error() -> None:
    found = answer("openai/gpt-oss-20b", "hidden_size=3", weights="q4_k_m")
    assert found.verdict == "load_error"
    assert "do not divide into blocks" in found.together.engines[1].reason  # type: ignore[union-attr]
    assert figure(found, "weight_bytes").after is None
    assert any("do not divide into blocks" in unknown for unknown in found.unknowns)
