"""What one rank holds of a model's tensors under tensor, pipeline and expert parallelism (vLLM, SGLang).

Source: vllm/model_executor/layers/linear.py (column, row and QKV parallel), vocab_parallel_embedding.py
(vocabulary padded to 64), fused_moe/layer.py (experts), distributed/utils.py (get_pp_indices),
config/model.py (get_num_kv_heads, verify_with_parallel_config), vLLM 0.33.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from plimsoll.domain.model import LayerSpec, Model, TensorSpec
from plimsoll.formulas.quantisation import ceil_div

SPATIAL_ROPE = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "qwen3_6", "qwen3_8")
_LOCAL_ROPE = ("gemma3", "gemma4")
_VOCAB_PADDING = 64
_KV_NAME = re.compile(r"\.(k_proj|v_proj|k_norm|v_norm)\.")
_FUSED_QKV = re.compile(r"\.(qkv_proj|wqkv|query_key_value|Wqkv)\.")
_LATENT = re.compile(r"\.(q_a_proj|kv_a_proj_with_mqa|kv_a_proj|fused_qkv_a_proj|indexer|compressor)\b")
_WHOLE = re.compile(r"\.(shared_expert_gate|gate|router|e_score_correction_bias)\.")
_ROW_BIAS = re.compile(r"\.(o_proj|down_proj|dense|out_proj|c_proj)\.bias$")


def rank_bytes(groups: Mapping[str, int]) -> int:
    """Bytes of one rank's share of the tensor table, by 'role format' (the sum)."""
    return sum(groups.values())


def rope_table_bytes(positions_count: int, rotary_dim: int, value_bytes: int) -> int:
    """The cosine and sine table every rank keeps: positions x rotary dim x bytes per value.

    cos_sin_cache of rotary_embedding/base.py, counted by "Model loading took".
    """
    return positions_count * rotary_dim * value_bytes


def rope_table_inputs(model: Model) -> dict[str, int]:
    """Inputs of the rotary tables: one per distinct width, and per kind of layer where local layers turn
    with a frequency of their own (Gemma 3 and 4); four times the positions where they are
    three-dimensional (MRotaryEmbedding's cache_max_position_num)."""
    layers = [x for x in model.layers if x.attention != "none"]
    share = model.rope.rotated_share if model.rope else 0.0
    is_local = model.architecture.startswith(_LOCAL_ROPE)
    tables = {
        (
            x.rope_dim or (x.key_dim if is_local else int(x.key_dim * share)),
            is_local and x.attention == "sliding",
        )
        for x in layers
    }
    positions = (model.trained_context_tokens or 0) * (
        4 if model.architecture.startswith(SPATIAL_ROPE) else 1
    )
    return {"positions_count": positions, "rotary_dim": sum(d for d, _ in tables), "value_bytes": 2}


def stages(layers_count: int, pipeline_parallel: int) -> list[range]:
    """Layers per pipeline stage: even, the rest to the stages before the last, backwards (get_pp_indices)."""
    size, rest = divmod(layers_count, pipeline_parallel)
    counts = [size] * pipeline_parallel
    for i in range(2, rest + 2):
        counts[-i] += 1
    bounds = [sum(counts[:i]) for i in range(pipeline_parallel + 1)]
    return [range(bounds[i], bounds[i + 1]) for i in range(pipeline_parallel)]


def rank_groups(
    tensors: Iterable[TensorSpec], model: Model, *, tensor_parallel: int, pipeline_parallel: int, stage: int,
    is_expert_parallel: bool, has_vision: bool, has_mtp: bool,
) -> dict[str, int]:  # fmt: skip
    """'role format' -> bytes on a rank of one pipeline stage."""
    own = stages(len(model.layers), pipeline_parallel)[stage]
    first, last = stage == 0, stage == pipeline_parallel - 1
    groups: dict[str, int] = {}
    for tensor in tensors:
        if not _is_loaded(tensor, has_vision, has_mtp) or not _is_here(tensor, model, own, first, last):
            continue
        size = share_bytes(tensor, model, tensor_parallel, is_expert_parallel)
        key = f"{tensor.role} {tensor.format}"
        groups[key] = groups.get(key, 0) + size
    return groups


def _is_loaded(tensor: TensorSpec, has_vision: bool, has_mtp: bool) -> bool:
    if tensor.role in ("vision", "audio", "projector"):
        return has_vision
    return has_mtp if tensor.role == "mtp" else True


def _is_here(tensor: TensorSpec, model: Model, own: range, first: bool, last: bool) -> bool:
    if tensor.role == "mtp":
        return last
    if tensor.role == "embedding":
        return first or (last and model.has_tied_embeddings)
    if tensor.role in ("vision", "audio", "projector"):
        return first
    if tensor.role == "output" or (tensor.role == "norm" and tensor.layer is None):
        return last
    return tensor.layer is None or tensor.layer in own


def share_bytes(tensor: TensorSpec, model: Model, tensor_parallel: int, is_expert_parallel: bool) -> int:
    """Bytes of one tensor on one rank."""
    if tensor.role in ("embedding", "output") and len(tensor.shape) > 1:
        rows = tensor.shape[0]
        padded = ceil_div(rows, _VOCAB_PADDING) * _VOCAB_PADDING
        return ceil_div(padded, tensor_parallel) * (tensor.size_bytes // rows)
    if tensor_parallel == 1:
        return tensor.size_bytes
    layer = (
        model.layers[tensor.layer] if tensor.layer is not None and tensor.layer < len(model.layers) else None
    )
    part, whole = share_of(tensor, layer, tensor_parallel, is_expert_parallel)
    return tensor.size_bytes * part // whole


def share_of(
    tensor: TensorSpec, layer: LayerSpec | None, tensor_parallel: int, is_expert_parallel: bool
) -> tuple[int, int]:
    """The part of a tensor that a rank holds, as part and whole: (1, 1) when copied, (1, ranks) when split.

    K and V are copied once there are more ranks than KV heads; the latent projections of MLA, norms,
    routers, biases of row-parallel layers and everything a rank needs whole are copied.
    """
    copied, even = (1, 1), (1, tensor_parallel)
    name = tensor.name
    if tensor.role == "expert" and is_expert_parallel and layer is not None and layer.experts_count:
        return ceil_div(layer.experts_count, tensor_parallel), layer.experts_count
    if tensor.role in ("norm", "router") or _WHOLE.search(name) or _LATENT.search(name):
        return copied
    if _ROW_BIAS.search(name):
        return copied
    if tensor.role == "attention" and layer is not None and layer.kv_heads_count:
        kv_heads = max(1, layer.kv_heads_count // tensor_parallel)
        if _KV_NAME.search(name):
            return kv_heads, layer.kv_heads_count
        if _FUSED_QKV.search(name):
            queries = layer.query_heads_count * layer.key_dim
            pair = layer.key_dim + layer.value_dim
            return queries // tensor_parallel + kv_heads * pair, queries + layer.kv_heads_count * pair
    if tensor.role == "state" and "A_log" not in name and len(tensor.shape) == 1 and "norm" in name:
        return copied
    if tensor.role == "other":
        return copied
    return even
