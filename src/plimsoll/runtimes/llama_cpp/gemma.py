"""Gemma 4's block: normed V, shared K and V, embeddings per layer, experts beside a dense network.

Source: src/models/gemma4.cpp of ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

from plimsoll.runtimes.llama_cpp import feed_forward
from plimsoll.runtimes.llama_cpp.attention import Block, Inputs, attend, linear
from plimsoll.runtimes.llama_cpp.feed_forward import Routing
from plimsoll.runtimes.llama_cpp.tensor import Graph, Tensor, fresh, leaf, same, view


class LayerEmbeddings:
    """What each layer adds from its own embedding table: looked up first, projected when first used.

    `is_scaled_apart`: the looked-up rows are scaled as a view, which takes memory of its own (Gemma 3n).
    """

    def __init__(
        self, graph: Graph, layers_count: int, dim: int, tokens_count: int, *, is_scaled_apart: bool = False
    ) -> None:
        self._dims = (dim, layers_count, tokens_count)
        rows = fresh((dim * layers_count, tokens_count), leaf(tokens_count))
        self._looked_up = graph.expand(same(view(rows, *self._dims)) if is_scaled_apart else rows)
        self._source: Tensor | None = None
        self._all: Tensor | None = None

    def start(self, x: Tensor) -> None:
        """The embeddings that the projection reads."""
        self._source = x

    def of_layer(self) -> Tensor:
        """A layer's part, as a view of all."""
        dim, layers, tokens = self._dims
        if self._all is None:
            assert self._source is not None
            projected = same(view(linear(self._source, dim * layers), dim, layers, tokens))
            both = same(projected, view(self._looked_up, dim, layers, tokens))
            self._all = fresh((dim, tokens, layers), view(both))
        return view(self._all, dim, tokens)


def gemma4_attention(graph: Graph, inputs: Inputs, block: Block, x: Tensor) -> Tensor:
    """Attention up to, not including, the output matrix."""
    spec, tokens = block.spec, inputs.batch.tokens_count
    heads, kv_heads, key, value = spec.query_heads_count, spec.kv_heads_count, spec.key_dim, spec.value_dim
    q = same(same(view(linear(x, block.out("attn_q")), key, heads, tokens)), inputs.positions())
    graph.expand(q)
    k = v = None
    if spec.shares_kv_with is None:
        projected = linear(x, block.out("attn_k"))
        k = same(same(view(projected, key, kv_heads, tokens)), inputs.positions())
        own = linear(x, block.out("attn_v")) if block.has("attn_v") else projected
        v = same(view(own, value, kv_heads, tokens))
    return attend(graph, inputs, block, q, k, v, v_first=False)


def gemma4_feed_forward(graph: Graph, x: Tensor, block: Block) -> Tensor:
    """Experts and a dense network on the same input, each under its own norms, summed; or the dense one."""
    if not block.has("ffn_down_exps"):
        return feed_forward.dense(same(x), block)
    chosen = feed_forward.experts(graph, same(x), block, Routing(), router_input=same(x))
    own = same(feed_forward.dense(same(x), block))
    return same(own, same(chosen))


def add_layer_embedding(x: Tensor, block: Block, part: Tensor) -> Tensor:
    """The gated embedding of this layer, projected back and added."""
    gate = linear(x, block.out("inp_gate"))
    out = same(linear(same(gate, part), block.out("proj")))
    return same(x, out)
