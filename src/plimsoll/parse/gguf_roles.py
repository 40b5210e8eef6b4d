"""What part of a model a GGUF tensor is, told from its name (src/llama-arch.cpp, LLM_TENSOR_NAMES)."""

from __future__ import annotations

import re

from plimsoll.domain.model import Role

_BLOCK = re.compile(r"(?:(?:enc|dec)\.)?blk\.(\d{1,4})\.(.+)")
_ONE_EXPERT = re.compile(r"ffn_(?:gate|up|down)\.\d+\.")
_BUFFERS = (
    "rope_freqs.", "rope_factors_long.", "rope_factors_short.", "attn_rot_embd.", "ffn_gate_tid2eid",
    "masked_embd_ordering", "d2t", "exp_probs_b",
)  # fmt: skip
_WHOLE: tuple[tuple[str, Role], ...] = (
    ("token_embd_norm", "norm"), ("token_embd", "embedding"), ("per_layer_token_embd", "embedding"),
    ("position_embd", "embedding"), ("token_types", "embedding"), ("output_norm", "norm"),
    ("output_res_score", "other"), ("output_hc_", "other"), ("output", "output"), ("rope_f", "other"),
    ("nextn.", "mtp"), ("v.", "vision"), ("a.", "audio"), ("mm.", "projector"), ("cls", "output"),
    ("enc.output_norm", "norm"), ("dec.output_norm", "norm"), ("per_layer_proj_norm", "norm"),
)  # fmt: skip
_IN_BLOCK: tuple[tuple[str, Role], ...] = (
    ("nextn.", "mtp"), ("vis_", "vision"),
    ("ffn_gate_inp_shexp", "shared_expert"), ("ffn_gate_inp", "router"), ("exp_probs_b", "router"),
    ("ffn_gate_tid2eid", "router"), ("ffn_norm_exps", "norm"), ("ffn_routed_norm", "norm"),
    ("ffn_latent", "ffn"), ("ffn_res_score", "other"), ("attn_res_score", "other"),
    ("ssm_norm", "state"), ("ssm_", "state"), ("shortconv.", "state"), ("time_mix", "state"),
    ("channel_mix", "ffn"), ("indexer", "attention"), ("attn_rot_embd", "other"),
)  # fmt: skip


def block_of(name: str) -> int | None:
    """The block a tensor belongs to, or None."""
    match = _BLOCK.match(name)
    return int(match[1]) if match else None


def role_of(name: str, trunk_count: int) -> Role:
    """The role of a tensor; blocks from `trunk_count` on belong to the draft head."""
    match = _BLOCK.match(name)
    if match is None:
        return _first(_WHOLE, name) or "other"
    if int(match[1]) >= trunk_count:
        return "mtp"
    part = match[2]
    role = _first(_IN_BLOCK, part)
    if role:
        return role
    stem = part.rsplit(".", 1)[0]
    if "_exps" in part or "_chexps" in part or _ONE_EXPERT.match(part):
        return "expert"
    if "_shexp" in part:
        return "shared_expert"
    if stem.endswith("norm") or "norm" in stem.split("_") or stem.endswith(("norm_1", "norm_2")):
        return "norm"
    if part.startswith(("attn_", "cross_attn_")):
        return "attention"
    return "ffn" if part.startswith("ffn") else "other"


def is_buffer(name: str) -> bool:
    """Tables and balancing biases that Transformers registers as buffers: in the file, but no parameters."""
    part = name.split(".", 2)[2] if name.startswith("blk.") and name.count(".") > 1 else name
    return part.startswith(_BUFFERS)


def _first(table: tuple[tuple[str, Role], ...], name: str) -> Role | None:
    return next((role for start, role in table if name.startswith(start)), None)
