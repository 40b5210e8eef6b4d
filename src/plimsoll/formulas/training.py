"""What a training run keeps in memory, and the arithmetic of a token. One number per function.

Read in the autograd graphs of Transformers 5.24 and PEFT 0.21.2 on PyTorch 2.13 (bench/training_run.py prints
formula and graph side by side). Korthikanti et al. 2022 (arXiv 2205.05198) count one fixed block: 16-bit
norms
and dropouts everywhere; today's blocks differ in what they keep, so each module is counted by itself here.
"""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.bill import Interval

_NF4_BLOCK = 64
_NF4_SCALES_BLOCK = 256
_EIGHT_BIT_BLOCK = 256


def plain_bytes(values_count: int, value_bytes: int) -> int:
    """Weights in a plain type: values x bytes."""
    return values_count * value_bytes


def nf4_bytes(values_count: int) -> int:
    """bitsandbytes NF4 with doubly quantised scales: half a byte a value, one byte per 64 values for the
    scale, 4 bytes per 256 scales. Source: Dettmers et al. 2023 (arXiv 2305.14314), section 3; bitsandbytes
    0.50.2, functional.quantize_4bit (blocksize 64, compress_statistics: blocksize 256)."""
    scales = -(-values_count // _NF4_BLOCK)
    return -(-values_count // 2) + scales + 4 * -(-scales // _NF4_SCALES_BLOCK)


def int8_bytes(values_count: int, rows_count: int) -> int:
    """bitsandbytes LLM.int8: a byte a value, a float per row of the matrix (Linear8bitLt, CB and SCB)."""
    return values_count + 4 * rows_count


def kept_bytes(kept: str, values_count: int, rows_count: int, value_bytes: int) -> int:
    """Bytes of values in one of the ways they are kept."""
    if kept == "nf4":
        return nf4_bytes(values_count)
    if kept == "int8":
        return int8_bytes(values_count, rows_count)
    return plain_bytes(values_count, 4 if kept == "f32" else value_bytes)


def gradient_bytes(values_count: int, value_bytes: int) -> int:
    """Gradients: one value per trained value, in the parameter's own type (`param.grad`)."""
    return values_count * value_bytes


def adam_bytes(values_count: int, value_bytes: int) -> int:
    """Both moments of Adam in the parameter's type (torch.optim.AdamW: zeros_like): 2 x values x bytes."""
    return 2 * values_count * value_bytes


def adam8_bytes(values_count: int) -> int:
    """Adam's moments in 8 bits with a float per 256 values: 2 x (values + 4 x values / 256).

    Source: bitsandbytes 0.50.2, optim/optimizer.py (Optimizer2State: block_wise, blocksize 256)."""
    return 2 * (values_count + 4 * -(-values_count // _EIGHT_BIT_BLOCK))


def momentum_bytes(values_count: int, value_bytes: int) -> int:
    """One moment (Muon, Lion, SGD with momentum): values x bytes."""
    return values_count * value_bytes


def adafactor_bytes(rows: Sequence[Sequence[int]]) -> int:
    """Adafactor without momentum: a float per row and per column of each matrix.

    rows = [[count, outputs, inputs], ...]. Source: transformers 5.24, optimization.py (Adafactor:
    factored)."""
    return sum(4 * n * (out + width) for n, out, width in rows)


def master_bytes(values_count: int, copies_bytes: int) -> int:
    """What a mixed-precision optimiser keeps in f32 besides 16-bit weights: values x bytes.

    DeepSpeed's ZeRO (zero/stage_1_and_2.py, single_partition_of_fp32_groups): 4; Megatron-LM's distributed
    optimiser (optimizer/distrib_optimizer.py): 4, and 4 for its f32 gradients (grad_data of the buffers)."""
    return values_count * copies_bytes


def step_bytes(values_count: int, value_bytes: int) -> int:
    """torch's default foreach AdamW builds a list of intermediates as large as the trained values
    (torch/optim/adam.py, _multi_tensor_adam: exp_avg_sq_sqrt); fused and 8-bit optimisers build none."""
    return values_count * value_bytes


def norm_saved_bytes(width: int, rows_count: int, value_bytes: int, is_trained: bool) -> int:
    """RMSNorm per token: the f32 copy of its input and a float per row; with a trained weight also the
    normalised input in the activations' type. `value_bytes` 4: the input is f32 already, nothing is copied.

    Source: LlamaRMSNorm.forward of transformers 5.24: hidden.to(float32), pow, mean, rsqrt, weight *
    hidden."""
    copied = 4 * width if value_bytes < 4 else 0
    return copied + 4 * rows_count + (value_bytes * width if is_trained else 0)


def attention_saved_bytes(
    query_values: int,
    key_values: int,
    value_values: int,
    result_values: int,
    heads_count: int,
    value_bytes: int,
) -> int:
    """A fused attention kernel per token: query, key, value and result, and a float per head (logsumexp).

    Source: torch's derivatives of _scaled_dot_product_flash_attention; FlashAttention-2 (arXiv
    2307.08691)."""
    return value_bytes * (query_values + key_values + value_values + result_values) + 4 * heads_count


def scores_saved_bytes(heads_count: int, keys_count: int, value_bytes: int) -> int:
    """Attention written out, per token: the softmax in f32 and its copy in the activations' type for every
    key. Source: eager_attention_forward of transformers 5.24 (softmax(dtype=float32).to(query.dtype))."""
    return heads_count * keys_count * (4 + value_bytes)


def gated_saved_bytes(width: int, value_bytes: int) -> int:
    """SwiGLU per token: gate, its activation, and up: 3 x width x bytes (LlamaMLP.forward)."""
    return 3 * width * value_bytes


def experts_saved_bytes(
    active_count: int, hidden_dim: int, expert_dim: int, experts_count: int, value_bytes: int
) -> int:
    """Routed experts per token: active x (gate, activation and up of an expert, and its result, which the
    routing weight multiplies); the router's softmax in f32 and the indices (8 bytes each).

    Source: grouped_mm_experts_forward of transformers 5.24, integrations/moe.py."""
    one = value_bytes * (3 * expert_dim + hidden_dim)
    return active_count * (one + 8 * 4 + 4 + value_bytes) + 4 * (experts_count + 1)


def inputs_saved_bytes(values_count: int, value_bytes: int) -> int:
    """Inputs that linear layers keep for the gradient of trained weights, per token: values x bytes."""
    return values_count * value_bytes


def dora_saved_bytes(output_values: int, value_bytes: int, adapter_bytes: int) -> int:
    """DoRA per token: the frozen layer's result and the low-rank result, both scaled by magnitudes that
    train: outputs x (bytes + bytes of the adapter). Source: peft 0.21.2, tuners/lora/dora.py (forward)."""
    return output_values * (value_bytes + adapter_bytes)


def folded_saved_bytes(rows: Sequence[Sequence[int]], value_bytes: int) -> int:
    """PEFT's target_parameters: the adapted stack of experts is built as a whole, weight + B x A, and kept
    for the gradient: sum of count x experts x outputs x inputs x bytes, for one layer.

    rows = [[count, experts, outputs, inputs], ...]. Source: peft 0.21.2, lora/layer.py
    (_LoraFactorsProxy)."""
    return value_bytes * sum(n * experts * out * width for n, experts, out, width in rows)


def layer_inputs_bytes(tokens_count: int, layers_count: int, hidden_dim: int, value_bytes: int) -> int:
    """Gradient checkpointing keeps each layer's input: tokens x layers x hidden x bytes (Chen et al. 2016,
    arXiv 1604.06174; GradientCheckpointingLayer of transformers)."""
    return tokens_count * layers_count * hidden_dim * value_bytes


def saved_bytes(tokens_count: int, rows: Sequence[Sequence[int]], held_bytes: int = 0) -> int:
    """What layers keep for their gradients: tokens x sum of layers x bytes per token, and what does not
    depend on tokens. rows = [[layers, bytes per token], ...]."""
    return tokens_count * sum(n * size for n, size in rows) + held_bytes


def backward_bytes(tokens_count: int, widest_values: int, value_bytes: int) -> int:
    """Gradients alive while one layer runs backwards: two of its widest result, tokens x width x bytes x
    2."""
    return 2 * tokens_count * widest_values * value_bytes


def loss_bytes(tokens_count: int, vocab_size: int) -> int:
    """Cross entropy over all logits at its peak: log-softmax, gradient of the chosen logits and gradient of
    all, each in f32: tokens x vocabulary x 12. Source: transformers 5.24, loss/loss_utils.py
    (ForCausalLMLoss: logits.float()); torch's nll_loss_backward and _log_softmax_backward_data."""
    return 12 * tokens_count * vocab_size


def kept_logits_bytes(tokens_count: int, vocab_size: int, value_bytes: int) -> int:
    """Logits that a training loop still refers to while it runs backwards: tokens x vocabulary x bytes."""
    return tokens_count * vocab_size * value_bytes


def chunked_loss_bytes(tokens_count: int, hidden_dim: int, value_bytes: int) -> int:
    """Cross entropy in chunks of about tokens x hidden / vocabulary rows: one chunk of logits (16 bits, f32
    and its gradient) is as large as the hidden states; the gradient of the hidden states is kept besides.

    tokens x hidden x (bytes + 8 + bytes). Source: Liger Kernel 0.8.5, ops/fused_linear_cross_entropy.py."""
    return tokens_count * hidden_dim * (2 * value_bytes + 8)


def vocab_parallel_loss_bytes(tokens_count: int, vocab_size: int) -> int:
    """Megatron's cross entropy at its peak: logits in 16 bits and their f32 copy, which becomes the softmax
    in place, later that softmax and the gradient in 16 bits: tokens x vocabulary of one rank x 6.

    Source: megatron-core 0.16.1, fusions/fused_cross_entropy.py and tensor_parallel/cross_entropy.py."""
    return 6 * tokens_count * vocab_size


def dequantised_bytes(largest_values: int, value_bytes: int) -> int:
    """4-bit and 8-bit weights are unpacked one matrix at a time: largest matrix x bytes (bitsandbytes 0.50.2,
    autograd/_functions.py, MatMul4Bit: dequantize_4bit in forward and again in backward)."""
    return largest_values * value_bytes


def gathered_bytes(values_count: int, value_bytes: int) -> int:
    """ZeRO-3 and FSDP gather a layer before it runs, and the next one ahead of it: 2 x values x bytes."""
    return 2 * values_count * value_bytes


def fragments_bytes(allocated_bytes: int, share: float, low: float, high: float) -> Interval:
    """What PyTorch's allocator holds beyond what lives: allocated x share, learnt from measured peaks."""
    return Interval(
        round(allocated_bytes * share), round(allocated_bytes * low), round(allocated_bytes * high)
    )


def context_bytes(typical_bytes: int, low_bytes: int, high_bytes: int) -> Interval:
    """Driver context, kernels, cuBLAS workspaces, and communication buffers where there are several cards."""
    return Interval(typical_bytes, low_bytes, high_bytes)


def attention_flops(tokens_count: int, query_values: int, value_values: int) -> int:
    """Scores and weighted values of causal attention, forward, per token of a sequence: half of 2 x tokens x
    (query + value) operations (FlashAttention-2, arXiv 2307.08691, section 4.1)."""
    return tokens_count * (query_values + value_values)


def token_flops(active_values: int, trained_values: int, attention: int, is_recomputed: bool) -> int:
    """Operations of one trained token: forward 2 x active, backward 2 x active for the activations and 2 x
    trained (those active) for the weights; with checkpointing the forward once more; attention's own
    forward once more each time and 2.5 times backwards.

    Source: Kaplan et al. 2020 (arXiv 2001.08361) 2.1; Korthikanti et al. 2022 (arXiv 2205.05198) appendix A;
    FlashAttention-2 section 4.1 (backward = 2.5 x forward)."""
    forwards = 2 if is_recomputed else 1
    return (
        forwards * (2 * active_values + attention)
        + 2 * active_values
        + 2 * trained_values
        + 5 * attention // 2
    )


def training_seconds(
    tokens_count: int,
    flops_per_token: int,
    flops_per_s: float,
    devices_count: int,
    low: float,
    value: float,
    high: float,
) -> tuple[float, float, float]:
    """Tokens x operations / (devices x operations per second x share reached), for three shares."""
    work = tokens_count * flops_per_token / (devices_count * flops_per_s)
    return work / value, work / high, work / low


def safetensors_bytes(header_bytes: int, tensors_bytes: int) -> int:
    """A safetensors file: 8 bytes of length, the header padded to a multiple of 8, the tensors."""
    return 8 + -(-header_bytes // 8) * 8 + tensors_bytes
