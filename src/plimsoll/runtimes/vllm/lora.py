"""The slots vLLM makes for LoRA adapters.

Source: vllm/lora/model_manager.py (_create_lora_modules: every linear layer, the mixture's experts and the
model's embedding_modules), vllm/lora/layers/*.py (create_lora_weights), vllm/config/lora.py, vLLM 0.33.0.
"""

from __future__ import annotations

from collections.abc import Iterable

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.model import Model, TensorSpec
from plimsoll.formulas import ranks
from plimsoll.formulas.adapters import grouped, vllm_rank

# model_type whose vLLM class (or its language model's) lists embed_tokens and lm_head in embedding_modules.
_WITH_EMBEDDINGS = frozenset({
    "apertus", "cohere", "cohere2", "exaone4", "falcon_h1", "gpt_neox", "granite", "granitemoehybrid",
    "hunyuan_v1_moe", "internlm3", "lfm2_moe", "llama", "llama4", "mixtral", "nemotron_h", "olmo2", "olmo3",
    "phi3", "phimoe", "qwen3", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_moe", "qwen3_vl",
    "qwen3_vl_moe", "seed_oss", "smollm3",
})  # fmt: skip
# Classes without the interface SupportsLoRA.
WITHOUT_LORA = frozenset({"falcon", "gemma3n", "kimi_k25", "mimo_v2_flash"})
# Classes with is_3d_moe_weight: gate and up of an expert share one A.
_FUSED_GATES = frozenset({"gpt_oss", "qwen3_vl_moe", "qwen3_5_moe"})
_ROLES = ("attention", "state", "ffn", "router", "shared_expert", "expert")
_ROW_PARALLEL = (".o_proj", ".down_proj", ".dense", ".out_proj", ".c_proj")
LARGEST_HEAD_TOKENS = 258_048


def max_rank(deployment: Deployment) -> int | None:
    """max_lora_rank: as set, else the smallest allowed one that holds every adapter; None above 512."""
    told = int(deployment.settings.get("max_lora_rank", 0))
    return told or vllm_rank(max((a.rank for a in deployment.adapters), default=1))


def slot_rows(
    model: Model, tensor_parallel: int = 1, *, is_expert_parallel: bool = False, pipeline_parallel: int = 1,
    stage: int = 0,
) -> list[list[int]]:  # fmt: skip
    """[count, inputs, outputs] of every matrix vLLM makes room for on one rank of a pipeline stage."""
    own = ranks.stages(len(model.layers), pipeline_parallel)[stage]
    ends = (stage == 0, stage == pipeline_parallel - 1)
    return grouped(_widths(model, tensor_parallel, is_expert_parallel, own, ends))


def _widths(
    model: Model, tensor_parallel: int, is_expert_parallel: bool, own: range, ends: tuple[bool, bool]
) -> Iterable[tuple[int, int]]:
    has_embeddings = model.architecture in _WITH_EMBEDDINGS
    for tensor in model.tensors:
        if (
            tensor.is_buffer
            or len(tensor.shape) < 2
            or (tensor.layer is not None and tensor.layer not in own)
        ):
            continue
        if tensor.role in ("embedding", "output"):
            # Neither the embedding's slots nor the head's are split over the ranks; a tied head has its own.
            is_twice = tensor.role == "embedding" and model.has_tied_embeddings
            places = (tensor.role == "embedding" and ends[0]) + (
                (tensor.role == "output" or is_twice) and ends[1]
            )
            for _ in range(places if has_embeddings else 0):
                yield tensor.shape[1], tensor.shape[0]
            continue
        if tensor.role not in _ROLES:
            continue
        if tensor.role == "expert":
            yield from _expert_widths(tensor, model, tensor_parallel, is_expert_parallel)
        elif not tensor.name.endswith("_bias"):
            yield _linear_widths(tensor, model, tensor_parallel)


def _linear_widths(tensor: TensorSpec, model: Model, tensor_parallel: int) -> tuple[int, int]:
    """Column-parallel layers split their outputs, row-parallel ones their inputs; the other side is whole."""
    out, width = tensor.shape[0], tensor.shape[-1]
    layer = (
        model.layers[tensor.layer] if tensor.layer is not None and tensor.layer < len(model.layers) else None
    )
    part, whole = ranks.share_of(tensor, layer, tensor_parallel, False)
    module = tensor.name.rpartition(".")[0]
    if module.endswith(_ROW_PARALLEL):
        return width * part // whole, out
    return width, out * part // whole


def _expert_widths(
    tensor: TensorSpec, model: Model, tensor_parallel: int, is_expert_parallel: bool
) -> Iterable[tuple[int, int]]:
    """A stack of experts: on each rank all experts with a share of their width, or a share of the experts."""
    leaf = tensor.name.removesuffix(".weight").rpartition(".")[2]
    if len(tensor.shape) == 2 and not tensor.experts_count:
        experts, rows, columns = 1, tensor.shape[0], tensor.shape[1]
    elif len(tensor.shape) == 3:
        experts, rows, columns = tensor.shape
    else:
        return
    if leaf.endswith(("_bias", "_scales", "_blocks")):
        return
    width, out = (rows, columns) if tensor.is_input_major else (columns, rows)
    share = 1 if is_expert_parallel else tensor_parallel
    experts = -(-experts // tensor_parallel) if is_expert_parallel else experts
    for _ in range(experts):
        if leaf in ("down_proj", "w2"):
            yield width // share, out
        elif leaf == "gate_up_proj" and model.architecture not in _FUSED_GATES:
            yield width, out // 2 // share
            yield width, out // 2 // share
        else:
            yield width, out // share
