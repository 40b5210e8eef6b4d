"""What vLLM's profile run will find: activations, the sampler, CUDA graphs, memory outside PyTorch."""

from __future__ import annotations

from plimsoll.domain.bill import Interval
from plimsoll.units import MIB

_HALF = 2


def layer_activation_bytes(
    batched_tokens: int,
    hidden_dim: int,
    ffn_dim: int,
    expert_dim: int,
    active_experts_count: int,
    tensor_parallel: int,
) -> int:
    """Peak of one layer's forward pass over `batched_tokens`.

    Dense: 2 bytes x tokens x (3 x hidden + 3 x ffn/ranks): gate_up, the product and three residual
    copies; reproduces 2.07 GiB at 20,000, 2.99 at 29,000 tokens for Llama-3.1-8B (vllm#10517).
    Experts: 2 bytes x tokens x (3 x hidden + active x (max(2 x expert/ranks, hidden) + expert/ranks)),
    the two workspaces of fused_moe.py.
    """
    dense = 3 * hidden_dim + 3 * (ffn_dim // tensor_parallel)
    expert = expert_dim // tensor_parallel
    sparse = (
        3 * hidden_dim + active_experts_count * (max(2 * expert, hidden_dim) + expert) if expert_dim else 0
    )
    return _HALF * batched_tokens * max(dense, sparse)


def sampler_bytes(sequences_count: int, vocab_size: int, value_bytes: int) -> int:
    """Peak of the sampler's dummy run: sequences x vocabulary x bytes held per logit.

    V0 kept the 16-bit logits only (2). V1 sorts in PyTorch: 16-bit and f32 logits, sorted values,
    int64 indices and the sort's own double buffers (2 + 4 + 4 + 8 + 12 = 30). With the FlashInfer or
    Triton sampler: logits, f32 copy, probabilities, noise (2 + 4 + 4 + 4 = 14).
    """
    return sequences_count * vocab_size * value_bytes


def score_matrix_bytes(batched_tokens: int, heads_count: int, tensor_parallel: int) -> int:
    """Without flash attention the scores of one layer exist: heads/ranks x tokens^2 x (4 + 2 + 4) bytes
    (f32 scores, 16-bit copy, f32 softmax). Reproduces the growth from 2.87 to 10.32 GiB between 4,096
    and 8,192 tokens on two MI50 (nlzy/vllm-gfx906#10). 0 heads: flash attention."""
    return heads_count // tensor_parallel * batched_tokens**2 * 10


def activation_bytes(
    batched_tokens: int, sequences_count: int, hidden_dim: int, ffn_dim: int, expert_dim: int,
    active_experts_count: int, vocab_size: int, logit_bytes: int, tensor_parallel: int, vision_bytes: int = 0,
    attention_heads_count: int = 0,
) -> Interval:  # fmt: skip
    """Peak of PyTorch during the profile run: the larger of a layer's pass and the sampler's, plus
    what the vision encoder keeps. The bounds are the smaller and twice the sum of both passes' parts."""
    scores = score_matrix_bytes(batched_tokens, attention_heads_count, tensor_parallel)
    layer = scores + layer_activation_bytes(
        batched_tokens, hidden_dim, ffn_dim, expert_dim, active_experts_count, tensor_parallel
    )
    sampler = sampler_bytes(min(sequences_count, batched_tokens), vocab_size, logit_bytes)
    peak = max(layer, sampler) + vision_bytes
    return Interval(peak, peak // 2, layer + sampler + vision_bytes * 3 // 2 + 256 * MIB)


def non_torch_bytes(devices_count: int, is_unified: bool = False) -> Interval:
    """CUDA context and libraries, and NCCL with several GPUs.

    On unified memory the host's processes count, too: the profile run takes whatever vanished from the
    machine's free memory (MemorySnapshot on integrated GPUs). Three logs of a DGX Spark were 2.7 to
    6.1 GiB short of the claimed share (jethac/dgx-spark-hijinks, Gemma 4 26B and 12B).

    Logged: 0.16 GiB (H100) to 0.35 GiB (RTX 3090) on one GPU, 0.25 (2x RTX 4090) to 0.73 GiB
    (2x MI50) on two (vllm#12126, #10517, #13061, nlzy/vllm-gfx906#10).
    """
    if is_unified:
        return Interval(3584 * MIB, 1024 * MIB, 7168 * MIB)
    if devices_count == 1:
        return Interval(300 * MIB, 128 * MIB, 768 * MIB)
    return Interval(640 * MIB, 224 * MIB, 2560 * MIB)


def graph_bytes(
    layers_count: int, hidden_dim: int, largest_batch: int, graphs_count: int, devices_count: int = 1
) -> Interval:
    """CUDA graphs: graphs x layers x 0.1 MiB (0.33 MiB over several GPUs, whose graphs hold the reductions)
    + one shared pool of 16 bytes x largest batch x hidden.

    Fitted on what captures took: 0.28 to 0.66 GiB (Gemma 4 26B), 0.33 (12B), 1.2 (GLM-5.1 on eight GPUs),
    2.2 to 2.4 with draft tokens. vLLM's own estimates were 0.1 to 9 times that, so the bounds are wide.
    """
    if not graphs_count:
        return Interval(0, 0, 0)
    per_layer = MIB // 3 if devices_count > 1 else MIB // 10
    value = graphs_count * layers_count * per_layer + 16 * largest_batch * hidden_dim
    return Interval(value, value // 6, value * 5 // 2 + 256 * MIB)
