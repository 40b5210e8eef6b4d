"""DeciLMForCausalLM (Llama-Nemotron Super and Ultra): Llama blocks of which a search dropped or shrank parts.

Remote code only: Transformers has no class. Names follow the published modeling_decilm.py; the proof is the
published total.
"""

from __future__ import annotations

from plimsoll.domain.model import LayerSpec
from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    collect,
    decoder,
    gated_mlp,
    grouped_attention,
    layers_count,
    linear,
    norm,
)
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """block_configs says of each block how many query heads share a key-value head, and how wide its MLP is.

    Width: 2 x ffn_mult x hidden / 3, rounded up to 256, as llama.cpp conversion/deci.py computes it.
    """
    hidden, heads = keys.positive("hidden_size"), keys.positive("num_attention_heads")
    head_dim = keys.positive("head_dim", default=hidden // heads)
    blocks = keys.list("block_configs")
    if blocks is None or len(blocks) != layers_count(keys):
        raise keys.contradiction("block_configs does not describe every layer")
    bias, mlp_bias = keys.flag("attention_bias"), keys.flag("mlp_bias")

    def block(i: int, at: str) -> Block:
        part = Keys({"block": blocks[i]}, keys.where, f"block_configs[{i}].").section("block")
        attention = part.section("attention") if part else None
        mlp = part.section("ffn") if part else None
        if attention is None or mlp is None:
            raise keys.contradiction(f"block_configs[{i}] lacks attention or ffn")
        group, ffn = read_group(attention), ffn_dim(mlp, hidden)
        rows: list[Row] = []
        if group:
            rows += grouped_attention(
                f"{at}.self_attn", i, hidden_dim=hidden, query_heads=heads, kv_heads=heads // group,
                key_dim=head_dim, bias=bias,
            )  # fmt: skip
        elif attention.flag("replace_with_linear"):
            rows += linear(f"{at}.self_attn.linear_attn", hidden, hidden, "attention", i)
        rows += norm(f"{at}.input_layernorm", hidden, i) if rows else ()
        if ffn:
            mlp_rows = gated_mlp(f"{at}.mlp", i, hidden_dim=hidden, ffn_dim=ffn, bias=mlp_bias)
            rows += collect(mlp_rows, norm(f"{at}.post_attention_layernorm", hidden, i))
        layer = LayerSpec(
            index=i, attention="full" if group else "none", query_heads_count=heads if group else 0,
            kv_heads_count=heads // group if group else 0, key_dim=head_dim if group else 0,
            value_dim=head_dim if group else 0, ffn_dim=ffn,
        )  # fmt: skip
        return rows, layer

    return decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=500000.0)


def read_group(attention: Keys) -> int:
    """Query heads per key-value head; 0 where the block has no attention."""
    return 0 if attention.flag("no_op") else attention.count("n_heads_in_group", default=0)


def ffn_dim(mlp: Keys, hidden: int) -> int:
    """The width of the block's MLP; 0 where it has none. A linear in its place is refused."""
    if mlp.flag("replace_with_linear"):
        raise mlp.bad(("replace_with_linear",), True, "false; no published model replaces its MLP")
    if mlp.flag("no_op") or not mlp.has("ffn_mult"):
        return 0
    width = int(2 * mlp.number("ffn_mult") * hidden / 3)
    return (width + 255) // 256 * 256
