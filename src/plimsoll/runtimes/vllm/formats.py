"""Formats vLLM runs. Sources: CacheDType in vllm/config/cache.py and the quantization
registry in vllm/model_executor/layers/quantization/__init__.py, vLLM 0.33.0."""

from __future__ import annotations

NATURAL_KV = "auto"
KV_FORMATS = ("auto", "bf16", "f16", "fp8", "fp8_e4m3", "fp8_e5m2")
SMALLER_KV = ("fp8",)
SMALLER_WEIGHTS = ("fp8", "awq")
