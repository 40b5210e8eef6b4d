"""Formats Transformers runs with its DynamicCache."""

from __future__ import annotations

NATURAL_KV = "auto"
KV_FORMATS = ("auto", "bf16", "f16", "f32")
SMALLER_KV = ()
SMALLER_WEIGHTS = ("bnb_int8", "bnb_nf4")
# The release whose rules apply when no version is named.
RULES_OF = "5.23.0"
