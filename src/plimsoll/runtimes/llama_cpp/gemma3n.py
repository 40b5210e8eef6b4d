"""Gemma 3n's blocks: four stacked streams (AltUp), a low-rank branch (LAuReL), embeddings per layer.

Source: src/models/gemma3n.cpp of ggml-org/llama.cpp@0c1e57098; the streams' number and the active first one
are constants there.
"""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.runtimes.llama_cpp.attention import Block, Inputs, linear
from plimsoll.runtimes.llama_cpp.gemma import LayerEmbeddings, gemma4_attention
from plimsoll.runtimes.llama_cpp.tensor import Graph, Tensor, fresh, same, view

STREAMS_COUNT = 4
# hparams.n_layer_sparsity: these first blocks keep only the largest of each token's gate values.
SPARSE_LAYERS_COUNT = 10


def stacked_blocks(
    graph: Graph, inputs: Inputs, blocks: Sequence[Block], x: Tensor, extra: LayerEmbeddings
) -> Tensor:
    """All blocks on the stack of streams, and the streams merged back into the rows that want logits."""
    hidden, tokens = x.ne
    widened = fresh((hidden, tokens, STREAMS_COUNT - 1), fresh((hidden, tokens, STREAMS_COUNT - 1), x))
    stack = fresh((hidden, tokens, STREAMS_COUNT), x, _rescaled(widened, x))
    for block in blocks:
        stack = _block(graph, inputs, block, stack, extra)
    others = fresh((hidden, tokens, STREAMS_COUNT - 1), view(stack))
    others = _rescaled(others, view(stack, hidden, tokens))
    merged = fresh((hidden, tokens), view(stack), view(others))
    for _ in range(STREAMS_COUNT - 2):
        merged = same(merged, view(others))
    return fresh((hidden, inputs.batch.outputs_count), merged, inputs.outputs())


def _rescaled(streams: Tensor, like: Tensor) -> Tensor:
    """Streams times the magnitude of `like` over their own."""
    _, tokens, count = streams.ne
    wanted = fresh((1, tokens), same(like))
    scaled = same(streams, wanted)
    own = fresh((1, tokens, count), same(streams))
    return same(scaled, own)


def _block(graph: Graph, inputs: Inputs, block: Block, stack: Tensor, extra: LayerEmbeddings) -> Tensor:
    hidden, tokens, count = stack.ne
    predictions = _predicted(stack)
    active = view(predictions, hidden, tokens)
    normed = same(active)
    out = linear(gemma4_attention(graph, inputs, block, normed), hidden)
    out = same(same(out), active)
    low_rank = linear(linear(normed, block.out("laurel_l")), hidden)
    both = same(out, same(same(low_rank), normed))
    out = same(same(_feed_forward(same(both), block)), both)
    corrected = _corrected(out, predictions)
    first = fresh((hidden, tokens), view(corrected, hidden, tokens))
    gate = same(linear(first, block.out("inp_gate")), extra.of_layer())
    added = same(linear(gate, hidden))
    others = fresh((hidden, tokens, count - 1), view(corrected), added)
    return fresh(stack.ne, view(corrected), others)


def _predicted(stack: Tensor) -> Tensor:
    """Every stream predicted from all, by coefficients that the active one gives."""
    hidden, tokens, count = stack.ne
    turned = fresh((count, hidden, tokens), view(stack))
    routed = linear(same(view(stack, hidden, tokens)), count)
    mixing = view(linear(routed, count * count), count, count, tokens)
    mixed = fresh((hidden, count, tokens), turned, mixing)
    return same(fresh(stack.ne, view(mixed)), stack)


def _corrected(out: Tensor, predictions: Tensor) -> Tensor:
    """Every prediction moved by what the block found out about the active stream."""
    hidden, tokens, count = predictions.ne
    innovation = same(out, view(predictions, hidden, tokens))
    repeated = fresh(predictions.ne, innovation)
    routed = linear(linear(same(out), count), count)
    shares = fresh((1, tokens, count), view(routed))
    return same(same(repeated, shares), predictions)


def _feed_forward(x: Tensor, block: Block) -> Tensor:
    up, gate = linear(x, block.out("ffn_up")), linear(x, block.out("ffn_gate"))
    if block.is_early:
        tokens = gate.ne[1]
        mean = fresh((1, tokens), gate)
        spread = fresh((1, tokens), same(same(gate, mean)))
        gate = same(gate, same(mean, spread))
    return linear(same(up, gate), block.shapes["ffn_down"][-2])
