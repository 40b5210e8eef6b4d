"""A decoder's prompt graph, block by block, and the size of its buffer on the CPU.

Source: src/models/*.cpp of ggml-org/llama.cpp@0c1e57098, one function there for what most of them share,
and `TRAITS` for how they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from plimsoll.domain.model import LayerSpec
from plimsoll.runtimes.llama_cpp import attention, feed_forward, recurrence
from plimsoll.runtimes.llama_cpp.allocator import buffer_bytes
from plimsoll.runtimes.llama_cpp.attention import Batch, Block, Inputs, linear
from plimsoll.runtimes.llama_cpp.feed_forward import Routing
from plimsoll.runtimes.llama_cpp.gemma import (
    LayerEmbeddings,
    add_layer_embedding,
    gemma4_attention,
    gemma4_feed_forward,
)
from plimsoll.runtimes.llama_cpp.gemma3n import SPARSE_LAYERS_COUNT, stacked_blocks
from plimsoll.runtimes.llama_cpp.sparse import selection_dims, sparse_latent
from plimsoll.runtimes.llama_cpp.tensor import Graph, Tensor, fresh, leaf, same, view

CPU_ALIGNMENT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """How an architecture's graph differs from the common one, as far as memory shows it.

    `is_parallel`: attention and feed-forward read the same norm. `has_layer_norms`: LayerNorm, which never
    overwrites its source. `rope`: where positions are applied. `picks_sum`: in the last block the rows that
    want logits are picked from the sum with the residual, not before. `adds_to_residual`: the residual is the
    sum's first operand, which it overwrites.
    """

    is_parallel: bool = False
    has_layer_norms: bool = False
    rope: str = "always"  # 'always', 'never', 'windows' (not in whole-context layers), 'three of four'
    picks_sum: bool = False
    adds_to_residual: bool = False
    is_sparse: bool = False  # an indexer chooses the tokens
    positions_per_token: int = 1  # M-RoPE has four
    scales_rows: bool = False  # Gemma scales embeddings row by row
    scales_queries: str = "never"  # by position: 'without rope' (Llama 4) or 'always' (Mistral 3)
    early_layers_count: int = 0  # first blocks that differ
    deepstack_layers_count: int = 0  # first blocks that add their own part of the given embeddings
    joins_gate: bool = False  # Q and its gate are one matrix (Qwen3-Next)
    routing: Routing = field(default_factory=Routing)


TRAITS: dict[str, Trait] = {
    "command-r": Trait(is_parallel=True, has_layer_norms=True),
    "cohere2": Trait(is_parallel=True, has_layer_norms=True, rope="windows"),
    "cohere2moe": Trait(is_parallel=True, has_layer_norms=True, rope="windows"),
    "falcon": Trait(is_parallel=True, has_layer_norms=True),
    "phi2": Trait(is_parallel=True, has_layer_norms=True),
    "gptneox": Trait(is_parallel=True, has_layer_norms=True),
    "nemotron": Trait(has_layer_norms=True),
    "starcoder2": Trait(has_layer_norms=True),
    "stablelm": Trait(has_layer_norms=True),
    "phimoe": Trait(has_layer_norms=True),
    "exaone4": Trait(rope="windows"),
    "exaone-moe": Trait(rope="windows"),
    "afmoe": Trait(rope="windows", routing=Routing(normalises=False)),
    "smollm3": Trait(rope="three of four"),
    "llama4": Trait(
        rope="windows", scales_queries="without rope", routing=Routing(normalises=False, weighs_input=True)
    ),
    "granitehybrid": Trait(rope="never"),
    "nemotron_h": Trait(rope="never"),
    "nemotron_h_moe": Trait(rope="never", routing=Routing(scales=True)),
    "gpt-oss": Trait(routing=Routing(normalises=False, softens=True)),
    "qwen2moe": Trait(routing=Routing(normalises=False)),
    "olmoe": Trait(routing=Routing(normalises=False)),
    "deepseek2": Trait(routing=Routing(scales=True)),
    "deepseek32": Trait(is_sparse=True, routing=Routing(scales=True, groups_count=8, used_groups_count=4)),
    "glm-dsa": Trait(is_sparse=True, routing=Routing(scales=True)),
    "glm4moe": Trait(routing=Routing(scales=True)),
    "qwen35": Trait(joins_gate=True, positions_per_token=4),
    "qwen35moe": Trait(joins_gate=True, positions_per_token=4),
    "falcon-h1": Trait(picks_sum=True),
    "lfm2": Trait(adds_to_residual=True),
    "lfm2moe": Trait(adds_to_residual=True),
    "qwen2vl": Trait(positions_per_token=4),
    # deepstack_visual_indexes has three entries in every published Qwen3-VL config.
    "qwen3vl": Trait(positions_per_token=4, deepstack_layers_count=3),
    "qwen3vlmoe": Trait(positions_per_token=4, deepstack_layers_count=3),
    "mistral3": Trait(scales_queries="always"),
    "gemma": Trait(scales_rows=True),
    "gemma3": Trait(scales_rows=True),
    "gemma3n": Trait(scales_rows=True, early_layers_count=SPARSE_LAYERS_COUNT),
    "gemma4": Trait(scales_rows=True),
    "qwen3next": Trait(joins_gate=True),
}  # fmt: skip

COMMON = Trait()

# Architectures whose compute buffer was compared with the engine's on the CPU (bench/llama_cpp_memory.py).
PROVEN = frozenset({
    "apertus", "cohere2", "command-r", "deepseek2", "deepseek32", "ernie4_5-moe", "exaone4", "falcon",
    "falcon-h1", "gemma2", "gemma3", "gemma3n", "gemma4",
    "glm-dsa", "glm4", "glm4moe", "gpt-oss", "gptneox", "granite",
    "granitehybrid", "hunyuan-moe", "hy_v3", "internlm2", "lfm2", "lfm2moe", "llama", "llama4", "minimax-m2",
    "mistral3", "nemotron_h", "nemotron_h_moe", "olmo2", "olmoe", "phi3", "phimoe",
    "qwen2", "qwen2moe", "qwen3", "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen3vl", "seed_oss",
    "smollm3",
})  # fmt: skip

# DeepSeek-V3's routing in groups shows in no tensor, only in the number of experts:
# n_group 8, topk_group 4 of https://huggingface.co/deepseek-ai/DeepSeek-V3/blob/main/config.json
_GROUPED_EXPERTS = {256: (8, 4), 160: (8, 3)}


def trait_of(architecture: str, blocks: Sequence[Block]) -> Trait:
    """The architecture's trait; DeepSeek-2's depends on the number of experts."""
    trait = TRAITS.get(architecture, COMMON)
    total = max((b.spec.experts_count for b in blocks), default=0)
    if architecture == "deepseek2" and total in _GROUPED_EXPERTS:
        groups, used = _GROUPED_EXPERTS[total]
        return Trait(routing=Routing(scales=True, groups_count=groups, used_groups_count=used))
    return trait


def has_rope(layer: LayerSpec, is_window: bool, architecture: str) -> bool:
    """Whether positions are applied to a layer's queries and keys."""
    rope = TRAITS.get(architecture, COMMON).rope
    if rope == "windows":
        return is_window
    if rope == "three of four":
        return (layer.index + 1) % 4 != 0
    return rope == "always"


