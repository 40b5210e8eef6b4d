"""Attention blocks as graphs: inputs, projections, cache writes, the product, the way back.

Source: build_qkv, build_attn, build_attn_mha and the inputs in src/llama-graph.cpp, and src/models/*.cpp of
ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plimsoll.domain.model import LayerSpec
from plimsoll.runtimes.llama_cpp.tensor import Dims, Graph, Tensor, fresh, leaf, same, store, view

HADAMARD_V_DIM = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a graph is built for; plain values, so that results can be remembered.

    `cells_*` are the whole context and the window as the caches hold them. `casts_k` and `casts_v` mark f32
    caches, which flash attention wants in f16; `turns_k` and `turns_v` name the quantised ones, which are
    rotated.
    `embedding_buffers_count`: how many tensors of tokens x hidden the ways into the graph take.
    `writes_by_rows`: K and V are written to the rows that index tensors name.
    `unpacks_k` and `unpacks_v`: attention's result holds an f16 copy of that cache (CUDA, quantised).
    `value_indices_count` is the widest V row of the model (V is stored transposed without flash attention).
    """

    tokens_count: int
    sequences_count: int
    streams_count: int
    outputs_count: int
    cells_count: int
    window_cells_count: int
    has_flash_attention: bool
    mask_width: int
    casts_k: bool = False
    casts_v: bool = False
    turns_k: frozenset[str] = frozenset()
    turns_v: frozenset[str] = frozenset()
    value_indices_count: int = 0
    writes_by_rows: bool = True
    embedding_buffers_count: int = 5
    unpacks_k: bool = False
    unpacks_v: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """One block's facts: its layer, whether its cache is a window, whether positions are applied to it, and
    its tensors' shapes by short name."""

    spec: LayerSpec
    is_window: bool
    has_rope: bool
    shapes: Mapping[str, Dims]
    is_early: bool = False  # one of the first blocks, where the architecture treats those in another way

    def out(self, name: str) -> int:
        """Rows of a matrix: what it puts out."""
        return self.shapes[name][-2]

    def has(self, name: str) -> bool:
        """Whether the block has that tensor."""
        return name in self.shapes


