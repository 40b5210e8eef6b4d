"""How PEFT turns adapters of older Transformers releases into those of Transformers 5.

Experts that used to be linear layers of their own are stacked parameters now. PEFT renames the targets in
the config and stacks the pairs, for some model types both, for some only the second.
Source: peft 0.21.2, utils/transformers_weight_conversion.py; transformers 5.23, conversion_mapping.py.
"""

from __future__ import annotations

import re

# model_type -> the style whose targets PEFT renames (_MODEL_TO_CONVERSION_PATTERN, with mixtral itself).
_MIXTRAL = ("mixtral", "minimax", "minimax_m2")
_QWEN2_MOE = (
    "afmoe", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1", "ernie4_5_moe", "glm4_moe",
    "glm4_moe_lite", "glm_moe_dsa", "glm4v_moe", "longcat_flash", "solar_open", "mellum", "qwen3_moe",
    "qwen3_omni_moe", "qwen3_omni_moe_thinker", "qwen3_omni_moe_text", "qwen3_next", "hunyuan_v1_moe",
    "flex_olmo", "olmoe", "exaone_moe", "cohere2_moe",
)  # fmt: skip
# old target -> the parameter it lives in now (_MOE_TARGET_MODULE_MAPPING).
_RENAMED_TARGETS = {
    "mixtral": {"gate": "gate.weight", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"},
    "qwen2_moe": {
        "gate": "gate.weight", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj",
        "down_proj": "down_proj",
    },
}  # fmt: skip
FUSED_TARGETS = {"mixtral": ("w1", "w3"), "qwen2_moe": ("gate_proj", "up_proj")}

# model types whose pairs are converted although their targets are not renamed.
_ALSO_CONVERTED = (
    "lfm2_moe", "qwen2_moe", "qwen3_vl_moe", "qwen3_5_moe_text", "mimo_v2_flash", "olmo_hybrid", "gemma3",
    "gemma4_unified", "granitemoehybrid", "phimoe", "mistral3", "kimi_linear", "nemotron_h", "laguna",
    "hy_v3", "bailing_hybrid", "aya_vision", "internvl", "llava",
)  # fmt: skip
_LANGUAGE_MODEL = (
    (r"^language_model\.lm_head", "lm_head"), (r"^language_model\.model", "model.language_model"),
    (r"^vision_tower", "model.vision_tower"), (r"^multi_modal_projector", "model.multi_modal_projector"),
)  # fmt: skip
_SPARSE = ((r"\.block_sparse_moe\.", ".mlp."),)
_FORGET = ((r"self_attn\.(f_[ab]_proj)\.", r"self_attn.forget_gate.\1."),)
_RENAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "mixtral": _SPARSE, "minimax": _SPARSE, "minimax_m2": _SPARSE, "kimi_linear": (*_SPARSE, *_FORGET),
    "phimoe": (*_SPARSE, (r"\.gate\.", ".router.")),
    "qwen3_5_moe_text": ((r"^model\.language_model\.", "model."),),
    "laguna": ((r"mlp\.shared_expert\.", "mlp.shared_experts."),),
    "hy_v3": ((r"mlp\.shared_mlp\.", "mlp.shared_experts."),),
    "nemotron_h": ((r"^backbone\.", "model."),),
    "gemma3": _LANGUAGE_MODEL, "mistral3": _LANGUAGE_MODEL, "llava": _LANGUAGE_MODEL,
    "internvl": _LANGUAGE_MODEL, "aya_vision": _LANGUAGE_MODEL,
}  # fmt: skip

# PEFT's targets where the config names none (TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING).
DEFAULT_TARGETS: dict[str, tuple[str, ...]] = {
    "gpt2": ("c_attn",), "bloom": ("query_key_value",), "gpt_neox": ("query_key_value",),
    "falcon": ("query_key_value",), "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    "nemotron_h": ("q_proj", "k_proj", "v_proj", "o_proj"),
    **dict.fromkeys(
        (
            "opt", "gptj", "gpt_neo", "llama", "llama4", "mistral", "mixtral", "gemma", "gemma2",
            "gemma3_text", "qwen2", "qwen3",
        ),
        ("q_proj", "v_proj"),
    ),
}  # fmt: skip


def style_of(architecture: str) -> str:
    """Whose old targets PEFT renames for this model_type; '' where it renames none."""
    return "mixtral" if architecture in _MIXTRAL else "qwen2_moe" if architecture in _QWEN2_MOE else ""


def renamed_targets(style: str) -> dict[str, str]:
    """Old target -> new parameter."""
    return _RENAMED_TARGETS[style]


def is_converted(architecture: str) -> bool:
    """Whether PEFT passes an adapter's tensors through a conversion for this model_type."""
    return bool(style_of(architecture)) or architecture in _ALSO_CONVERTED


def renamed(architecture: str, name: str) -> str:
    """A tensor's name (without PEFT's prefix) as Transformers 5 would have it."""
    for pattern, new in _RENAMES.get(architecture, ()):
        name = re.sub(pattern, new, name)
    return name