def compute_bytes(
    architecture: str,
    blocks: Sequence[Block],
    hidden_dim: int,
    vocab_size: int,
    batch: Batch,
    has_windows: bool,
    layers_count: int = 0,
) -> int:
    """Bytes of a prompt batch's compute buffer on the CPU; `blocks` may be a sample of `layers_count`."""
    graph = decoder_graph(architecture, blocks, hidden_dim, vocab_size, batch, has_windows, layers_count)
    return buffer_bytes(graph, CPU_ALIGNMENT_BYTES)


def decoder_graph(
    architecture: str,
    blocks: Sequence[Block],
    hidden_dim: int,
    vocab_size: int,
    batch: Batch,
    has_windows: bool,
    layers_count: int = 0,
    *,
    has_embeddings: bool = True,
    has_output: bool = True,
) -> Graph:
    """The graph of one prompt batch through `blocks` and the output, or a device's part of it.

    Without embeddings the block's input comes from another device, without output it goes to one.
    """
    trait = trait_of(architecture, blocks)
    graph, inputs = Graph(), Inputs(batch, trait.positions_per_token)
    layers_count = layers_count or len(blocks)
    is_stacked = trait is TRAITS["gemma3n"]
    extra = None if is_stacked else _layer_embeddings(graph, blocks, layers_count, batch.tokens_count)
    wide = hidden_dim * (1 + trait.deepstack_layers_count)
    if has_embeddings:
        x = _embedded(graph, hidden_dim, wide, batch)
    else:
        x = graph.expand(leaf(hidden_dim, batch.tokens_count))
    if trait.scales_rows and has_embeddings:
        x = graph.expand(same(x, leaf(1, batch.tokens_count)))
    embedded = x
    if is_stacked:
        extra = _layer_embeddings(graph, blocks, layers_count, batch.tokens_count, is_scaled_apart=True)
    if extra:
        extra.start(x)
    if is_stacked and extra:
        x = stacked_blocks(graph, inputs, blocks, x, extra)
    for i, block in enumerate(blocks if not is_stacked else ()):
        is_last = has_output and i == len(blocks) - 1
        x = _block(graph, inputs, block, x, trait, v_first=not has_windows, is_last=is_last)
        if i < trait.deepstack_layers_count and has_embeddings:
            x = same(x, view(embedded, hidden_dim, batch.tokens_count))
        if extra:
            part = extra.of_layer()
            x = add_layer_embedding(x, block, _picked(part, inputs) if is_last else part)
    if trait.is_sparse:
        for _ in range(layers_count - len(blocks)):
            graph.expand(leaf(*selection_dims(batch)))
    if not has_output:
        graph.expand(x)
        return graph
    x = _norm(x, trait)
    x.is_output = True
    logits = linear(x, vocab_size)
    logits.is_output = True
    graph.expand(logits)
    return graph


