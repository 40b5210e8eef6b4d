"""The cache of one sequence: growth, windows, sharing, latent rows, state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.domain.model import LayerSpec, StateSpec
from plimsoll.formulas.cache_growth import cache_bytes, cached_tokens, state_bytes, token_rows


def full(index: int = 0, **other: object) -> LayerSpec:
    return LayerSpec(
        index=index,
        attention="full",
        query_heads_count=8,
        kv_heads_count=2,
        key_dim=128,
        value_dim=64,
        **other,
    )  # type: ignore[arg-type]  # only fields of LayerSpec


def test_a_full_layer_keeps_keys_and_values_of_every_token() -> None:
    # 2 heads x (128 + 64) values x 2 bytes
    assert cache_bytes([full()], 1000, "f16") == 1000 * 2 * (128 + 64) * 2
    assert cache_bytes([full()], 1000, "fp8_e4m3") == 1000 * 2 * (128 + 64)
    # q8_0: 34 bytes per 32 values
    assert cache_bytes([full()], 1000, "q8_0") == 1000 * (256 + 128) // 32 * 34


def test_a_window_stops_the_growth() -> None:
    layer = LayerSpec(
        index=0, attention="sliding", kv_heads_count=1, key_dim=32, value_dim=32, window_tokens=128
    )
    assert [cached_tokens(layer, n) for n in (1, 128, 129, 10**6)] == [1, 128, 128, 128]
    assert cache_bytes([layer], 10**6, "f16") == 128 * 64 * 2


def test_a_layer_that_shares_a_cache_or_has_no_attention_adds_nothing() -> None:
    assert cache_bytes([full(1, shares_kv_with=0)], 1000, "f16") == 0
    assert cache_bytes([LayerSpec(index=0, attention="none")], 1000, "f16") == 0


def test_latent_attention_keeps_one_row_whatever_the_heads() -> None:
    layer = LayerSpec(
        index=0, attention="latent", query_heads_count=128, latent_dim=512, rope_dim=64, indexer_dim=128
    )
    assert token_rows(layer) == (576, 128)
    assert cache_bytes([layer], 10, "f16") == 10 * (576 + 128) * 2


def test_a_compressed_cache_adds_an_entry_per_run_of_tokens() -> None:
    layer = LayerSpec(
        index=0, attention="latent", latent_dim=448, rope_dim=64, indexer_dim=128, window_tokens=128,
        compress_rate_tokens=4,
    )  # fmt: skip
    assert cache_bytes([layer], 4096, "f16") == (128 * 512 + 1024 * (512 + 128)) * 2


def test_a_row_that_does_not_divide_into_blocks_is_refused() -> None:
    layer = LayerSpec(index=0, attention="full", kv_heads_count=1, key_dim=24, value_dim=24)
    with pytest.raises(ValueError, match="blocks of 32"):
        cache_bytes([layer], 10, "q8_0")


def test_the_state_is_the_same_at_every_context() -> None:
    layer = LayerSpec(
        index=0, attention="none", state=StateSpec(kind="mamba2", conv_values_count=30, ssm_values_count=1000)
    )
    assert state_bytes([layer, full(1)], 4) == 1030 * 4
    assert cache_bytes([layer], 10**6, "f16") == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 4096))
def test_more_context_never_needs_less(one: int, two: int, window: int) -> None:
    layers = [full(), full(1, window_tokens=window)]
    assert cache_bytes(layers, min(one, two), "f16") <= cache_bytes(layers, max(one, two), "f16")
