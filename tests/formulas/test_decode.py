"""Operations and bytes of one token: worked by hand, and against torch's own counter."""

from __future__ import annotations

from typing import Any

import pytest

from plimsoll.domain.model import LayerSpec, StateSpec, TensorSpec
from plimsoll.formulas import decode
from plimsoll.parse.config import model_from_config


def tensor(role: Any, shape: tuple[int, ...], layer: int | None = None, size: int = 0) -> TensorSpec:
    return TensorSpec(
        name=role,
        shape=shape,
        format="bf16",
        size_bytes=size or 2 * shape[0] * shape[-1],
        role=role,
        layer=layer,
    )


MOE = LayerSpec(
    index=0, attention="full", query_heads_count=4, kv_heads_count=2, key_dim=8, value_dim=8, experts_count=8,
    active_experts_count=2,
)  # fmt: skip


def test_of_eight_experts_two_are_multiplied_and_read() -> None:
    table = [tensor("expert", (800, 10), 0), tensor("attention", (30, 10), 0), tensor("norm", (10,), 0, 20)]
    assert decode.matrix_flops(table, [MOE], has_tied_embeddings=False) == 2 * (8000 * 2 // 8 + 300)
    assert decode.weight_bytes_read(table, [MOE], has_tied_embeddings=False) == 16000 // 4 + 600 + 20


def test_an_embedding_is_looked_up_unless_it_is_the_output_too() -> None:
    table = [tensor("embedding", (100, 10))]
    assert decode.matrix_flops(table, [], has_tied_embeddings=False) == 0
    assert decode.matrix_flops(table, [], has_tied_embeddings=True) == 2000
    assert decode.weight_bytes_read(table, [], has_tied_embeddings=False) == 20
    assert decode.weight_bytes_read(table, [], has_tied_embeddings=True) == 2000


def test_attention_sees_the_window_and_no_more() -> None:
    sliding = LayerSpec(
        index=0, attention="sliding", query_heads_count=4, kv_heads_count=2, key_dim=8, value_dim=8,
        window_tokens=16,
    )  # fmt: skip
    assert decode.attention_flops([MOE], 100) == 2 * 4 * 100 * 16
    assert decode.attention_flops([sliding], 100) == 2 * 4 * 16 * 16
    assert decode.kv_bytes_read([MOE, sliding], 100, "f16", "f16") == (100 + 16) * 2 * 2 * 16


def test_latent_attention_reads_one_compressed_vector() -> None:
    latent = LayerSpec(
        index=0, attention="latent", query_heads_count=128, kv_heads_count=128, key_dim=192, value_dim=128,
        latent_dim=512, rope_dim=64,
    )  # fmt: skip
    assert decode.kv_bytes_read([latent], 10, "f16", "f16") == 10 * 576 * 2
    assert decode.attention_flops([latent], 10) == 2 * 128 * 10 * (576 + 512)


def test_a_state_is_read_and_written_whatever_the_context() -> None:
    state = StateSpec(kind="gated_delta", conv_values_count=24, ssm_values_count=1000)
    layer = LayerSpec(index=0, attention="none", state=state)
    assert decode.state_bytes_moved([layer], 4) == 2 * 4 * 1024
    assert decode.attention_flops([layer], 10**6) == 7000


def test_a_layer_that_reads_anothers_cache_reads_it_again() -> None:
    shared = LayerSpec(
        index=1,
        attention="full",
        query_heads_count=4,
        kv_heads_count=2,
        key_dim=8,
        value_dim=8,
        shares_kv_with=0,
    )
    assert decode.kv_bytes_read([MOE, shared], 10, "f16", "f16") == 2 * decode.kv_bytes_read(
        [MOE], 10, "f16", "f16"
    )


@pytest.mark.oracle
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3_text"])
def test_torch_counts_the_same_operations(family: str) -> None:
    """FlopCounterMode over one decoded token at eager attention (it counts matrix products only)."""
    import torch
    import transformers
    from torch.utils.flop_counter import FlopCounterMode

    from tests.ghost.edit_cases import FAMILIES

    config = FAMILIES[family]
    read = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    model = transformers.AutoModelForCausalLM.from_config(read, attn_implementation="eager").eval()
    held = 12  # below the window, where eager attention would multiply masked tokens as well
    with torch.inference_mode():
        cache = model(torch.arange(held - 1)[None], use_cache=True).past_key_values
        with FlopCounterMode(display=False) as counter:
            model(torch.tensor([[5]]), past_key_values=cache, use_cache=True)
    ours = model_from_config(config, id=family)
    total = decode.matrix_flops(
        ours.tensors, ours.layers, has_tied_embeddings=ours.has_tied_embeddings
    ) + decode.attention_flops(ours.layers, held)
    counted = counter.get_total_flops()
    # the rotary frequencies are a matrix product in torch: 2 x dims / 2 per call
    assert total <= counted <= total + 2 * 64 * (len(ours.layers) + 2)