def _embedded(graph: Graph, hidden: int, wide: int, batch: Batch) -> Tensor:
    """Token embeddings, and the other ways in that are always reserved (build_inp_embd).

    One buffer: tokens only. Two: also given embeddings, `wide` > hidden where they carry parts for later
    blocks; looked-up ones are padded then. Five: also both mixed in one batch (b11549).
    """
    tokens = batch.tokens_count
    x = graph.expand(fresh((hidden, tokens), leaf(tokens)))
    if batch.embedding_buffers_count == 1:
        return x
    mixed = graph.expand(fresh((hidden, tokens), leaf(tokens))) if batch.embedding_buffers_count > 2 else None
    graph.expand(leaf(wide, tokens))
    if wide > hidden:
        x = view(graph.expand(fresh((wide, tokens), x)), hidden, tokens)
        mixed = mixed and graph.expand(fresh((wide, tokens), mixed))
    if mixed:
        slots = leaf(tokens, width=8)
        given = fresh((wide, tokens), leaf(wide, tokens))
        written = view(given)
        written.sources = (mixed, slots, given)
        graph.expand(written)
    return graph.expand(x)


def _layer_embeddings(
    graph: Graph, blocks: Sequence[Block], layers: int, tokens: int, *, is_scaled_apart: bool = False
) -> LayerEmbeddings | None:
    if not blocks or not blocks[0].has("inp_gate"):
        return None
    return LayerEmbeddings(graph, layers, blocks[0].out("inp_gate"), tokens, is_scaled_apart=is_scaled_apart)


def _norm(x: Tensor, trait: Trait) -> Tensor:
    return fresh(x.ne, x) if trait.has_layer_norms else same(x)


