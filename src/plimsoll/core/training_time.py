"""How long a training run takes: operations per token over what a card does of them, learnt from published
runs."""

from __future__ import annotations

from plimsoll.domain.estimate import Estimate
from plimsoll.domain.model import LayerSpec, Model
from plimsoll.domain.training import Attachment, TrainingCoefficients, TrainingSetup
from plimsoll.formulas import training as formulas
from plimsoll.formulas.weights import active_parameters_count, input_embedding_count


def flops_per_token(model: Model, setup: TrainingSetup, found: Attachment) -> int:
    """Operations of one trained token, attention over the whole sequence included."""
    inputs = flops_inputs(model, setup, found)
    return formulas.token_flops(**inputs, is_recomputed=setup.is_checkpointed)


def flops_inputs(model: Model, setup: TrainingSetup, found: Attachment) -> dict[str, int]:
    """What formulas.training.token_flops counts."""
    looked_up = input_embedding_count(model.tensors, has_tied_embeddings=model.has_tied_embeddings)
    active = active_parameters_count(model.tensors, model.layers) - looked_up
    trained = active if setup.method == "full" else _trained_and_active(model, found)
    attention = sum(_attention(layer, setup.sequence_tokens) for layer in model.layers)
    return {
        "active_values": active, "trained_values": trained, "attention": attention,
    }  # fmt: skip


def _trained_and_active(model: Model, found: Attachment) -> int:
    """Of adapted stacks of experts only those that a token passes."""
    count = found.whole_values_count + found.magnitudes_count
    layers = {layer.index: layer for layer in model.layers}
    for pair in found.pairs:
        layer = layers.get(pair.layer) if pair.layer is not None else None
        if pair.experts_count and layer is not None and layer.experts_count:
            count += pair.values_count * layer.active_experts_count // layer.experts_count
        else:
            count += pair.values_count
    return count


def _attention(layer: LayerSpec, tokens: int) -> int:
    if layer.attention == "none":
        return 0
    seen = min(tokens, layer.window_tokens or tokens)
    return formulas.attention_flops(
        seen, layer.query_heads_count * layer.key_dim, layer.query_heads_count * layer.value_dim
    )


SHORT_PASS_TOKENS = 2048


def group_of(model: Model, setup: TrainingSetup) -> str:
    """Under which name the share of a card's operations was learnt: models with experts, and dense ones with
    few or many tokens a pass (few leave the card waiting for the next kernel)."""
    if any(layer.experts_count for layer in model.layers):
        return "experts"
    return "dense, short passes" if setup.tokens_per_pass < SHORT_PASS_TOKENS else "dense"


def seconds(
    model: Model, setup: TrainingSetup, found: Attachment, tokens_count: int, flops_per_s: float,
    learnt: TrainingCoefficients,
) -> Estimate:  # fmt: skip
    """The wall time of so many trained tokens."""
    group = group_of(model, setup)
    value, low, high, runs = learnt.utilisation[group]
    inputs = {
        "tokens_count": tokens_count,
        "flops_per_token": flops_per_token(model, setup, found),
        "flops_per_s": flops_per_s,
        "devices_count": setup.devices_count,
        "low": low,
        "value": value,
        "high": high,
    }
    took, least, most = formulas.training_seconds(**inputs)  # type: ignore[arg-type]
    return Estimate(
        quantity="training_time",
        unit="s",
        value=took,
        low=least,
        high=most,
        basis="calibrated",
        formula="formulas.training:training_seconds",
        coverage=learnt.coverage,
        inputs=inputs,
        samples_count=runs,
    )
