"""A checkpoint's tensors as whole matrices: experts stacked, packed words unpacked, scales left out.

A model read from safetensors headers names tensors as its files do; the converter dequantises and
stacks them before it gives them GGUF names (llama.cpp at 0c1e57098, conversion/base.py dequant_model
and the modify_tensors of every class with experts).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from plimsoll.domain.model import Model, TensorSpec

_BESIDE = re.compile(
    r"\.(qzeros|scales|g_idx|biases|weight_scale(_inv|_2)?|scale_inv|(input|output|[kv])_scale|weight_shape|"
    r"weight_zero_point|weight_g_idx|(weight|input)_global_scale|SCB|weight_format|suh|svh|mcg|mul1|"
    r"q_(invperm|perm|scale|scale_max|groups|group_map)|weight\.(absmax|quant_map|nested_\w+|quant_state\.\w+))$"
    r"|_proj_scales$"
)
_PACKED = re.compile(r"\.(qweight|weight_packed|q_weight|trellis)$")
_ONE_EXPERT = re.compile(r"^(.+\.experts)\.(\d+)\.(gate_proj|up_proj|down_proj|w1|w2|w3)\.weight$")
_USUAL = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
_SAME = (
    (".block_sparse_moe.input_linear.weight", ".block_sparse_moe.experts.gate_up_proj"),
    (".block_sparse_moe.output_linear.weight", ".block_sparse_moe.experts.down_proj"),
    (".block_sparse_moe.router.layer.weight", ".block_sparse_moe.router.weight"),
)


def whole_matrices(model: Model) -> Iterator[TensorSpec]:
    """The model's tensors without what stands beside quantised matrices, each expert stack once.

    Of separate experts the first stands for all: its shape gets the number of experts in front.
    """
    has_output = not model.has_tied_embeddings
    for tensor in model.tensors:
        if _BESIDE.search(tensor.name) or (tensor.role == "output" and not has_output):
            continue
        name = _PACKED.sub(".weight", tensor.name).removesuffix("_blocks")
        for seen, usual in _SAME:
            name = name.replace(seen, usual)
        found = _ONE_EXPERT.match(name)
        if found is None:
            is_turned = tensor.is_input_major and tensor.format != "mxfp4"
            yield replace(tensor, name=name, is_input_major=is_turned)
        elif found[2] == "0":
            count = _experts_count(model, tensor)
            yield replace(
                tensor, name=f"{found[1]}.{_USUAL.get(found[3], found[3])}", shape=(count, *tensor.shape),
                experts_count=count,
            )  # fmt: skip


def _experts_count(model: Model, tensor: TensorSpec) -> int:
    """Of the tensor's layer; draft layers have as many as the others."""
    if tensor.layer is not None and tensor.layer < len(model.layers):
        return model.layers[tensor.layer].experts_count
    return max(layer.experts_count for layer in model.layers)