def _block(
    graph: Graph, inputs: Inputs, block: Block, x: Tensor, trait: Trait, *, v_first: bool, is_last: bool
) -> Tensor:
    normed = _norm(x, trait) if block.has("attn_norm") else x
    if block.spec.attention == "none" and block.spec.state is None:
        out = _feed_forward(graph, normed, block, trait)
        return same(_picked(out, inputs), _picked(x, inputs)) if is_last else same(out, x)
    mixed = _mixed(graph, inputs, block, normed, trait, v_first)
    if block.spec.state is not None and block.spec.attention != "none":
        mixed = same(mixed, recurrence.mamba2(graph, inputs, block, _norm(x, trait)))
    if is_last and not trait.picks_sum:
        mixed, x = (_picked(t, inputs) for t in (mixed, x))
        normed = _picked(normed, inputs) if trait.is_parallel else normed
    if trait.is_parallel:
        source = _norm(x, trait) if block.has("ffn_norm") else normed
        return same(same(_feed_forward(graph, source, block, trait), x), mixed)
    if not _has_feed_forward(block):
        return same(mixed, x)
    if trait is TRAITS["gemma4"]:
        x = same(_norm(mixed, trait), x)
        return same(_norm(gemma4_feed_forward(graph, x, block), trait), x)
    is_sandwich = block.has("ffn_norm") or block.has("post_ffw_norm")
    if block.has("post_attention_norm") and is_sandwich:
        mixed = _norm(mixed, trait)
    x = _sum(mixed, x, trait)
    if is_last and trait.picks_sum:
        x = _picked(x, inputs)
    has_pre_norm = block.has("ffn_norm") or not is_sandwich
    out = _feed_forward(graph, _norm(x, trait) if has_pre_norm else x, block, trait)
    if block.has("post_ffw_norm"):
        out = _norm(out, trait)
    return _sum(out, x, trait)


def _sum(out: Tensor, residual: Tensor, trait: Trait) -> Tensor:
    return same(residual, out) if trait.adds_to_residual else same(out, residual)


def _picked(x: Tensor, inputs: Inputs) -> Tensor:
    return fresh((x.ne[0], inputs.batch.outputs_count), x, inputs.outputs())


def _has_feed_forward(block: Block) -> bool:
    return block.has("ffn_down") or block.has("ffn_down_exps")


def _mixed(graph: Graph, inputs: Inputs, block: Block, x: Tensor, trait: Trait, v_first: bool) -> Tensor:
    """Attention or recurrence, with its output matrix."""
    state = block.spec.state
    if state is not None and block.spec.attention == "none":
        if state.kind == "gated_delta":
            graph.expand(x)
            return recurrence.gated_delta(graph, inputs, block, x)
        if state.kind == "short_conv":
            return recurrence.short_conv(graph, inputs, block, x)
        return recurrence.mamba2(graph, inputs, block, x)
    if block.spec.attention == "latent" and trait.is_sparse:
        out, inputs.chosen = sparse_latent(graph, inputs, block, x, inputs.chosen)
    elif block.spec.attention == "latent":
        out = attention.latent(graph, inputs, block, x)
    elif trait is TRAITS["gemma4"]:
        out = gemma4_attention(graph, inputs, block, x)
    elif trait.joins_gate:
        graph.expand(x)
        out = attention.gated(graph, inputs, block, x, v_first=v_first)
    else:
        out = attention.grouped(
            graph,
            inputs,
            block,
            x,
            v_first=v_first,
            has_rope=block.has_rope,
            has_layer_norms=trait.has_layer_norms,
            scales_queries=trait.scales_queries,
        )
        if block.has("attn_gate"):
            out = attention.gated_output(out, block, x)
    return linear(out, block.out("attn_output"))


def _feed_forward(graph: Graph, x: Tensor, block: Block, trait: Trait) -> Tensor:
    if not block.has("ffn_down_exps"):
        return feed_forward.dense(x, block)
    out = feed_forward.experts(graph, x, block, trait.routing)
    if block.has("ffn_down_shexp"):
        out = same(out, feed_forward.shared_expert(x, block))
    return out
