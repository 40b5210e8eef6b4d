"""Flags that several servers share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.ask.fit import FitQuestion, fit
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.serving_flags import address, with_theta, yarn

QWEN = fit(FitQuestion(models=("qwen3-30b-a3b",), on="rtx-pro-6000", context_tokens=40_960)).deployments[0]


def test_an_address_says_who_can_reach_it() -> None:
    here = address(Serving(model_path="m", served_name="m"))
    assert [(f.name, f.value) for f in here] == [("--host", "127.0.0.1"), ("--port", "8000")]
    assert "this machine only" in here[0].reason
    assert "other machines" in address(Serving(model_path="m", served_name="m", host="0.0.0.0"))[0].reason
    assert address(Serving(model_path="m", served_name="m"), prefix="network.")[1].name == "network.port"


def test_within_the_trained_context_nothing_is_scaled() -> None:
    assert yarn(QWEN, "vLLM") is None


def test_twice_the_trained_context_is_yarn_with_factor_two() -> None:
    beyond = replace(QWEN, workload=replace(QWEN.workload, context_tokens=81_920))
    found = yarn(beyond, "vLLM")
    assert found is not None
    assert (found.factor, found.native_tokens) == (2.0, 40_960)
    scaling = with_theta(beyond, found.scaling)
    assert scaling["rope_theta"] == QWEN.model.rope.theta  # type: ignore[union-attr]
    assert scaling["original_max_position_embeddings"] == 40_960


def test_another_rotary_type_is_refused() -> None:
    model = replace(QWEN.model, rope=replace(QWEN.model.rope, kind="longrope"))  # type: ignore[type-var]
    beyond = replace(QWEN, model=model, workload=replace(QWEN.workload, context_tokens=81_920))
    with pytest.raises(BadSetting, match="longrope"):
        yarn(beyond, "SGLang")
