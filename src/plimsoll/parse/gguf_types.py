"""Numbers that GGUF files carry for tensor types and recipes, and the names we give them.

Tensor types: enum ggml_type in ggml/include/ggml.h of llama.cpp; from 133 on those of ik_llama.cpp
(same file there, at 8337e4c), which mainline llama.cpp cannot load. Recipes: enum llama_ftype in
include/llama.h, from 135 on of ik_llama.cpp.
"""

from __future__ import annotations

TYPE_NAMES: dict[int, str] = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 9: "q8_1",
    10: "q2_k", 11: "q3_k", 12: "q4_k", 13: "q5_k", 14: "q6_k", 15: "q8_k",
    16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl", 21: "iq3_s", 22: "iq2_s",
    23: "iq4_xs", 24: "i8", 25: "i16", 26: "i32", 27: "i64", 28: "f64", 29: "iq1_m", 30: "bf16",
    34: "tq1_0", 35: "tq2_0", 39: "mxfp4", 40: "nvfp4", 41: "q1_0", 42: "q2_0",
    133: "q6_0", 134: "iq1_bn", 135: "iq2_bn", 137: "iq2_k", 138: "iq3_k", 139: "iq4_k", 140: "iq5_k",
    141: "iq6_k", 144: "iq4_ks", 145: "iq2_ks", 146: "iq4_kss", 151: "q8_kv", 152: "iq5_ks", 153: "iq2_kt",
    154: "iq3_kt", 155: "iq4_kt", 156: "iq3_ks", 157: "iq2_kl", 158: "iq1_kt",
}  # fmt: skip
IK_TYPES = frozenset(name for number, name in TYPE_NAMES.items() if number >= 133)

RECIPE_NAMES: dict[int, str] = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k",
    11: "q3_k_s", 12: "q3_k_m", 13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m",
    18: "q6_k", 19: "iq2_xxs", 20: "iq2_xs", 21: "q2_k_s", 22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s",
    25: "iq4_nl", 26: "iq3_s", 27: "iq3_m", 28: "iq2_s", 29: "iq2_m", 30: "iq4_xs", 31: "iq1_m",
    32: "bf16", 36: "tq1_0", 37: "tq2_0", 38: "mxfp4_moe", 39: "nvfp4", 40: "q1_0", 41: "q2_0",
    135: "q6_0", 136: "iq1_bn", 137: "iq2_bn", 138: "iq2_k", 139: "iq3_k", 140: "iq4_k", 141: "iq5_k",
    142: "iq6_k", 145: "iq4_ks", 146: "iq3_kl", 147: "iq2_ks", 148: "iq4_kss", 149: "q8_kv", 150: "iq5_ks",
    151: "iq2_kt", 152: "iq3_kt", 153: "iq4_kt", 154: "iq3_ks", 155: "iq2_kl", 156: "iq1_kt",
}  # fmt: skip
