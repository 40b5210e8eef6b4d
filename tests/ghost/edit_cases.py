"""Tiny models of several families, and the edits of their config.json that both engines judge.

Configs are written as published ones are (rope_theta, rope_scaling at the top), so that an edit is what a
person would type. Windows are shorter than the 48 tokens that the engines are asked about.
"""

from __future__ import annotations

from typing import Any

Edit = dict[str, Any]

_PLAIN = {
    "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4,
    "intermediate_size": 96, "vocab_size": 320, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "torch_dtype": "float32", "hidden_act": "silu",
    "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.1,
}  # fmt: skip
_GEMMA = {"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 16, "sliding_window": 16}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {
        **_PLAIN, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": False,
        "attention_bias": False, "mlp_bias": False,
    },
    "llama_3_1": {
        **_PLAIN, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": True,
        "head_dim": 8, "attention_bias": False, "mlp_bias": False,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 64,
        },
    },
    "qwen2": {
        **_PLAIN, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "tie_word_embeddings": True,
        "use_sliding_window": False, "sliding_window": 64, "max_window_layers": 4,
    },
    "qwen3_moe": {
        **_PLAIN, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "head_dim": 16,
        "tie_word_embeddings": False, "num_experts": 16, "num_experts_per_tok": 4,
        "moe_intermediate_size": 32, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "use_sliding_window": False, "attention_bias": False,
    },
    "gemma3_text": {
        **{k: v for k, v in _PLAIN.items() if k != "hidden_act"}, **_GEMMA,
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "head_dim": 16,
        "num_hidden_layers": 6, "sliding_window_pattern": 3, "rope_local_base_freq": 1000.0,
        "rope_theta": 100000.0, "tie_word_embeddings": True,
    },
    "gpt_oss": {
        **_PLAIN, "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "head_dim": 16,
        "num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 64, "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"] * 2, "attention_bias": True,
        "tie_word_embeddings": False, "swiglu_limit": 7.0, "rope_theta": 150000.0,
        "rope_scaling": {
            "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 32.0,
            "beta_slow": 1.0, "truncate": False,
        },
    },
    "deepseek_v3": {
        **_PLAIN, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
        "num_key_value_heads": 8, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8, "v_head_dim": 16, "n_routed_experts": 16, "n_shared_experts": 1,
        "num_experts_per_tok": 4, "moe_intermediate_size": 32, "first_k_dense_replace": 1, "n_group": 4,
        "topk_group": 2, "routed_scaling_factor": 2.5, "norm_topk_prob": True, "scoring_func": "sigmoid",
        "topk_method": "noaux_tc", "moe_layer_freq": 1, "num_nextn_predict_layers": 0,
        "tie_word_embeddings": False, "attention_bias": False,
    },
    "qwen3_next": {
        **_PLAIN, "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "head_dim": 16,
        "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32, "norm_topk_prob": True, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "full_attention_interval": 2, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.25, "tie_word_embeddings": False,
        "attention_bias": False,
    },
    "gemma2": {
        **{k: v for k, v in _PLAIN.items() if k != "hidden_act"}, **_GEMMA,
        "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "head_dim": 16,
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "tie_word_embeddings": True,
    },
    "mixtral": {
        **_PLAIN, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral",
        "tie_word_embeddings": False, "num_local_experts": 8, "num_experts_per_tok": 2,
        "sliding_window": None,
    },
}  # fmt: skip

_EVERYWHERE: list[Edit] = [
    {"num_hidden_layers": -1}, {"num_hidden_layers": +1},
    {"num_attention_heads": 4}, {"num_attention_heads": 16}, {"num_attention_heads": 6},
    {"num_key_value_heads": 2}, {"num_key_value_heads": 3},
    {"head_dim": 8}, {"head_dim": 32}, {"num_attention_heads": 4, "head_dim": 32},
    {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32},
    {"num_attention_heads": 4, "num_key_value_heads": 2},
    {"hidden_size": 128}, {"intermediate_size": 128},
    {"vocab_size": 640}, {"vocab_size": 256}, {"tie_word_embeddings": "flip"},
    {"rope_theta": 1000000.0}, {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}},
    {"max_position_embeddings": 2048}, {"rms_norm_eps": 0.01},
    {"hidden_act": "relu"}, {"attention_bias": "flip"}, {"torch_dtype": "float16"}, {"use_cache": False},
    {"initializer_range": 0.5}, {"eos_token_id": 7}, {"attention_dropout": 0.1}, {"sliding_window": 8},
    {"no_such_key": 1},
]  # fmt: skip
_EXPERTS: list[Edit] = [
    {"num_experts_per_tok": 1}, {"num_experts_per_tok": 3}, {"num_experts_per_tok": 64},
    {"norm_topk_prob": "flip"}, {"moe_intermediate_size": 48}, {"router_aux_loss_coef": 0.5},
    {"output_router_logits": True},
]  # fmt: skip

