"""One small file per model family: `model_type` -> layers and tensors.

A family module defines `build(keys: Keys) -> Layout`. `FAMILIES` maps every known `model_type`
to the module that builds it; a module is imported only when its model is asked for.
"""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "apertus": "apertus",
    "cohere": "cohere",
    "cohere2": "cohere2",
    "deepseek_v2": "deepseek_v2",
    "deepseek_v3": "deepseek_v3",
    "deepseek_v32": "deepseek_v32",
    "ernie4_5_moe": "ernie4_5_moe",
    "exaone4": "exaone4",
    "falcon": "falcon",
    "gemma2": "gemma2",
    "glm4": "glm4",
    "glm4_moe": "glm4_moe",
    "glm4_moe_lite": "glm4_moe_lite",
    "glm_moe_dsa": "glm_moe_dsa",
    "gpt_neox": "gpt_neox",
    "gpt_oss": "gpt_oss",
    "granite": "granite",
    "hunyuan_v1_moe": "hunyuan_v1_moe",
    "hy_v3": "hy_v3",
    "internlm2": "internlm2",
    "internlm3": "internlm3",
    "kimi_k2": "deepseek_v3",
    "llama": "llama",
    "minimax_m2": "minimax_m2",
    "ministral3": "mistral",
    "mistral": "mistral",
    "mixtral": "mixtral",
    "olmo2": "olmo2",
    "olmo3": "olmo2",
    "olmo_hybrid": "olmo_hybrid",
    "olmoe": "olmoe",
    "phi3": "phi3",
    "phimoe": "phimoe",
    "qwen2": "qwen2",
    "qwen2_moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3_5": "qwen3_5",
    "qwen3_5_moe": "qwen3_5",
    "qwen3_5_moe_text": "qwen3_5",
    "qwen3_5_text": "qwen3_5",
    "qwen3_moe": "qwen3_moe",
    "qwen3_next": "qwen3_next",
    "seed_oss": "seed_oss",
    "smollm3": "smollm3",
}
