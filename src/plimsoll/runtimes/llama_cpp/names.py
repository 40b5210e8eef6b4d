"""How llama.cpp names things: Transformers' module paths -> GGUF tensor names, as data.

Source: llama.cpp at 0c1e57098, gguf-py/gguf/tensor_mapping.py (names), gguf-py/gguf/constants.py
(architectures) and conversion/*.py (which names a converter changes before it maps them).
"""

from __future__ import annotations

# model_type of config.json -> general.architecture of the GGUF
ARCHITECTURES: dict[str, str] = {
    "llama": "llama", "mistral": "llama", "mixtral": "llama", "internlm3": "llama", "smollm3": "smollm3",
    "qwen2": "qwen2", "qwen2_moe": "qwen2moe", "qwen3": "qwen3", "qwen3_moe": "qwen3moe",
    "qwen2_vl": "qwen2vl", "qwen2_5_vl": "qwen2vl", "qwen2_vl_text": "qwen2vl", "qwen2_5_vl_text": "qwen2vl",
    "qwen3_vl": "qwen3vl", "qwen3_vl_text": "qwen3vl", "qwen3_vl_moe": "qwen3vlmoe",
    "qwen3_vl_moe_text": "qwen3vlmoe", "qwen3_next": "qwen3next",
    "qwen3_5": "qwen35", "qwen3_5_text": "qwen35", "qwen3_5_moe": "qwen35moe",
    "qwen3_5_moe_text": "qwen35moe",
    "gpt_oss": "gpt-oss", "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3", "gemma3_text": "gemma3",
    "gemma3n": "gemma3n", "gemma3n_text": "gemma3n", "gemma4": "gemma4", "gemma4_text": "gemma4",
    "gemma4_unified": "gemma4", "gemma4_unified_text": "gemma4",
    "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "kimi_k2": "deepseek2", "kimi_k25": "deepseek2",
    "glm4_moe_lite": "deepseek2", "deepseek_v32": "deepseek32", "glm_moe_dsa": "glm-dsa",
    "deepseek": "deepseek", "glm4": "glm4", "glm4_moe": "glm4moe", "glm4v_moe": "glm4moe",
    "solar_open": "glm4moe",
    "minimax_m2": "minimax-m2", "phi3": "phi3", "phimoe": "phimoe", "cohere": "command-r",
    "cohere2": "cohere2",
    "granite": "granite", "granitemoe": "granitemoe", "granitemoeshared": "granitemoe",
    "granitemoehybrid": "granitehybrid", "nemotron_h": "nemotron_h", "falcon_h1": "falcon-h1",
    "olmo2": "olmo2", "olmo3": "olmo2", "olmoe": "olmoe", "llama4": "llama4", "llama4_text": "llama4",
    "gpt_neox": "gptneox", "internlm2": "internlm2", "ernie4_5": "ernie4_5", "ernie4_5_moe": "ernie4_5-moe",
    "hunyuan_v1_dense": "hunyuan-dense", "hunyuan_v1_moe": "hunyuan-moe", "hy_v3": "hy_v3",
    "seed_oss": "seed_oss", "lfm2": "lfm2", "lfm2_moe": "lfm2moe", "exaone4": "exaone4",
    "exaone_moe": "exaone-moe", "apertus": "apertus", "falcon": "falcon", "mistral3": "mistral3",
    "ministral3": "mistral3", "laguna": "laguna", "afmoe": "afmoe",
}  # fmt: skip

# outside of the layers
TOP: dict[str, str] = {
    "embed_tokens": "token_embd", "embeddings": "token_embd", "embed_in": "token_embd",
    "tok_embeddings": "token_embd", "word_embeddings": "token_embd",
    "lm_head": "output", "output": "output", "embed_out": "output",
    "norm": "output_norm", "norm_f": "output_norm", "final_layernorm": "output_norm",
    "final_layer_norm": "output_norm", "ln_f": "output_norm", "embedding_norm": "output_norm",
    "embed_tokens_per_layer": "per_layer_token_embd", "per_layer_model_projection": "per_layer_model_proj",
    "per_layer_projection_norm": "per_layer_proj_norm",
}  # fmt: skip