_OWN: dict[str, list[Edit]] = {
    "llama": [{"mlp_bias": True}, {"pretraining_tp": 2}, {"model_type": "qwen2"}, {"model_type": "mistral"}],
    "llama_3_1": [{"rope_scaling": None}],
    "qwen2": [
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0},
        {"use_sliding_window": True}, {"max_window_layers": 2}, {"model_type": "llama"},
        {"hidden_act": "gelu"},
    ],
    "qwen3_moe": [
        *_EXPERTS, {"num_experts": 8}, {"num_experts": 32}, {"decoder_sparse_step": 2},
        {"mlp_only_layers": [0]}, {"use_sliding_window": True, "sliding_window": 8},
    ],
    "gemma3_text": [
        {"query_pre_attn_scalar": 64}, {"final_logit_softcapping": 5.0}, {"attn_logit_softcapping": 5.0},
        {"sliding_window_pattern": 2}, {"rope_local_base_freq": 50000.0}, {"sliding_window": 4096},
        {"hidden_activation": "relu"},
    ],
    "gpt_oss": [
        *_EXPERTS, {"num_local_experts": 4}, {"num_local_experts": 16}, {"swiglu_limit": 1.0},
        {"layer_types": ["full_attention"] * 4}, {"layer_types": ["sliding_attention"] * 4},
        {"experts_per_token": 4}, {"sliding_window": 4096}, {"rope_scaling": None},
        {"num_hidden_layers": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ],
    "deepseek_v3": [
        *_EXPERTS, {"n_routed_experts": 8}, {"n_routed_experts": 32}, {"n_shared_experts": 2},
        {"n_shared_experts": 0}, {"first_k_dense_replace": 2}, {"first_k_dense_replace": 0},
        {"n_group": 2}, {"topk_group": 1}, {"topk_group": 4}, {"n_group": 1, "topk_group": 1},
        {"routed_scaling_factor": 1.0}, {"kv_lora_rank": 32}, {"q_lora_rank": 48},
        {"q_lora_rank": None}, {"qk_rope_head_dim": 16},
        {"qk_nope_head_dim": 8}, {"v_head_dim": 32}, {"num_nextn_predict_layers": 1},
        {"scoring_func": "softmax"}, {"qk_rope_head_dim": 16, "qk_nope_head_dim": 8}, {"moe_layer_freq": 2},
    ],
    "qwen3_next": [
        *_EXPERTS, {"num_experts": 4}, {"num_experts": 16}, {"linear_num_value_heads": 8},
        {"linear_num_key_heads": 4}, {"linear_key_head_dim": 32}, {"linear_value_head_dim": 32},
        {"linear_conv_kernel_dim": 2}, {"full_attention_interval": 4}, {"partial_rotary_factor": 0.5},
        {"shared_expert_intermediate_size": 64}, {"shared_expert_intermediate_size": 0},
        {"decoder_sparse_step": 2}, {"mlp_only_layers": [0]},
    ],
    "gemma2": [
        {"query_pre_attn_scalar": 64}, {"final_logit_softcapping": 5.0}, {"attn_logit_softcapping": 0.5},
        {"attn_logit_softcapping": None}, {"sliding_window": 4096}, {"hidden_activation": "relu"},
        {"layer_types": ["full_attention"] * 4},
    ],
    "mixtral": [*_EXPERTS, {"num_local_experts": 4}, {"num_local_experts": 16}, {"router_jitter_noise": 0.1}],
}  # fmt: skip


def edits_of(family: str) -> list[Edit]:
    """The edits of a family, with '-1', '+1' and 'flip' made concrete, without those that change nothing."""
    config = FAMILIES[family]
    concrete = [{k: _value(k, v, config) for k, v in edit.items()} for edit in _EVERYWHERE + _OWN[family]]
    kept: list[Edit] = []
    for edit in concrete:
        if any(config.get(key) != value for key, value in edit.items()) and edit not in kept:
            kept.append(edit)
    return kept


def _value(key: str, value: Any, config: dict[str, Any]) -> Any:
    if value == "flip":
        return not config.get(key, False)
    if key == "num_hidden_layers" and value in (-1, 1):
        return config[key] + value
    return value
