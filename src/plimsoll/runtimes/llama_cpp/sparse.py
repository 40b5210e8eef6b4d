"""DeepSeek sparse attention as a graph: latent attention under a mask that an indexer chooses.

Source: src/models/deepseek32.cpp, glm-dsa.cpp and build_attn for llm_graph_input_attn_k_dsa in
src/llama-graph.cpp of ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

from plimsoll.runtimes.llama_cpp.attention import Batch, Block, Inputs, latent_parts, linear, product
from plimsoll.runtimes.llama_cpp.tensor import Dims, Graph, Tensor, fresh, leaf, same, store, view

# index_topk of https://huggingface.co/deepseek-ai/DeepSeek-V3.2-Exp/blob/main/config.json and of GLM-5's.
TOP_TOKENS_COUNT = 2048


def sparse_latent(
    graph: Graph, inputs: Inputs, block: Block, x: Tensor, chosen: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Attention up to, not including, the output matrix; and the chosen tokens, for layers without one."""
    spec, tokens = block.spec, inputs.batch.tokens_count
    has_indexer = block.has("indexer.attn_k")
    if has_indexer:
        dim = spec.indexer_dim
        key = view(fresh((dim, tokens), linear(x, dim)), dim, 1, tokens)
        turn = inputs.rotation("k", "indexer", dim)
        key = fresh((dim, 1, tokens), turn, same(key, inputs.positions()))
        graph.expand(store(view(key), inputs.key_rows("indexer")))
    query = same(linear(x, block.out("attn_q_a")))
    if has_indexer:
        chosen = _chosen(inputs, block, x, query)
    q, k, v = latent_parts(graph, inputs, block, x, query)
    for tensor in (q, v, k):
        graph.expand(tensor)
    graph.expand(store(view(k), inputs.key_rows("full")))
    mask = inputs.mask("full") if chosen is None else _mask(inputs, chosen)
    width = spec.latent_dim + spec.rope_dim
    out = product(graph, inputs, block, q, width, spec.latent_dim, 1, v_back=spec.value_dim, mask=mask)
    return out, chosen


def selection_dims(batch: Batch) -> Dims:
    """Chosen tokens x tokens of one stream x streams."""
    per_stream = batch.tokens_count // batch.streams_count
    return (min(TOP_TOKENS_COUNT, batch.cells_count), per_stream, 1, batch.streams_count)


def _chosen(inputs: Inputs, block: Block, x: Tensor, query: Tensor) -> Tensor:
    """Indices of the tokens that the indexer scores highest, copied out of the sort."""
    batch, spec = inputs.batch, block.spec
    tokens, streams = batch.tokens_count, batch.streams_count
    dim, heads = spec.indexer_dim, spec.indexer_heads_count
    turned = same(view(linear(query, dim * heads), dim, heads, tokens), inputs.positions())
    turned = fresh((dim, heads, tokens), inputs.rotation("k", "indexer", dim), turned)
    weights = same(view(linear(x, heads), heads, tokens))
    ne = (batch.cells_count, tokens // streams, 1, streams)
    scores = fresh(ne, view(turned), weights, inputs.mask("indexer"))
    top = selection_dims(batch)
    return fresh(top, fresh(top, scores))


def _mask(inputs: Inputs, chosen: Tensor) -> Tensor:
    """The causal mask with all but the chosen tokens hidden."""
    mask = inputs.mask("full")
    emptied = same(leaf(*chosen.ne))
    hidden = same(mask)
    written = view(hidden)
    written.sources = (emptied, view(chosen), hidden)
    return same(written, mask)