_ATTENTION = {
    "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
    "out_proj": "attn_output", "dense": "attn_output", "qkv_proj": "attn_qkv", "query_key_value": "attn_qkv",
    "q_norm": "attn_q_norm", "k_norm": "attn_k_norm", "q_layernorm": "attn_q_norm",
    "k_layernorm": "attn_k_norm", "query_layernorm": "attn_q_norm", "key_layernorm": "attn_k_norm",
    "q_a_proj": "attn_q_a", "q_b_proj": "attn_q_b", "kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "q_a_layernorm": "attn_q_a_norm", "kv_a_layernorm": "attn_kv_a_norm", "sinks": "attn_sinks.weight",
    "wo": "attn_output", "g_proj": "attn_gate", "gate_proj": "attn_gate",
    "indexer.wq_b": "indexer.attn_q_b", "indexer.wk": "indexer.attn_k", "indexer.k_norm": "indexer.k_norm",
    "indexer.weights_proj": "indexer.proj",
}  # fmt: skip
_FEED_FORWARD = {
    "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down", "gate_up_proj": "ffn_up",
    "dense_h_to_4h": "ffn_up", "dense_4h_to_h": "ffn_down", "w1": "ffn_gate",
    "w3": "ffn_up", "w2": "ffn_down",
    "gate": "ffn_gate_inp", "router": "ffn_gate_inp", "router.gate": "ffn_gate_inp",
    "gate.wg": "ffn_gate_inp",
    "shared_expert_gate": "ffn_gate_inp_shexp",
    "experts.gate_proj": "ffn_gate_exps.weight", "experts.up_proj": "ffn_up_exps.weight",
    "experts.down_proj": "ffn_down_exps.weight", "experts.down_proj_bias": "ffn_down_exps.bias",
    **{f"{shared}.{part}_proj": f"ffn_{part}_shexp"
       for shared in ("shared_expert", "shared_experts", "shared_mlp") for part in ("gate", "up", "down")},
    **dict.fromkeys((
        "gate.e_score_correction_bias", "e_score_correction_bias", "gate.moe_statics.e_score_correction_bias",
        "moe_statics.e_score_correction_bias", "expert_bias", "gate.expert_bias",
    ), "exp_probs_b.bias"),
}  # fmt: skip
_STATE = {
    "in_proj": "ssm_in", "out_proj": "ssm_out", "conv1d": "ssm_conv1d", "norm": "ssm_norm", "D": "ssm_d",
    "A_log": "ssm_a", "dt_bias": "ssm_dt.bias", "x_proj": "ssm_x", "dt_proj": "ssm_dt",
}  # fmt: skip
_GATED_DELTA = {
    **_STATE, "in_proj_ba": "ssm_ba", "in_proj_b": "ssm_beta", "in_proj_a": "ssm_alpha",
    "in_proj_z": "attn_gate", "in_proj_qkv": "attn_qkv",
}  # fmt: skip


def _below(prefixes: tuple[str, ...], names: dict[str, str]) -> dict[str, str]:
    return {f"{prefix}.{name}": gguf for prefix in prefixes for name, gguf in names.items()}


