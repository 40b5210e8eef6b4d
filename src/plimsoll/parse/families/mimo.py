"""MiMoForCausalLM (MiMo-7B): Qwen2's decoder with an MTP block.

Remote code only: Transformers has no class. Names follow vLLM models/mimo.py and mimo_mtp.py; the proof is
the published total.
"""

from __future__ import annotations

from collections.abc import Iterator

from plimsoll.parse.families.blocks import (
    Block,
    Layout,
    Row,
    attention,
    collect,
    decoder,
    gated_mlp,
    grouped_layer,
    linear,
    norm,
    read_dims,
    two_norms,
    with_rows,
)
from plimsoll.parse.families.routing import as_mtp
from plimsoll.parse.keys import Keys


def build(keys: Keys) -> Layout:
    """Grouped attention with biases on q, k and v. A window would apply only with use_sliding_window."""
    dims = read_dims(keys)
    bias = keys.flag("attention_bias", default=True)
    if keys.flag("use_sliding_window"):
        raise keys.bad(("use_sliding_window",), True, "false, the only value published")

    def rows(i: int, at: str) -> tuple[Row, ...]:
        return collect(
            attention(f"{at}.self_attn", i, dims, bias=bias, output_bias=False),
            gated_mlp(f"{at}.mlp", i, hidden_dim=dims.hidden, ffn_dim=dims.ffn),
            two_norms(at, i, dims.hidden),
        )  # fmt: skip

    def block(i: int, at: str) -> Block:
        return rows(i, at), grouped_layer(i, dims)

    def drafts() -> Iterator[Row]:
        for i in range(keys.count("num_nextn_predict_layers", default=0)):
            at = f"model.mtp_layers.{i}"
            names = ("token_layernorm", "hidden_layernorm", "final_layernorm")
            ends = collect(*(norm(f"{at}.{name}", dims.hidden) for name in names))
            projection = linear(f"{at}.input_proj", dims.hidden, 2 * dims.hidden, "mtp", None)
            yield from as_mtp(collect(rows(i, at), ends, projection))

    layout = decoder(keys, block, tied=keys.flag("tie_word_embeddings"), theta=640000.0)
    return with_rows(layout, drafts())