class Inputs:
    """Leaves that several blocks share, made when first used."""

    def __init__(self, batch: Batch, positions_per_token: int = 1) -> None:
        self.batch = batch
        self._positions_per_token = positions_per_token
        self.chosen: Tensor | None = None  # what the last sparse layer's indexer chose
        self._made: dict[tuple[object, ...], Tensor] = {}

    def _once(self, key: tuple[object, ...], ne: Dims, width: int) -> Tensor:
        if key not in self._made:
            self._made[key] = leaf(*ne, width=width)
        return self._made[key]

    def positions(self) -> Tensor:
        """Token positions, four per token under M-RoPE."""
        return self._once(("pos",), (self.batch.tokens_count * self._positions_per_token,), 4)

    def query_scales(self) -> Tensor:
        """A factor per token for the queries of layers without positions."""
        return self._once(("scale",), (self.batch.tokens_count,), 4)

    def outputs(self) -> Tensor:
        """Which tokens want logits."""
        return self._once(("out",), (self.batch.outputs_count,), 4)

    def mask(self, kind: str) -> Tensor:
        """Cells x tokens of one stream x streams. `kind` is 'full', 'window', or another cache."""
        b = self.batch
        cells = b.window_cells_count if kind == "window" else b.cells_count
        ne = (cells, b.tokens_count // b.streams_count, 1, b.streams_count)
        given = self._once(("mask", kind), ne, b.mask_width)
        if not (b.has_flash_attention and b.mask_width == 4):
            return given
        # Flash attention wants f16; until 2026 masks came in f32 and were cast once.
        key = ("cast", kind)
        if key not in self._made:
            self._made[key] = fresh(ne, given, width=2)
        return self._made[key]

    def states(self) -> Tensor:
        """Which recurrent states the batch's sequences use."""
        return self._once(("states",), (self.batch.sequences_count,), 4)

    def key_rows(self, kind: str) -> Tensor:
        """Where K goes in its cache; nothing in builds that copied to one place."""
        return self._once(("k", kind), (self.batch.tokens_count * self.batch.writes_by_rows,), 8)

    def value_rows(self, kind: str) -> Tensor:
        """Where V goes: one index per value when V is stored transposed."""
        b = self.batch
        per_token = 1 if b.has_flash_attention else b.value_indices_count
        return self._once(("v", kind), (b.tokens_count * per_token * b.writes_by_rows,), 8)

    def rotation(self, role: str, kind: str, dim: int) -> Tensor:
        """The Hadamard matrix that rotates what is written to a quantised cache."""
        return self._once(("rot", role, kind), (dim, dim), 4)


def linear(x: Tensor, out_dim: int) -> Tensor:
    """A matrix times x."""
    return fresh((out_dim, *x.ne[1:]), x)


def hadamard_dim(head_dim: int) -> int:
    """The largest power of two from 64 on that divides the head (llama_kv_cache::build_input_k_rot)."""
    size = 64
    while head_dim % (size * 2) == 0:
        size *= 2
    return size


def rotated(x: Tensor, matrix: Tensor) -> Tensor:
    """llama_mul_mat_hadamard: one more tensor of x's size."""
    dim = matrix.ne[0]
    count = 1
    for n in x.ne:
        count *= n
    return view(fresh((dim, count // dim), matrix, view(x)), *x.ne)


def attend(
    graph: Graph,
    inputs: Inputs,
    block: Block,
    q: Tensor,
    k: Tensor | None,
    v: Tensor | None,
    *,
    v_first: bool,
) -> Tensor:
    """Write K and V, multiply, and return heads x value_dim per token (build_attn without the output matrix).

    `v_first` is the order in which build_attn lists its inputs without window caches.
    """
    batch, spec = inputs.batch, block.spec
    kind = "window" if block.is_window else "full"
    if kind in batch.turns_k:
        turn = inputs.rotation("k", kind, hadamard_dim(spec.key_dim))
        q = rotated(q, turn)
        k = rotated(k, turn) if k else k
    turns_v = kind in batch.turns_v
    if turns_v and v:
        v = rotated(v, inputs.rotation("v", kind, HADAMARD_V_DIM))
    for tensor in (q, v, k) if v_first else (q, k, v):
        if tensor is not None:
            graph.expand(tensor)
    if k is not None:
        graph.expand(store(view(k), inputs.key_rows(kind)))
    if v is not None:
        graph.expand(store(view(v), inputs.value_rows(kind)))
    out = product(graph, inputs, block, q, spec.key_dim, spec.value_dim, spec.kv_heads_count)
    if turns_v:
        out = rotated(out, inputs.rotation("v", kind, HADAMARD_V_DIM))
    return out


def product(
    graph: Graph, inputs: Inputs, block: Block, q: Tensor, key_dim: int, value_dim: int, kv_heads: int,
    *, v_back: int = 0, mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """build_attn_mha: softmax(q k) v. `v_back` > 0 is the head size after MLA's way back from the latent."""
    batch = inputs.batch
    kind = "window" if block.is_window else "full"
    heads, streams = q.ne[1], batch.streams_count
    tokens = batch.tokens_count // streams
    cells = batch.window_cells_count if block.is_window else batch.cells_count
    mask = mask or inputs.mask(kind)
    if batch.has_flash_attention:
        casts: list[Tensor] = []
        if batch.casts_k:
            casts.append(fresh((key_dim, cells, kv_heads, streams), width=2))
        if batch.casts_v and not v_back:
            casts.append(fresh((value_dim, cells, kv_heads, streams), width=2))
        out = fresh((value_dim, heads, tokens, streams), view(q), *casts, mask)
        unpacked = (key_dim if batch.unpacks_k else 0) + (value_dim if batch.unpacks_v and not v_back else 0)
        out.size_bytes += 2 * unpacked * cells * kv_heads * streams
        if v_back:
            back = fresh((v_back, tokens, heads, streams), view(out))
            out = fresh((v_back, heads, tokens, streams), view(back))
            value_dim = v_back
        out = view(out, heads * value_dim, batch.tokens_count)
    else:
        scores = same(fresh((cells, tokens, heads, streams), view(q)), mask)
        if v_back:
            # V is a part of the latent K, which must be turned by hand; ggml lists it before the scores.
            turned = fresh((cells, value_dim, 1, streams), width=2)
            found = fresh((value_dim, tokens, heads, streams), turned, scores)
            out = fresh((v_back, tokens, heads, streams), found)
            value_dim = v_back
        else:
            out = fresh((value_dim, tokens, heads, streams), scores)
        out = fresh((heads * value_dim, batch.tokens_count), view(out))
    return graph.expand(out)


def grouped(
    graph: Graph, inputs: Inputs, block: Block, x: Tensor, *, v_first: bool, has_rope: bool = True,
    has_layer_norms: bool = False, scales_queries: str = "never",
) -> Tensor:  # fmt: skip
    """Multi-head or grouped-query attention up to, not including, the output matrix."""
    spec, tokens = block.spec, inputs.batch.tokens_count
    heads, kv_heads = spec.query_heads_count, spec.kv_heads_count
    key, value = spec.key_dim, spec.value_dim
    k: Tensor | None
    v: Tensor | None
    if block.has("attn_qkv"):
        joined = linear(x, block.out("attn_qkv"))
        q = view(joined, key, heads, tokens)
        k = view(joined, key, kv_heads, tokens)
        v = view(joined, value, kv_heads, tokens)
    else:
        q = linear(x, block.out("attn_q"))
        has_own_cache = spec.shares_kv_with is None and block.has("attn_k")
        k = linear(x, block.out("attn_k")) if has_own_cache else None
        v = linear(x, block.out("attn_v")) if has_own_cache and block.has("attn_v") else None
    q = _normed(q, block.shapes.get("attn_q_norm"), (key, heads, tokens), has_layer_norms)
    if has_rope:
        q = same(q, inputs.positions())
    if scales_queries == "always" or (scales_queries == "without rope" and not has_rope):
        q = same(q, inputs.query_scales())
    if k is not None:
        k = _normed(k, block.shapes.get("attn_k_norm"), (key, kv_heads, tokens), has_layer_norms)
        k = same(k, inputs.positions()) if has_rope else k
    if v is not None:
        v = view(v, value, kv_heads, tokens)
    return attend(graph, inputs, block, q, k, v, v_first=v_first)


def _normed(x: Tensor, weight: Dims | None, ne: Dims, has_layer_norms: bool) -> Tensor:
    """A projection under its heads' dimensions, normed before or after it is reshaped."""
    if weight is None:
        return view(x, *ne)
    if weight[-1] == ne[0]:
        return same(view(x, *ne)) if not has_layer_norms else fresh(ne, view(x, *ne))
    whole = fresh(x.ne, x) if has_layer_norms else same(x)
    return view(whole, *ne)


def latent(graph: Graph, inputs: Inputs, block: Block, x: Tensor) -> Tensor:
    """Multi-head latent attention in its absorbed form (src/models/deepseek2.cpp)."""
    spec = block.spec
    query = same(linear(x, block.out("attn_q_a"))) if block.has("attn_q_a") else x
    q, k, v = latent_parts(graph, inputs, block, x, query)
    for tensor in (q, v, k):
        graph.expand(tensor)
    graph.expand(store(view(k), inputs.key_rows("full")))
    width = spec.latent_dim + spec.rope_dim
    return product(graph, inputs, block, q, width, spec.latent_dim, 1, v_back=spec.value_dim)


def latent_parts(
    graph: Graph, inputs: Inputs, block: Block, x: Tensor, query: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Q (latent + rope per head), K (one head of the same size) and the latent V of latent attention."""
    spec, tokens = block.spec, inputs.batch.tokens_count
    heads, latent_dim, rope = spec.query_heads_count, spec.latent_dim, spec.rope_dim
    name = "attn_q_b" if block.has("attn_q_b") else "attn_q"
    q = linear(query, block.out(name))
    nope = view(q, spec.key_dim - rope, tokens, heads)
    absorbed = fresh((latent_dim, tokens, heads), nope)
    turned = same(view(q, rope, heads, tokens), inputs.positions())
    q = fresh((latent_dim + rope, heads, tokens), view(absorbed), turned)
    joined = linear(x, block.out("attn_kv_a_mqa"))
    value = same(view(joined, latent_dim, tokens))
    v = view(value, latent_dim, 1, tokens)
    k_turned = same(view(joined, rope, 1, tokens), inputs.positions())
    k = fresh((latent_dim + rope, 1, tokens), v, k_turned)
    return q, k, v


def gated_output(out: Tensor, block: Block, x: Tensor) -> Tensor:
    """Attention's result times a gate: one value per value, or one per head (AFMoE, Laguna)."""
    gate = linear(x, block.out("attn_gate"))
    if gate.ne[0] == out.ne[0]:
        return same(out, gate)
    heads, tokens = gate.ne
    ne = (out.ne[0] // heads, heads, tokens)
    return view(same(view(out, *ne), view(gate, 1, heads, tokens)), *out.ne)


def gated(graph: Graph, inputs: Inputs, block: Block, x: Tensor, *, v_first: bool) -> Tensor:
    """Attention whose Q matrix also puts out a gate (Qwen3-Next, Qwen3.5), up to the output matrix."""
    spec, tokens = block.spec, inputs.batch.tokens_count
    heads, kv_heads, key = spec.query_heads_count, spec.kv_heads_count, spec.key_dim
    joined = linear(x, block.out("attn_q"))
    q = same(same(view(joined, key, heads, tokens)), inputs.positions())
    k = same(same(view(linear(x, block.out("attn_k")), key, kv_heads, tokens)), inputs.positions())
    v = view(linear(x, block.out("attn_v")), spec.value_dim, kv_heads, tokens)
    out = attend(graph, inputs, block, q, k, v, v_first=v_first)
    gate = fresh((heads * key, tokens), view(joined))
    return same(out, gate)
