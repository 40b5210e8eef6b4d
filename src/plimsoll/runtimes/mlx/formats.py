"""Formats mlx-lm runs: grouped 2/3/4/5/6/8-bit weights, quantised cache by --kv-bits."""

from __future__ import annotations

NATURAL_KV = "auto"
KV_FORMATS = ("auto", "bf16", "f16", "q8", "q4")
SMALLER_KV = ("q8", "q4")
SMALLER_WEIGHTS = ("mlx-8bit", "mlx-6bit", "mlx-4bit")
# Its sources were read without a release number.
RULES_OF = "unnumbered"
