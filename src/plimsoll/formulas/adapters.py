"""What adapters take beside the model, by the way each runtime keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# vllm/config/lora.py, MaxLoRARanks of 0.33.0.
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def slots_bytes(rows: Sequence[Sequence[int]], rank: int, slots_count: int, value_bytes: int) -> int:
    """Slots of the largest rank for every matrix that may be adapted, used or not:
    slots x rank x bytes x sum of count x (inputs + outputs). rows = [[count, inputs, outputs], ...].

    vLLM: create_lora_weights of vllm/lora/layers (one A and one B per slice of a packed layer);
    SGLang: get_lora_A_shape and get_lora_B_shape of srt/lora/mem_pool.py (stacked layers: A times slices).
    """
    return slots_count * rank * value_bytes * sum(n * (width + out) for n, width, out in rows)


def loaded_bytes(rows: Sequence[Sequence[int]], adapters_count: int, alignment_bytes: int) -> int:
    """Each tensor as in the file, rounded up: adapters x sum of count x ceil(size / alignment) x alignment.

    rows = [[count, size_bytes], ...]. llama_adapter_lora_init_impl: one buffer per device of ggml tensors.
    """
    return adapters_count * sum(n * -(-size // alignment_bytes) * alignment_bytes for n, size in rows)


def cast_bytes(values_count: int, value_bytes: int) -> int:
    """Every value in one type: values x bytes. PEFT loads 16-bit adapters as f32 unless told otherwise
    (autocast_adapter_dtype of PeftModel.from_pretrained, cast_adapter_dtype of tuners_utils.py)."""
    return values_count * value_bytes


def vllm_rank(rank: int) -> int | None:
    """The smallest max_lora_rank that holds `rank`; None above the largest."""
    return next((r for r in VLLM_RANKS if r >= rank), None)


def grouped(matrices: Iterable[tuple[int, int]]) -> list[list[int]]:
    """(inputs, outputs) pairs as [count, inputs, outputs] rows, in order of first appearance."""
    counts: dict[tuple[int, int], int] = {}
    for pair in matrices:
        counts[pair] = counts.get(pair, 0) + 1
    return [[n, width, out] for (width, out), n in counts.items()]
