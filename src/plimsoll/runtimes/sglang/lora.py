"""SGLang's pool of LoRA adapters.

Source: srt/lora/mem_pool.py (init_buffers), srt/lora/utils.py (get_hidden_dim,
get_normalized_target_modules),
SGLang 0.5.9: every layer gets a buffer for every target module, with the widths of the config.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.model import Model
from plimsoll.formulas.adapters import grouped

# A target and those that share its buffer.
_PACKED = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate_up", "up_proj": "gate_up"}
_STACKS = {"qkv": ("q_proj", "k_proj", "v_proj"), "gate_up": ("gate_proj", "up_proj")}
KNOWN_TARGETS = frozenset({*_PACKED, "o_proj", "down_proj", "embed_tokens", "lm_head"})
_ROW_PARALLEL = ("o_proj", "down_proj")
_OUTSIDE = ("embed_tokens", "lm_head")


def pool_inputs(deployment: Deployment, tensor_parallel: int, slots_count: int) -> dict[str, Any]:
    """Inputs of `slots_bytes`: slots of the largest rank for the union of the adapters' targets."""
    targets = {t for a in deployment.adapters for t in a.targets}
    rank = max(a.rank for a in deployment.adapters)
    return {
        "rows": pool_rows(deployment.model, targets, tensor_parallel),
        "rank": int(deployment.settings.get("max_lora_rank", 0)) or rank,
        "slots_count": max(slots_count, 1),
        "value_bytes": 4 if deployment.weight_format in ("f32", "fp32", "float32") else 2,
    }


def pool_rows(model: Model, targets: Iterable[str], tensor_parallel: int = 1) -> list[list[int]]:
    """[count, inputs, outputs] of the buffers, as often as there are layers; targets SGLang has no widths
    for are left out."""
    layers = len(model.layers)
    stacks = {_PACKED.get(t, t) for t in targets if t in KNOWN_TARGETS}
    members = sorted({m for s in stacks for m in _STACKS.get(s, (s,))})
    found: list[tuple[int, int]] = []
    for name in members:
        shape = _width(model, name)
        if shape is None:
            continue
        out, width = shape
        if name in _OUTSIDE:
            found.append((width, out))
        elif name in _ROW_PARALLEL:
            found += [(width // tensor_parallel, out)] * layers
        else:
            found += [(width, out // tensor_parallel)] * layers
    return grouped(found)


def _width(model: Model, name: str) -> tuple[int, int] | None:
    """(out, in) of the first matrix of that name; SGLang takes one width for all layers."""
    if name == "lm_head" and model.has_tied_embeddings:
        return model.vocab_size, model.hidden_dim
    for tensor in model.tensors:
        is_named = tensor.name.endswith(f".{name}.weight") or tensor.name == f"{name}.weight"
        is_matrix = len(tensor.shape) == 2 and tensor.role not in ("expert", "vision", "audio", "projector")
        if is_named and is_matrix:
            return tensor.shape[0], tensor.shape[1]
    return None
