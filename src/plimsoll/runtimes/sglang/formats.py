"""Formats SGLang runs. Source: --kv-cache-dtype in sglang/srt/server_args.py, SGLang 0.5.9."""

from __future__ import annotations

NATURAL_KV = "auto"
KV_FORMATS = ("auto", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1")
SMALLER_KV = ("fp8_e4m3",)
SMALLER_WEIGHTS = ("fp8", "awq")
# The release whose rules apply when no version is named.
RULES_OF = "0.5.9"
