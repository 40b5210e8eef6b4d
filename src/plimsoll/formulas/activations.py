"""What a forward pass keeps besides weights and cache."""

from __future__ import annotations

from plimsoll.domain.bill import Interval
from plimsoll.domain.model import LayerSpec


def layer_values(layer: LayerSpec, hidden_dim: int) -> int:
    """Values per token that one layer writes, every intermediate result counted once.

    attention  3 x hidden (norm, output, residual) + 3 x query (projection, rotated, result)
               + 2 x key + value; latent attention unfolds keys and values for every head
    dense      4 x ffn (gate, up, activation, product) + 3 x hidden
    experts    active x (3 x hidden + 4 x expert) + 4 x shared expert + 3 x hidden
    state      3 x convolution channels + 6 x heads x head_dim (kept in f32: two values each)
    """
    count = 3 * hidden_dim
    if layer.attention != "none":
        queries = layer.query_heads_count * layer.key_dim
        kv_heads = layer.query_heads_count if layer.latent_dim else layer.kv_heads_count
        count += 3 * queries + kv_heads * (2 * layer.key_dim + layer.value_dim)
    if layer.state is not None:
        count += 3 * layer.state.conv_channels + 6 * layer.state.heads_count * layer.state.head_dim
    if layer.experts_count:
        count += layer.active_experts_count * (3 * hidden_dim + 4 * layer.expert_dim)
        count += 4 * layer.shared_expert_dim + 3 * hidden_dim
    else:
        count += 4 * layer.ffn_dim + 3 * hidden_dim
    return count


def peak_values(layer: LayerSpec, hidden_dim: int) -> int:
    """Values per token alive at once when each result is freed after its last use (eager PyTorch).

    The larger of: 3 x hidden + 2 x query + 2 x (key + value) while attention runs; 3 x hidden + 3 x ffn
    (activation, up and product) in a dense layer; 3 x hidden + active x (2 x hidden + 3 x expert)
    with experts. Source: the forward methods of transformers' modeling_llama.py and modeling_qwen3_moe.py.
    """
    attention = 0
    if layer.attention != "none":
        kv_heads = layer.query_heads_count if layer.latent_dim else layer.kv_heads_count
        attention = 2 * layer.query_heads_count * layer.key_dim
        attention += 2 * kv_heads * (layer.key_dim + layer.value_dim)
    if layer.state is not None:
        own = 2 * layer.state.conv_channels + 4 * layer.state.heads_count * layer.state.head_dim
        attention = max(attention, own)
    ffn = 3 * layer.ffn_dim
    if layer.experts_count:
        experts = layer.active_experts_count * (2 * hidden_dim + 3 * layer.expert_dim)
        ffn = max(experts + 3 * layer.shared_expert_dim, 0)
    return 3 * hidden_dim + max(attention, ffn)


def pass_bytes(
    tokens_count: int, values_per_token: int, value_bytes: int, layers_held: float, low: float, high: float
) -> Interval:
    """Activations of one pass: tokens x values per token x bytes x layers held at once.

    `low` and `high` are factors on that value, learnt from measured peaks.
    """
    value = round(tokens_count * values_per_token * value_bytes * layers_held)
    return Interval(value, round(value * low), round(value * high))


def logits_bytes(rows_count: int, vocab_size: int, value_bytes: int) -> int:
    """Logits: rows x vocabulary x bytes."""
    return rows_count * vocab_size * value_bytes


def cuda_context_bytes(typical_bytes: int, low_bytes: int, high_bytes: int) -> Interval:
    """Driver context, loaded kernels and library workspaces of one CUDA process on one card.

    Logged for a bare context: 253 MiB (MI50), 451 to 456 (RTX 4090), 703 to 714 (RTX PRO 6000).
    """
    return Interval(typical_bytes, low_bytes, high_bytes)
