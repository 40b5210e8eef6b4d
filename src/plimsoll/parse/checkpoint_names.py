"""What part of a model a tensor of a Transformers checkpoint is, told from its name."""

from __future__ import annotations

import re
from functools import cache

from plimsoll.domain.model import Role

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d{1,4})\.")
_DIGITS = re.compile(r"\d+")
_PROJECTORS = "multi_modal_projector|mm_projector|mlp1|connector|embed_vision|embed_audio|merger|vl_connector"
_GATE_ENDS = "weight|bias|wg|scale|per_expert_scale|e_score_correction_bias"
_TABLES = r"embed_tokens\w*|wte|wpe|tok_embeddings|word_embeddings|embed_in|embed_positions"
_RULES: tuple[tuple[str, Role], ...] = (
    (r"(^|\.)mtp(_|\.|$)|\.(eh_proj|enorm|hnorm|shared_head)\.", "mtp"),
    (rf"(^|\.)({_PROJECTORS})\.", "projector"),
    (r"(^|\.)(visual|vision_\w+|vit|image_\w+)\.", "vision"),
    (r"(^|\.)(audio_\w+|sound_\w+)\.", "audio"),
    (r"\.(shared_experts?|shared_mlp|share_expert|shared_expert_gate)\.", "shared_expert"),
    (r"\.experts\.", "expert"),
    (rf"\.(gate|router)(\.\w+)?\.({_GATE_ENDS})$|moe_statics|expert_bias$", "router"),
    (r"norm\w*\.(weight|bias)$|\.ln_\w+\.|\.ln\d?\.", "norm"),
    (rf"(^|\.)({_TABLES})\.", "embedding"),
    (r"(^|\.)(lm_head|embed_out)\.|^\.output\.", "output"),
    (r"\.(linear_attn|mamba|mixer|ssm|conv|short_conv)\.", "state"),
    (r"\.(\w*attn|\w*attention|attn\w*)\.", "attention"),
    (r"\.(mlp|feed_forward|ffn|block_sparse_moe|moe)\.", "ffn"),
)
_PARTS = tuple((re.compile(pattern), role) for pattern, role in _RULES)
OUTSIDE: frozenset[Role] = frozenset({"vision", "audio", "projector"})

# What stands beside a quantised matrix: scales, zero points, permutations. In the file, no parameters.
_BESIDE = re.compile(
    r"\.(qzeros|scales|g_idx|biases|weight_scale(_inv|_2)?|scale_inv|input_scale|output_scale|[kv]_scale|weight_shape|"
    r"weight_zero_point|weight_g_idx|weight_global_scale|input_global_scale|SCB|weight_format|suh|svh|mcg|mul1|"
    r"q_(invperm|perm|scale|scale_max|groups|group_map)|weight\.(absmax|quant_map|nested_\w+|quant_state\.\w+))$"
    r"|_proj_scales$|_proj_weight_scale(_inv)?$"
)
_MATRIX = re.compile(r"\.(qweight|weight_packed|q_weight|trellis|weight)$|(?<=_proj)_blocks$")


def layer_of(name: str) -> int | None:
    """The block a tensor belongs to, or None."""
    match = _LAYER.search(name)
    return int(match[1]) if match else None


def role_of(name: str) -> Role:
    """The role of a tensor."""
    return _role(_DIGITS.sub("0", f".{name}"))


@cache
def _role(dotted: str) -> Role:
    return next((role for pattern, role in _PARTS if pattern.search(dotted)), "other")


def is_beside_matrix(name: str) -> bool:
    """Whether this is a scale, zero point or the like of a quantised matrix."""
    return _BESIDE.search(name) is not None


def stem_of(name: str) -> str:
    """The name without what a quantiser appended: 'x.qweight' and 'x.weight' give 'x'."""
    return _MATRIX.sub("", name)
