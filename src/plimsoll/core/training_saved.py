"""What each block of a model keeps for its gradients, per token and besides: rows for formulas.training.

Counted module by module in the order of the forward pass of Transformers 5.24; bench/training_run.py compares
it with the autograd graph itself.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from plimsoll.domain.model import LayerSpec, Model, TensorSpec
from plimsoll.domain.training import AdapterPair, Attachment, TrainingSetup
from plimsoll.formulas import training as formulas

# Modules of a block that read the same tensor, by the end of their names; each is kept once.
_SHARED = (
    (
        re.compile(
            r"(q|k|v|qkv|q_a|kv_a|in|in_proj_\w+|query_key_value|W_pack|wqkv|kv_a_proj_with_mqa)(_proj)?$"
        ),
        "attention in",
    ),
    (re.compile(r"(o|out)_proj$|\.(dense|wo)$"), "attention out"),
    (re.compile(r"(gate|up|gate_up|w1|w3)(_proj)?$"), "ffn in"),
    (re.compile(r"(down|w2)(_proj)?$"), "ffn out"),
)
_HEAD_NORM = re.compile(r"\.(q|k)_(norm|layernorm)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Of one kind of block: how many there are, bytes per token, bytes besides, and its widest result."""

    layers_count: int
    token_bytes: int
    held_bytes: int
    widest_values: int


def blocks(model: Model, setup: TrainingSetup, found: Attachment) -> tuple[Saved, ...]:
    """Blocks alike are counted together, in order of first appearance."""
    norms: dict[int, list[TensorSpec]] = defaultdict(list)
    for tensor in model.tensors:
        if tensor.role == "norm" and tensor.layer is not None and tensor.name.endswith("weight"):
            norms[tensor.layer].append(tensor)
    pairs: dict[int, list[AdapterPair]] = defaultdict(list)
    for pair in found.pairs:
        if pair.layer is not None:
            pairs[pair.layer].append(pair)
    counts: Counter[tuple[int, int, int]] = Counter()
    for layer in model.layers:
        counts[
            (
                token_bytes(model, layer, setup, norms[layer.index], pairs[layer.index]),
                _held_bytes(pairs[layer.index], setup),
                _widest(layer),
            )
        ] += 1
    return tuple(
        Saved(layers_count=n, token_bytes=size, held_bytes=held, widest_values=widest)
        for (size, held, widest), n in counts.items()
    )


def token_bytes(
    model: Model, layer: LayerSpec, setup: TrainingSetup, norms: list[TensorSpec], pairs: list[AdapterPair]
) -> int:
    """Bytes that one block keeps per token: norms, attention or state, feed-forward, inputs of what
    trains."""
    value = setup.value_bytes
    is_full = setup.method == "full"
    total = sum(_norm(t, layer, value, is_full) for t in norms)
    total += _attention(layer, setup)
    if layer.state is not None:
        total += value * (3 * layer.state.conv_channels + 2 * layer.state.heads_count * layer.state.head_dim)
    if layer.experts_count:
        total += formulas.experts_saved_bytes(
            layer.active_experts_count, model.hidden_dim, layer.expert_dim, layer.experts_count, value
        )
        total += formulas.gated_saved_bytes(layer.shared_expert_dim, value)
    else:
        total += formulas.gated_saved_bytes(layer.ffn_dim, value)
    if is_full:
        return total + formulas.inputs_saved_bytes(_full_inputs(model, layer), value)
    return total + _adapters(layer, setup, pairs)


def _norm(tensor: TensorSpec, layer: LayerSpec, value: int, is_trained: bool) -> int:
    width, rows = tensor.shape[-1], 1
    if (found := _HEAD_NORM.search(tensor.name)) and width in (layer.key_dim, layer.value_dim):
        rows = layer.query_heads_count if found[1] == "q" else layer.kv_heads_count
    return formulas.norm_saved_bytes(width * rows, rows, value, is_trained)


def _attention(layer: LayerSpec, setup: TrainingSetup) -> int:
    if layer.attention == "none":
        return 0
    heads, value = layer.query_heads_count, setup.value_bytes
    kv_heads = heads if layer.latent_dim or setup.is_padded else layer.kv_heads_count
    total = formulas.attention_saved_bytes(
        heads * layer.key_dim, kv_heads * layer.key_dim, kv_heads * layer.value_dim,
        heads * layer.value_dim, heads, value,
    )  # fmt: skip
    keys = setup.longest_tokens or setup.sequence_tokens
    if setup.attention == "eager":
        total += formulas.scores_saved_bytes(heads, keys, value)
    elif setup.is_padded and setup.attention == "sdpa":
        total += keys * value
    return total


def _full_inputs(model: Model, layer: LayerSpec) -> int:
    """Inputs of the linear layers of a block that trains whole: the normalised state for attention and for
    the feed-forward part, and the product before the last matrix. Attention's result is kept already."""
    values = model.hidden_dim + (model.hidden_dim if layer.attention != "none" or layer.state else 0)
    if layer.experts_count:
        return (
            values
            + layer.active_experts_count * (model.hidden_dim + layer.expert_dim)
            + layer.shared_expert_dim
        )
    return values + layer.ffn_dim


def adapter_type_bytes(setup: TrainingSetup) -> int:
    """Of LoRA's weights: beside a quantised base the framework may choose another type."""
    rule = setup.framework
    return rule.quantised_adapter_bytes if setup.base_bits < 16 else rule.adapter_bytes


def _adapters(layer: LayerSpec, setup: TrainingSetup, pairs: list[AdapterPair]) -> int:
    """Inputs of A and of B. f32 weights make a copy of the input for each module: f32, or 16 bits under
    autocast; 16-bit weights share the block's own tensor. Dropout keeps its mask besides."""
    raised = adapter_type_bytes(setup) > setup.value_bytes
    copied = setup.value_bytes if setup.framework.autocasts or not raised else 4
    linears = [p for p in pairs if not p.experts_count]
    total = sum(p.rank * copied for p in linears)
    if raised or setup.dropout:
        total += sum(
            formulas.inputs_saved_bytes(p.inputs, copied + (1 if setup.dropout else 0)) for p in linears
        )
    else:
        shared = {_source(p): p.inputs for p in linears}
        total += sum(n * copied for where, n in shared.items() if where != "attention out")
    if setup.method == "dora":
        total += sum(formulas.dora_saved_bytes(p.outputs, setup.value_bytes, copied) for p in linears)
    if any(p.experts_count for p in pairs):
        active = layer.active_experts_count
        # The experts' weights carry gradients now, so that the grouped products keep their inputs.
        total += formulas.inputs_saved_bytes(
            active * sum({p.inputs for p in pairs if p.experts_count}), setup.value_bytes
        )
    return total


def _source(pair: AdapterPair) -> str:
    return next((where for pattern, where in _SHARED if pattern.search(pair.module)), pair.module)


def _held_bytes(pairs: list[AdapterPair], setup: TrainingSetup) -> int:
    """What a block keeps whatever the tokens: adapted stacks of experts, weight matrices for DoRA's norms."""
    stacks = [[1, p.experts_count, p.outputs, p.inputs] for p in pairs if p.experts_count]
    return formulas.folded_saved_bytes(stacks, setup.value_bytes)


def _widest(layer: LayerSpec) -> int:
    """The widest result per token whose gradient lives while the block runs backwards."""
    experts = layer.active_experts_count * layer.expert_dim * 2 if layer.experts_count else 0
    return max(layer.ffn_dim, experts + layer.shared_expert_dim, layer.query_heads_count * layer.key_dim)
