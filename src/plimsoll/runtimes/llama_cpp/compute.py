"""Compute buffers, output buffer and driver overhead."""

from __future__ import annotations

from plimsoll.domain.bill import HOST, Interval, Line
from plimsoll.domain.deployment import Deployment
from plimsoll.runtimes.llama_cpp.placement import Placement
from plimsoll.runtimes.llama_cpp.settings import Context


def output_bytes(outputs_count: int, vocab_size: int) -> int:
    """The buffer that logits are copied to: outputs x vocabulary x 4 bytes.

    Source: llama_context::output_reserve, src/llama-context.cpp of ggml-org/llama.cpp@0c1e57098.
    """
    return outputs_count * vocab_size * 4


def rough_compute_bytes(
    hidden_dim: int, ffn_dim: int, mask_cells: int, ubatch_tokens: int, logits_bytes: int
) -> Interval:
    """Provisional: (8 x hidden + 2 x ffn) x ubatch x 4 + mask x ubatch x 4 + logits, from a third to three times."""
    value = (8 * hidden_dim + 2 * ffn_dim + mask_cells) * ubatch_tokens * 4 + logits_bytes
    return Interval(value, value // 3, value * 3)


def compute_lines(deployment: Deployment, context: Context, placement: Placement) -> list[Line]:
    """Output buffer in host memory and one compute buffer per device."""
    model = deployment.model
    slots = context.sequences_count
    found = [
        Line.of(
            output_bytes, {"outputs_count": slots, "vocab_size": model.vocab_size}, component="compute",
            label="output buffer", device=HOST, model=model.id,
        )
    ]  # fmt: skip
    outputs = slots if context.rules.reserves_logits_for_slots else context.ubatch_tokens
    for device in placement.accelerators or (HOST,):
        inputs = {
            "hidden_dim": model.hidden_dim, "ffn_dim": max((max(x.ffn_dim, x.expert_dim * x.active_experts_count) for x in model.layers), default=0),
            "mask_cells": context.sequence_cells, "ubatch_tokens": context.ubatch_tokens,
            "logits_bytes": outputs * model.vocab_size * 4,
        }  # fmt: skip
        found.append(
            Line.of(
                rough_compute_bytes,
                inputs,
                component="compute",
                label="compute buffer",
                device=device,
                model=model.id,
                basis="formula",
            )  # fmt: skip
        )
    return found
