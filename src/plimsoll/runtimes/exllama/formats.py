"""Formats ExLlamaV3 runs: EXL3 weights at any bits per weight, caches of 2 to 8 bits."""

from __future__ import annotations

NATURAL_KV = "f16"
KV_FORMATS = ("f16", "q8", "q6", "q5", "q4", "q3", "q2")
SMALLER_KV = ("q8", "q4")
SMALLER_WEIGHTS = ("exl3-6.0bpw", "exl3-4.0bpw", "exl3-3.0bpw")
# Its sources were read without a release number.
RULES_OF = "unnumbered"
