"""The block arithmetic, against figures that vLLM printed."""

from __future__ import annotations

import pytest

from plimsoll.domain.model import LayerSpec, StateSpec
from plimsoll.runtimes.vllm.kv_cache import (
    Cache,
    Plan,
    attention_block_tokens,
    caches_of,
    indexer_token_bytes,
    plan,
    request_blocks,
    state_bytes,
    token_bytes,
)

GIB = 2**30


def attention(
    index: int, kind: str = "full", *, kv_heads: int = 8, dim: int = 128, window: int | None = None
) -> LayerSpec:
    return LayerSpec(
        index=index, attention=kind, query_heads_count=kv_heads * 4, kv_heads_count=kv_heads,  # type: ignore[arg-type]
        key_dim=dim, value_dim=dim, window_tokens=window,
    )  # fmt: skip


def delta_net(index: int) -> LayerSpec:
    """A linear-attention layer of Qwen3.6-27B: 16 key heads, 48 value heads of 128, kernel 4."""
    channels = 128 * 16 * 2 + 128 * 48
    state = StateSpec(
        kind="gated_delta", conv_values_count=3 * channels, ssm_values_count=48 * 128 * 128,
        conv_kernel=4, conv_channels=channels,
    )  # fmt: skip
    return LayerSpec(index=index, attention="none", state=state)


def qwen_hybrid(kv_format: str, ranks: int = 1, speculative: int = 0) -> Plan:
    layers = [attention(i, kv_heads=4, dim=256) if i % 4 == 3 else delta_net(i) for i in range(64)]
    caches = caches_of(
        layers, kv_format=kv_format, base_bytes=2, tensor_parallel=ranks, state_value_bytes=4,
        speculative_tokens=speculative,
    )  # fmt: skip
    return plan(caches, default_block_tokens=16, padding_ratio=1.25)


@pytest.mark.parametrize(("kv_format", "tokens"), [("auto", 784), ("fp8", 1568)])
def test_the_attention_block_grows_until_it_covers_a_state(kv_format: str, tokens: int) -> None:
    # "Setting attention block size to 784 (1568) tokens": Qwen3.6-27B with bf16 (fp8) KV.
    assert qwen_hybrid(kv_format).block_tokens == tokens


def test_a_hybrid_is_cut_into_groups_of_its_rarer_layers() -> None:
    cut = qwen_hybrid("fp8")
    assert [g.cache.kind for g in cut.groups].count("state") == 3
    assert cut.block_bytes == 16 * 1568 * 2048
    # "8.18 GiB KV cache is needed" for 262,144 tokens: (168 + 3) blocks.
    blocks = [
        request_blocks(g.cache, context_tokens=262_144, in_flight_tokens=0, state_blocks=1)
        for g in cut.groups
    ]
    assert sum(blocks) == 171
    assert round(sum(blocks) * cut.block_bytes / GIB, 2) == 8.18


def test_a_window_costs_what_a_batch_costs_not_what_the_window_does() -> None:
    # gpt-oss-120b, 131,072 tokens, batches of 1,024: "4.54 GiB KV cache is needed" (vllm#27508).
    layers = [
        attention(i, "sliding" if i % 2 else "full", dim=64, window=128 if i % 2 else None) for i in range(36)
    ]
    caches = caches_of(
        layers, kv_format="auto", base_bytes=2, tensor_parallel=1, state_value_bytes=4, speculative_tokens=0
    )
    cut = plan(caches, default_block_tokens=16, padding_ratio=1.25)
    blocks = sum(
        request_blocks(g.cache, context_tokens=131_072, in_flight_tokens=1024, state_blocks=1)
        for g in cut.groups
    )
    assert len(cut.groups) == 2
    assert round(blocks * cut.block_bytes / GIB, 2) == 4.54


def test_latent_attention_is_copied_to_every_rank() -> None:
    layer = LayerSpec(
        index=0, attention="latent", kv_heads_count=128, latent_dim=512, rope_dim=64, indexer_dim=128
    )
    assert token_bytes(layer, "auto", 2, 8) == 1152
    assert token_bytes(layer, "fp8", 2, 8) == 656  # fp8_ds_mla
    assert indexer_token_bytes(layer) == 132


@pytest.mark.parametrize(
    ("kv_format", "size"),
    [
        ("auto", 4096),
        ("fp8", 2048),
        ("int8_per_token_head", 2112),
        ("nvfp4", 1152),
        ("turboquant_k8v4", 1568),
    ],
)
def test_kv_formats_with_their_scales(kv_format: str, size: int) -> None:
    assert token_bytes(attention(0, kv_heads=8), kv_format, 2, 1) == size


def test_more_ranks_than_kv_heads_keep_one_head_each() -> None:
    assert token_bytes(attention(0, kv_heads=2), "auto", 2, 8) == 1 * 256 * 2


def test_mamba2_repeats_groups_that_do_not_divide() -> None:
    state = StateSpec(
        kind="mamba2", conv_values_count=0, ssm_values_count=128 * 64 * 128, conv_kernel=4,
        conv_channels=8192 + 2 * 128, groups_count=1, state_dim=128,
    )  # fmt: skip
    one = state_bytes(state, 1, conv_value_bytes=2, state_value_bytes=2)
    four = state_bytes(state, 4, conv_value_bytes=2, state_value_bytes=2)
    assert one == (8192 + 256) * 3 * 2 + 128 * 64 * 128 * 2
    assert four == (8192 + 256 + 2 * 3 * 128) // 4 * 3 * 2 + 128 * 64 * 128 // 4 * 2


def test_without_states_the_block_stays() -> None:
    caches = caches_of(
        [attention(0)],
        kv_format="auto",
        base_bytes=2,
        tensor_parallel=1,
        state_value_bytes=4,
        speculative_tokens=0,
    )
    assert attention_block_tokens(caches, 16) == 16


def test_pages_that_do_not_divide_are_padded_and_grew_first_before_033() -> None:
    # Gemma 4 31B, int8 KV on two ranks: 4,160 bytes per token in 50 window layers, 2,064 in 10 full ones.
    # Batches of 4,096 and 10.82 GiB gave 466,892 tokens (noonghunna/club-3090, nightly of 2026-05).
    caches = [Cache(kind="sliding", token_bytes=4160, window_tokens=1024)] * 50
    caches += [Cache(kind="full", token_bytes=2064)] * 10
    old = plan(caches, default_block_tokens=16, padding_ratio=1.25, grows_padded_blocks=True)
    new = plan(caches, default_block_tokens=16, padding_ratio=1.5)
    assert {g.cache.block_tokens for g in old.groups} == {16, 32}
    assert {g.cache.block_tokens for g in new.groups} == {16}
    blocks = sum(
        request_blocks(g.cache, context_tokens=262_144, in_flight_tokens=4096, state_blocks=1)
        for g in old.groups
    )
    assert 10.82 * GIB // old.block_bytes / blocks * 262_144 == pytest.approx(466_892, rel=5e-4)
