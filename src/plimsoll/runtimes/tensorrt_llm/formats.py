"""Formats TensorRT-LLM runs."""

from __future__ import annotations

NATURAL_KV = "auto"
KV_FORMATS = ("auto", "bf16", "f16", "fp8", "int8", "nvfp4")
SMALLER_KV = ("fp8",)
SMALLER_WEIGHTS = ("fp8", "awq")
# Its sources were read without a release number.
RULES_OF = "unnumbered"
