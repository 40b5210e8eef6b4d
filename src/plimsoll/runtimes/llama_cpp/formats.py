"""Formats llama.cpp runs, from what people type to what it does.

Sources: `--cache-type-k` values in common/arg.cpp (kv_cache_types) and the ftype list in
tools/quantize/quantize.cpp of ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

NATURAL_KV = "f16"
KV_FORMATS = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
SMALLER_KV = ("q8_0", "q4_0")
SMALLER_WEIGHTS = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_xs", "q3_k_m", "q2_k")
# The release whose rules apply when no version is named.
RULES_OF = "b11549"
