"""Feed-forward blocks as graphs: dense, and a choice of experts.

Source: build_ffn and build_moe_ffn in src/llama-graph.cpp of ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

from dataclasses import dataclass

from plimsoll.runtimes.llama_cpp.attention import Block, linear
from plimsoll.runtimes.llama_cpp.tensor import Graph, Tensor, fresh, same, view


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How an architecture picks experts; only what takes memory.

    `normalises`: the chosen weights are divided by their sum. `scales`: they are multiplied by a constant.
    `softens`: softmax over the chosen only. `groups_count` > 1: experts are first chosen by group.
    `weighs_input`: the expert's input, not its output, is weighted (Llama 4).
    """

    normalises: bool = True
    scales: bool = False
    softens: bool = False
    groups_count: int = 1
    used_groups_count: int = 1
    weighs_input: bool = False


def dense(x: Tensor, block: Block, suffix: str = "") -> Tensor:
    """down(act(gate(x)) * up(x)), or one matrix holding gate and up, or no gate at all."""
    up_dim, down = block.out(f"ffn_up{suffix}"), f"ffn_down{suffix}"
    hidden, inner = block.shapes[down][-2], block.shapes[down][-1]
    if block.has(f"ffn_gate{suffix}"):
        gate = linear(x, block.out(f"ffn_gate{suffix}"))
        return linear(fresh(gate.ne, gate, linear(x, up_dim)), hidden)
    up = linear(x, up_dim)
    if up_dim == 2 * inner:
        return linear(fresh((inner, *x.ne[1:]), up), hidden)
    return linear(up, hidden)


def experts(
    graph: Graph, x: Tensor, block: Block, routing: Routing, *, router_input: Tensor | None = None
) -> Tensor:
    """The weighted sum of the chosen experts."""
    spec, tokens = block.spec, x.ne[1]
    total, used = spec.experts_count, spec.active_experts_count
    hidden = block.shapes["ffn_down_exps"][-2]
    logits = linear(router_input or x, total)
    chances = view(logits, 1, total, tokens)
    picked = _picked(logits, block, routing, total, used, tokens)
    weights = fresh((1, used, tokens), chances, picked)
    weights = graph.expand(_weighted(weights, routing, used, tokens))
    if routing.weighs_input:
        repeated = fresh((x.ne[0], used, tokens), view(x))
        x = same(repeated, weights)
        each = x
    else:
        each = view(x, x.ne[0], 1, tokens)
    act = _activated(each, picked, block, used, tokens)
    out = fresh((hidden, used, tokens), act, picked)
    if block.has("ffn_down_exps.scale"):
        out = same(out, fresh((1, used, tokens), fresh((1, total, tokens)), picked))
    if not routing.weighs_input:
        out = same(out, weights)
    graph.expand(out)
    summed = fresh((hidden, tokens), view(out))
    return summed if used == 1 else graph.expand(summed)


def _activated(each: Tensor, picked: Tensor, block: Block, used: int, tokens: int) -> Tensor:
    if block.has("ffn_gate_up_exps"):
        both = fresh((block.out("ffn_gate_up_exps"), used, tokens), each, picked)
        return fresh((both.ne[0] // 2, used, tokens), view(both), view(both))
    ne = (block.out("ffn_up_exps"), used, tokens)
    if block.has("ffn_gate_exps"):
        gate = fresh(ne, each, picked)
        return fresh(ne, gate, fresh(ne, each, picked))
    return fresh(ne, each, picked)


def _picked(logits: Tensor, block: Block, routing: Routing, total: int, used: int, tokens: int) -> Tensor:
    """Indices of the chosen experts: a view of the sorted row."""
    scores = logits
    if block.has("exp_probs_b") or block.has("exp_probs_b.bias"):
        scores = same(logits)
    if routing.groups_count > 1:
        scores = _masked_groups(scores, routing, total, tokens)
    return view(fresh((total, tokens), scores), used, tokens)


def _masked_groups(scores: Tensor, routing: Routing, total: int, tokens: int) -> Tensor:
    groups, used = routing.groups_count, routing.used_groups_count
    size = total // groups
    grouped = view(scores, size, groups, tokens)
    best = view(fresh((size, groups, tokens), grouped), 2, groups, tokens)
    top = fresh((1, 2, groups, tokens), view(grouped, 1, size, groups, tokens), best)
    sums = view(fresh((1, groups, tokens), view(top, 2, groups, tokens)), groups, tokens)
    chosen = view(fresh((groups, tokens), sums), used, tokens)
    kept = fresh((size, used, tokens), grouped, chosen)
    emptied = same(grouped)
    written = view(emptied, size, groups, tokens)
    written.sources = (kept, chosen, emptied)
    return view(written, total, tokens)


def _weighted(weights: Tensor, routing: Routing, used: int, tokens: int) -> Tensor:
    if routing.softens:
        weights = view(same(view(weights, used, tokens)), 1, used, tokens)
    if routing.normalises:
        flat = view(weights, used, tokens)
        total = fresh((1, tokens), flat)
        weights = view(same(flat, total), 1, used, tokens)
    if routing.scales:
        weights = same(weights)
    return weights


def shared_expert(x: Tensor, block: Block) -> Tensor:
    """The expert that every token sees, gated where the model has a gate for it."""
    out = dense(x, block, "_shexp")
    if block.has("ffn_gate_inp_shexp"):
        return same(out, linear(x, 1))
    return out
