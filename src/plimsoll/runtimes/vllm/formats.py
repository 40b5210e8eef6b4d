"""Formats vLLM runs. Sources: CacheDType in vllm/config/cache.py and the quantization
registry in vllm/model_executor/layers/quantization/__init__.py, vLLM 0.33.0."""

from __future__ import annotations

NATURAL_KV = "auto"
KV_FORMATS = (
    "auto", "bf16", "f16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_ds_mla", "nvfp4", "int8_per_token_head",
    "fp8_per_token_head", "int4_per_token_head", "turboquant_k8v4", "turboquant_4bit_nc",
    "turboquant_k3v4_nc", "turboquant_3bit_nc",
)  # fmt: skip
SMALLER_KV = ("fp8",)
SMALLER_WEIGHTS = ("fp8", "awq", "nvfp4")
# The release whose rules apply when no version is named.
RULES_OF = "0.33.0"
