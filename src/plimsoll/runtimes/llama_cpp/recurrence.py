"""Recurrent blocks as graphs: Mamba-2, gated delta net, short convolution.

Source: src/models/mamba-base.cpp, delta-net-base.cpp, qwen35.cpp, qwen3next.cpp and lfm2.cpp, and build_rs
in src/llama-graph.cpp of ggml-org/llama.cpp@0c1e57098; the extra state rows as b11549 lists them.
"""

from __future__ import annotations

from plimsoll.runtimes.llama_cpp.attention import Block, Inputs, linear
from plimsoll.runtimes.llama_cpp.tensor import Graph, Tensor, fresh, same, store, view


def _state(block: Block) -> tuple[int, int]:
    state = block.spec.state
    assert state is not None
    return state.conv_values_count, state.ssm_values_count


def _rows(graph: Graph, inputs: Inputs, values_count: int) -> Tensor:
    """The states of this batch's sequences, copied out of the cache (build_rs)."""
    count = inputs.batch.sequences_count
    rows = graph.expand(fresh((values_count, count), inputs.states()))
    graph.expand(store(view(rows)))
    return rows


def _convolved(graph: Graph, inputs: Inputs, rows: Tensor, x: Tensor, kernel: int, channels: int) -> Tensor:
    """The last kernel - 1 inputs joined with the new ones, written back, convolved."""
    count = inputs.batch.sequences_count
    per_sequence = inputs.batch.tokens_count // count
    joined = fresh((kernel - 1 + per_sequence, channels, count), view(rows), view(x))
    graph.expand(store(view(joined)))
    return joined


def mamba2(graph: Graph, inputs: Inputs, block: Block, x: Tensor) -> Tensor:
    """A Mamba-2 mixer with its output matrix."""
    state, batch = block.spec.state, inputs.batch
    assert state is not None
    count = batch.sequences_count
    per_sequence = batch.tokens_count // count
    conv_values, ssm_values = _state(block)
    inner = state.heads_count * state.head_dim
    rows = _rows(graph, inputs, conv_values)
    projected = linear(x, block.out("ssm_in"))
    joined = _convolved(graph, inputs, rows, projected, state.conv_kernel, state.conv_channels)
    mixed = fresh((state.conv_channels, per_sequence, count), joined)
    steps = fresh((state.heads_count, per_sequence, count), view(projected))
    scanned = fresh((inner * batch.tokens_count + ssm_values * count,), view(mixed), steps, inputs.states())
    graph.expand(scanned)
    if count > 1:
        graph.expand(store(fresh((ssm_values, count - 1), inputs.states())))
    graph.expand(store(view(scanned)))
    ne = (state.head_dim, state.heads_count, per_sequence, count)
    gate = fresh(ne, view(projected))
    skipped = fresh(ne, view(mixed, *ne))
    out = fresh(ne, gate, same(skipped, view(scanned)))
    if block.has("ssm_norm"):
        out = same(view(out, inner, batch.tokens_count))
    return linear(view(out, inner, batch.tokens_count), block.out("ssm_out"))


def gated_delta(graph: Graph, inputs: Inputs, block: Block, x: Tensor) -> Tensor:
    """A gated delta net with its output matrix (Qwen3-Next and Qwen3.5), by ggml's fused operation."""
    state, batch = block.spec.state, inputs.batch
    assert state is not None
    count = batch.sequences_count
    per_sequence = batch.tokens_count // count
    conv_values, ssm_values = _state(block)
    heads, dim, keys = state.heads_count, state.head_dim, state.groups_count
    inner = heads * dim
    mixed = linear(x, state.conv_channels)
    rows = _rows(graph, inputs, conv_values)
    joined = _convolved(graph, inputs, rows, mixed, state.conv_kernel, state.conv_channels)
    states = _rows(graph, inputs, ssm_values)
    convolved = fresh((state.conv_channels, per_sequence, count), joined)
    ne = (state.state_dim, keys, per_sequence, count)
    q, k = fresh(ne, view(convolved)), fresh(ne, view(convolved))
    if block.has("ssm_ba"):
        both = linear(x, 2 * heads)
        beta = same(view(both, 1, heads, per_sequence, count))
        decay = same(view(both, heads, per_sequence, count))
    else:
        beta = same(view(linear(x, heads), 1, heads, per_sequence, count))
        decay = same(view(linear(x, heads), heads, per_sequence, count))
    size = inner * batch.tokens_count + ssm_values * count
    out = fresh((size,), q, k, view(convolved), view(decay), beta, view(states))
    graph.expand(store(view(out)))
    flat = (dim, heads, per_sequence, count)
    normed = same(view(out, *flat))
    gate = same(view(linear(x, inner), *flat))
    gated = same(normed, gate)
    return view(linear(view(gated, inner, batch.tokens_count), block.out("ssm_out")))


def short_conv(graph: Graph, inputs: Inputs, block: Block, x: Tensor) -> Tensor:
    """A gated short convolution with its output matrix (LFM2)."""
    state, batch = block.spec.state, inputs.batch
    assert state is not None
    count = batch.sequences_count
    per_sequence = batch.tokens_count // count
    hidden = state.conv_channels
    projected = linear(x, block.out("shortconv.in_proj"))
    rows = _rows(graph, inputs, state.conv_values_count)
    gated = fresh((hidden, per_sequence, count), view(projected), view(projected))
    joined = _convolved(graph, inputs, rows, gated, state.conv_kernel, hidden)
    convolved = fresh((hidden, per_sequence, count), joined)
    out = same(convolved, view(projected))
    return view(linear(view(out, hidden, batch.tokens_count), block.out("shortconv.out_proj")))
