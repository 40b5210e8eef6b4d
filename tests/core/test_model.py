"""Shares, formats, cache and context of a model: sums over its tables."""

from __future__ import annotations

import pytest

from plimsoll.ask.machine import resolve
from plimsoll.ask.models import load
from plimsoll.core import model as core
from plimsoll.domain.deployment import Deployment, Runtime, Workload
from plimsoll.formulas.quant_specs import published
from plimsoll.formulas.weights import active_parameters_count, parameters_count
from plimsoll.runtimes import memory_of

NAMES = (
    "gpt-oss-120b", "qwen3-30b-a3b", "gemma-3-27b-it", "deepseek-v3", "Qwen3-Next-80B-A3B-Instruct",
    "llama 3.3 70b",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_shares_and_formats_sum_to_the_tables(name: str) -> None:
    model = load(name, offline=True)
    shares, formats = core.shares(model), core.formats(model)
    stored = published(model)
    assert sum(s.parameters_count for s in shares) == parameters_count(model.tensors)
    assert sum(s.active_parameters_count for s in shares) == active_parameters_count(
        model.tensors, model.layers
    )
    assert sum(s.size_bytes for s in shares) == sum(t.size_bytes for t in stored)
    assert sum(f.size_bytes for f in formats) == sum(t.size_bytes for t in stored)
    for share in formats:
        assert sum(share.by_role_bytes.values()) == share.size_bytes


def test_the_precision_regime_of_gpt_oss() -> None:
    by_format = {(f.format, f.holds): f for f in core.formats(load("gpt-oss-120b", offline=True))}
    assert set(by_format) == {("mxfp4", "weights"), ("u8", "scales"), ("bf16", "weights")}
    assert set(by_format["mxfp4", "weights"].by_role_bytes) == {"expert"}
    # 16 bytes and a scale byte per 32 values
    assert by_format["u8", "scales"].size_bytes * 16 == by_format["mxfp4", "weights"].size_bytes
    assert "attention" in by_format["bf16", "weights"].by_role_bytes


def test_the_router_s_correction_is_no_scale() -> None:
    for share in core.formats(load("deepseek-v3", offline=True)):
        assert share.holds == "weights" or "router" not in share.by_role_bytes


@pytest.mark.parametrize(
    "name", ["qwen3-30b-a3b", "llama 3.3 70b", "deepseek-v3", "Qwen3-Next-80B-A3B-Instruct"]
)
@pytest.mark.parametrize(("kv", "field"), [("f16", "f16_bytes"), ("q8_0", "q8_0_bytes")])
def test_without_windows_the_cache_is_what_llama_cpp_allocates(name: str, kv: str, field: str) -> None:
    model = load(name, offline=True)
    context = 16384
    deployment = Deployment(
        model=model, machine=resolve("8x h200-sxm + 2000GiB ram"), runtime=Runtime(id="llama_cpp"),
        workload=Workload(context_tokens=context), weight_format="q8_0", kv_format_k=kv, kv_format_v=kv,
    )  # fmt: skip
    lines = memory_of("llama_cpp").lines(deployment)
    row = next(r for r in core.cache(model.layers, None).rows if r.context_tokens == context)
    assert sum(x.size_bytes for x in lines if x.component == "kv") == getattr(row, field)


def test_the_growth_per_token() -> None:
    cache = core.cache(load("gpt-oss-120b", offline=True).layers, 131072)
    assert (cache.growing_layers_count, cache.window_layers_count) == (18, 18)
    # 8 KV heads x 64 x (K and V) x 2 bytes = 2 KiB per layer
    assert cache.first_token_f16_bytes == 36 * 2048
    assert cache.later_token_f16_bytes == 18 * 2048
    by_context = {row.context_tokens: row.f16_bytes for row in cache.rows}
    assert by_context[131072] == 18 * 2048 * (131072 + 128)


def test_the_state_of_a_hybrid_is_beside_the_cache() -> None:
    cache = core.cache(load("Qwen3-Next-80B-A3B-Instruct", offline=True).layers, 262144)
    assert (cache.growing_layers_count, cache.state_layers_count) == (12, 36)
    # 36 x (32 heads x 128 x 128 of state + 3 x 8192 of convolution) x 4 bytes
    assert cache.state_f32_bytes == 36 * (32 * 128 * 128 + 3 * 8192) * 4


def test_layers_that_read_another_s_cache_are_counted_apart() -> None:
    cache = core.cache(load("gemma-3n-e4b-it", offline=True).layers, 32768)
    assert cache.shared_layers_count == 15


@pytest.mark.parametrize(
    ("name", "trained", "native", "extension"),
    [
        ("gpt-oss-120b", 131072, 4096, "YaRN, factor 32"),
        ("deepseek-v3", 163840, 4096, "YaRN, factor 40"),
        ("llama 3.3 70b", 131072, 8192, "Llama 3 frequency scaling, factor 8"),
        ("gemma-3-27b-it", 131072, None, "linear interpolation, factor 8"),
        ("qwen3-30b-a3b", 40960, 40960, ""),
    ],
)
def test_how_the_context_is_reached(name: str, trained: int, native: int | None, extension: str) -> None:
    context = core.context_window(load(name, offline=True))
    assert (context.trained_tokens, context.native_tokens, context.extension) == (trained, native, extension)


@pytest.mark.parametrize(
    ("stated", "without", "with_it", "said"),
    [
        ("37B", 36_625_603_584, 37_552_282_624, "without the input embedding"),
        ("3.3B", 3_041_867_776, 3_353_032_704, "with the input embedding"),
        ("22B", 21_568_433_664, 22_190_763_520, "without the input embedding and with the input embedding"),
        ("17B", 3_000_000_000, 4_000_000_000, "neither of these counts"),
        ("1.4T", 1_420_000_000_000, 1_520_000_000_000, "without the input embedding"),
        ("about three", 3, 4, ""),
        ("", 3, 4, ""),
    ],
)
def test_which_count_a_publisher_means(stated: str, without: int, with_it: int, said: str) -> None:
    assert core.stated_is(stated, without_embedding=without, with_embedding=with_it) == said
