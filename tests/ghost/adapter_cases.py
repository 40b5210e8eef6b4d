"""Tiny models of several families and the adapters that PEFT and llama.cpp judge on them.

A case is a recipe: `on` changes the config of the model the adapter is made for (nothing: the model itself),
`lora` is the LoraConfig it is made with, `then` names what is done to the saved files, `config` overrides
keys of adapter_config.json afterwards (None removes a key). `experts` writes the pairs of experts one by
one, as releases before Transformers 5 did.
"""

from __future__ import annotations

from typing import Any

Case = dict[str, Any]

_PLAIN = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "vocab_size": 96, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "torch_dtype": "float32", "hidden_act": "silu", "bos_token_id": 1,
    "eos_token_id": 2, "initializer_range": 0.2, "tie_word_embeddings": False,
}  # fmt: skip

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**_PLAIN, "architectures": ["LlamaForCausalLM"], "model_type": "llama"},
    "qwen2": {
        **_PLAIN, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "tie_word_embeddings": True,
    },
    "gemma3_text": {
        **{k: v for k, v in _PLAIN.items() if k != "hidden_act"}, "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text", "head_dim": 8, "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 8, "sliding_window": 16, "tie_word_embeddings": True,
    },
    "gemma3": {
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "torch_dtype": "float32",
        "mm_tokens_per_image": 4, "image_token_index": 95, "boi_token_index": 93, "eoi_token_index": 94,
        "tie_word_embeddings": True,
        "text_config": {
            **{k: v for k, v in _PLAIN.items() if k != "hidden_act"}, "model_type": "gemma3_text",
            "head_dim": 8, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 8,
            "sliding_window": 16, "tie_word_embeddings": True,
        },
        "vision_config": {
            "model_type": "siglip_vision_model", "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 24, "image_size": 16, "patch_size": 4,
            "vision_use_head": False,
        },
    },
    "mixtral": {
        **_PLAIN, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_local_experts": 4,
        "num_experts_per_tok": 2, "sliding_window": None,
    },
    "qwen3_moe": {
        **_PLAIN, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "head_dim": 8,
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": True,
        "decoder_sparse_step": 1, "mlp_only_layers": [0],
    },
    "qwen2_moe": {
        **_PLAIN, "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe", "num_experts": 4,
        "num_experts_per_tok": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 24,
        "decoder_sparse_step": 1, "mlp_only_layers": [],
    },
    "deepseek_v3": {
        **_PLAIN, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
        "num_key_value_heads": 4, "q_lora_rank": 12, "kv_lora_rank": 8, "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 4, "n_shared_experts": 1,
        "num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1, "n_group": 2,
        "topk_group": 1, "routed_scaling_factor": 2.5, "norm_topk_prob": True, "scoring_func": "sigmoid",
        "topk_method": "noaux_tc", "moe_layer_freq": 1, "num_nextn_predict_layers": 0,
    },
    "gpt_oss": {
        **_PLAIN, "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "head_dim": 8,
        "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 16, "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"], "attention_bias": True, "swiglu_limit": 7.0,
    },
    "qwen3_next": {
        **_PLAIN, "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "head_dim": 8,
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16, "norm_topk_prob": True, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "full_attention_interval": 2, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.5,
    },
}  # fmt: skip
_LATENT = ("deepseek_v3",)
# Old names of the experts' matrices: (container, gate, up, down), with their widths by config key.
OLD_EXPERTS = {
    "mixtral": ("block_sparse_moe", "w1", "w3", "w2"),
    "qwen3_moe": ("mlp", "gate_proj", "up_proj", "down_proj"),
    "qwen2_moe": ("mlp", "gate_proj", "up_proj", "down_proj"),
    "deepseek_v3": ("mlp", "gate_proj", "up_proj", "down_proj"),
    "qwen3_next": ("mlp", "gate_proj", "up_proj", "down_proj"),
}  # fmt: skip