# inside a layer, below `layers.N.`
LAYER: dict[str, str] = {
    **_below(("self_attn", "attention", "self_attention"), _ATTENTION),
    **_below(("mlp", "feed_forward", "block_sparse_moe"), _FEED_FORWARD),
    **_below(("mixer",), {**_FEED_FORWARD, **_ATTENTION, **_STATE, "up_proj": "ffn_up"}),
    **_below(("mamba",), _STATE),
    **_below(("linear_attn",), _GATED_DELTA),
    "shared_mlp.output_linear": "ffn_down_shexp",
    "conv.conv": "shortconv.conv", "conv.in_proj": "shortconv.in_proj", "conv.out_proj": "shortconv.out_proj",
    "ln_mlp": "attn_norm", "ln_attn": "attn_norm_2", "input_layernorm": "attn_norm",
    "operator_norm": "attn_norm",
    "attention_norm": "attn_norm",
    "norm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "ffn_norm": "ffn_norm", "pre_ff_layernorm": "ffn_norm",
    "pre_feedforward_layernorm": "ffn_norm", "post_self_attn_layernorm": "post_attention_norm",
    "post_mlp_layernorm": "post_ffw_norm", "post_feedforward_layernorm": "post_ffw_norm",
    "attention_layernorm": "attn_norm", "feedforward_layernorm": "ffn_norm",
    "pre_feedforward_layernorm_2": "pre_ffw_norm_2", "post_feedforward_layernorm_1": "post_ffw_norm_1",
    "post_feedforward_layernorm_2": "post_ffw_norm_2", "layer_scalar": "layer_output_scale.weight",
    "per_layer_input_gate": "inp_gate", "per_layer_projection": "proj",
    "post_per_layer_input_norm": "post_norm",
    "altup.correction_coefs": "altup_correct_coef", "altup.prediction_coefs": "altup_predict_coef",
    "altup.correct_output_scale": "altup_correct_scale.weight", "altup.modality_router": "altup_router",
    "altup.router_norm": "altup_router_norm", "laurel.linear_left": "laurel_l",
    "laurel.linear_right": "laurel_r",
    "laurel.post_laurel_norm": "laurel_post_norm",
    "router.proj": "ffn_gate_inp", "router.scale": "ffn_gate_inp.scale",
    "router.per_expert_scale": "ffn_down_exps.scale", "experts.down_proj": "ffn_down_exps.weight",
    "eh_proj": "nextn.eh_proj", "enorm": "nextn.enorm", "hnorm": "nextn.hnorm",
    "embed_tokens": "nextn.embed_tokens", "shared_head.head": "nextn.shared_head_head",
    "shared_head.norm": "nextn.shared_head_norm", "final_layernorm": "nextn.shared_head_norm",
    "mixer.fc1_latent_proj": "ffn_latent_down", "mixer.fc2_latent_proj": "ffn_latent_up",
}  # fmt: skip

# where one layer name means another thing
_POST_ATTENTION = {"post_attention_layernorm": "post_attention_norm"}
_EMBEDDING_NORM = {"embedding_norm": "token_embd_norm"}
RENAMED: dict[str, dict[str, str]] = {
    **dict.fromkeys((
        "gemma2", "gemma3", "gemma3n", "gemma4", "olmo2", "gpt-oss", "qwen3next", "qwen35", "qwen35moe",
        "exaone4", "glm4moe", "seed_oss",
    ), _POST_ATTENTION),
    "lfm2": _EMBEDDING_NORM, "lfm2moe": _EMBEDDING_NORM,
    "falcon-h1": {"pre_ff_layernorm.weight": "ffn_norm"},
    "hy_v3": {
        "mlp.e_score_correction_bias": "exp_probs_b", "mlp.expert_bias": "exp_probs_b",
        "mlp.gate.e_score_correction_bias": "exp_probs_b",
    },
}  # fmt: skip

# draft layers under `mtp.`: -> the first layer after the last
DRAFT: dict[str, str] = {
    "fc": "nextn.eh_proj",
    "pre_fc_norm_embedding": "nextn.enorm",
    "pre_fc_norm_hidden": "nextn.hnorm",
    "norm": "nextn.shared_head_norm",
}

# converters that leave draft layers out of the file
WITHOUT_DRAFTS = frozenset({"deepseek2", "ernie4_5-moe"})

# converters that keep gate and up of the experts in one stack
FUSED_EXPERTS = frozenset({"gemma4"})

# matrices that become one stack
STACKED = {"altup_projections": "altup_proj", "altup_unembed_projections": "altup_unembd_proj"}

# parameters of activations: kept as metadata, not as tensors
IN_METADATA = frozenset(f"mlp.act_fn.{name}" for name in ("alpha_n", "alpha_p", "beta", "eps"))

# loads the expert bias of draft layers even when it leaves the drafts out (no skip flag in
# src/models/deepseek32.cpp and glm-dsa.cpp)
LOADS_DRAFT_BIAS = frozenset({"deepseek32", "glm-dsa"})

# two draft layers (attention, then experts) that become one block: model_type -> path with number -> path
FOLDED_DRAFTS = {
    "nemotron_h": {"1.norm.weight": "post_self_attn_layernorm.weight"},
}