def cases_of(family: str) -> dict[str, Case]:
    """The cases of one family, by name."""
    q, o = ("q_b_proj", "o_proj") if family in _LATENT else ("q_proj", "o_proj")
    plain = {"r": 4, "lora_alpha": 8, "target_modules": [q, o]}
    found: dict[str, Case] = {
        "right": {"lora": plain},
        "right, 16 bits": {"lora": plain, "then": ["bf16"]},
        "all-linear": {"lora": {**plain, "target_modules": "all-linear"}},
        "a pattern": {"lora": {**plain, "target_modules": rf".*layers\.1\..*{o}"}},
        "one layer": {"lora": {**plain, "layers_to_transform": [1]}},
        "rank and alpha patterns": {
            "lora": {**plain, "rank_pattern": {o: 2}, "alpha_pattern": {rf"layers\.1\..*{q}": 32}}
        },
        "rank pattern lost": {"lora": {**plain, "rank_pattern": {o: 2}}, "config": {"rank_pattern": {}}},
        "rsLoRA": {"lora": {**plain, "use_rslora": True}},
        "DoRA": {"lora": {**plain, "use_dora": True}},
        "DoRA forgotten": {"lora": {**plain, "use_dora": True}, "config": {"use_dora": False}},
        "embedding and head": {"lora": {**plain, "target_modules": [q, "embed_tokens", "lm_head"]}},
        "head saved whole": {"lora": {**plain, "modules_to_save": ["lm_head"]}},
        "head promised": {"lora": plain, "config": {"modules_to_save": ["lm_head"]}},
        "head not promised": {
            "lora": {**plain, "modules_to_save": ["lm_head"]}, "config": {"modules_to_save": None},
        },
        "other vocabulary, head saved whole": {
            "on": {"vocab_size": 128}, "lora": {**plain, "modules_to_save": ["lm_head"]},
        },
        "other vocabulary": {"on": {"vocab_size": 128}, "lora": plain},
        "other vocabulary, embedding": {
            "on": {"vocab_size": 128}, "lora": {**plain, "target_modules": ["embed_tokens"]},
        },
        "other vocabulary, embeddings added": {
            "on": {"vocab_size": 128}, "lora": plain, "then": ["embeddings"],
        },
        "embeddings added": {"lora": plain, "then": ["embeddings"]},
        "wrong rank": {"lora": plain, "config": {"r": 8}},
        "other hidden size": {"on": {"hidden_size": 64}, "lora": plain},
        "other heads": {"on": {"num_attention_heads": 8, "num_key_value_heads": 4}, "lora": plain},
        "more layers": {"on": {"num_hidden_layers": 4}, "lora": plain},
        "fewer layers": {"on": {"num_hidden_layers": 1}, "lora": plain},
        "layers that are not there": {"lora": plain, "then": ["layers+2"]},
        "zero B": {"lora": plain, "then": ["zero B"]},
        "zero B in one layer": {"lora": plain, "then": ["zero B of layer 0"]},
        "A only": {"lora": plain, "then": ["without B"]},
        "one B missing": {"lora": plain, "then": ["without one B"]},
        "one A missing": {"lora": plain, "then": ["without one A"]},
        "without prefix": {"lora": plain, "then": ["without prefix"]},
        "prefix twice": {"lora": plain, "then": ["prefix twice"]},
        "without model": {"lora": plain, "then": ["without model"]},
        "no target exists": {"lora": plain, "config": {"target_modules": ["no_such_module"]}},
        "one target does not exist": {"lora": plain, "config": {"target_modules": [q, "no_such_module"]}},
        "another target": {"lora": plain, "config": {"target_modules": ["k_proj", "kv_b_proj"]}},
        "a norm as target": {"lora": plain, "config": {"target_modules": [q, "input_layernorm"]}},
        "a block as target": {"lora": plain, "config": {"target_modules": [q, "self_attn", "linear_attn"]}},
        "no targets": {"lora": plain, "config": {"target_modules": None}},
        "excluded": {"lora": plain, "config": {"exclude_modules": [o]}},
        "alpha 0": {"lora": plain, "config": {"lora_alpha": 0}},
        "unknown key": {"lora": plain, "config": {"a_key_of_tomorrow": 1}},
        "without base": {"lora": plain, "config": {"base_model_name_or_path": None}},
        "old LLaVA names": {"lora": plain, "then": ["language_model first"]},
    }  # fmt: skip
    if family in OLD_EXPERTS:
        _, gate, up, down = OLD_EXPERTS[family]
        three = [q, gate, up, down]
        found |= {
            "old experts": {"lora": plain, "experts": three, "config": {"target_modules": three}},
            "old experts without up": {
                "lora": plain, "experts": [q, gate, down], "config": {"target_modules": [q, gate, down]},
            },
            "old experts, down only": {
                "lora": plain, "experts": [q, down], "config": {"target_modules": [q, down]},
            },
            "old experts, fewer": {
                "on": {"num_experts": 2, "num_local_experts": 2, "n_routed_experts": 2}, "lora": plain,
                "experts": three, "config": {"target_modules": three},
            },
            "old experts by pattern": {
                "lora": plain, "experts": three,
                "config": {"target_modules": rf".*\.({q}|{gate}|{up}|{down})"},
            },
        }  # fmt: skip
    if family in ("mixtral", "qwen3_moe", "deepseek_v3", "gpt_oss", "qwen3_next", "qwen2_moe"):
        both = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
        found |= {
            "experts": {"lora": {**plain, "target_parameters": both}},
            "down only": {"lora": {**plain, "target_parameters": both[1:]}},
            "gate only": {"lora": {**plain, "target_parameters": both[:1]}},
            "router": {"lora": {**plain, "target_parameters": ["mlp.gate.weight", "mlp.router.weight"]}},
            "experts of a smaller mixture": {
                "on": {"num_experts": 2, "num_local_experts": 2, "n_routed_experts": 2},
                "lora": {**plain, "target_parameters": both},
            },
            "experts by module": {"lora": plain, "config": {"target_modules": [q, "experts"]}},
            "experts, down only promised": {
                "lora": {**plain, "target_parameters": both}, "config": {"target_parameters": both[1:]},
            },
        }  # fmt: skip
    return found
