"""Tiny models with weights, one per family, that a real engine can start.

    python -m tests.ghost.tiny [FAMILY ...]      (needs PLIMSOLL_LLAMA_CPP_SOURCE)

keeps what the upstream converter makes of each config in tests/fixtures/gguf_tiny.json.gz; `write_tiny`
writes the file. Widths are multiples of 256, so that every format divides them.
"""

from __future__ import annotations

import gzip
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp.recipe import quantise
from plimsoll.runtimes.llama_cpp.tensors import gguf_tensors
from tests.ghost.writer import Tensor, write_tensors

STORED = Path(__file__).parent.parent / "fixtures" / "gguf_tiny.json.gz"
_PLAIN = {
    "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 512, "vocab_size": 512, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "torch_dtype": "bfloat16", "hidden_act": "silu", "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": False, "attention_bias": False,
}  # fmt: skip
_EXPERTS = {
    "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "norm_topk_prob": True,
    "decoder_sparse_step": 1, "mlp_only_layers": [],
}  # fmt: skip
_GEMMA = {
    **{k: v for k, v in _PLAIN.items() if k != "hidden_act"}, "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 64, "head_dim": 64, "sliding_window": 512, "tie_word_embeddings": True,
}  # fmt: skip
_LATENT = {
    **_PLAIN, "num_key_value_heads": 4, "q_lora_rank": 128, "kv_lora_rank": 256, "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 64, "v_head_dim": 64, "n_routed_experts": 8, "n_shared_experts": 1,
    "num_experts_per_tok": 2, "moe_intermediate_size": 256, "first_k_dense_replace": 1, "n_group": 2,
    "topk_group": 1, "routed_scaling_factor": 2.5, "norm_topk_prob": True, "scoring_func": "sigmoid",
    "topk_method": "noaux_tc", "moe_layer_freq": 1, "num_nextn_predict_layers": 0,
}  # fmt: skip

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**_PLAIN, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "mlp_bias": False},
    "qwen2": {
        **_PLAIN, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    "qwen3": {**_PLAIN, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 64},
    "qwen3_moe": {
        **_PLAIN, **_EXPERTS, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
        "head_dim": 64, "use_sliding_window": False,
    },
    "qwen2_moe": {
        **_PLAIN, **_EXPERTS, "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe",
        "shared_expert_intermediate_size": 512,
    },
    "mixtral": {
        **_PLAIN, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_local_experts": 4,
        "num_experts_per_tok": 2, "sliding_window": None,
    },
    "olmo2": {**_PLAIN, "architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2"},
    "granite": {
        **_PLAIN, "architectures": ["GraniteForCausalLM"], "model_type": "granite", "mlp_bias": False,
        "attention_multiplier": 0.0078125, "embedding_multiplier": 12.0, "logits_scaling": 16.0,
        "residual_multiplier": 0.22,
    },
    "gemma2": {
        **_GEMMA, "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2",
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
    },
    "gemma3_text": {
        **_GEMMA, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
        "num_hidden_layers": 6, "sliding_window_pattern": 3, "rope_local_base_freq": 1000.0,
    },
    "gpt_oss": {
        **_PLAIN, "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "head_dim": 64,
        "num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 256, "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 2, "attention_bias": True,
        "swiglu_limit": 7.0,
    },
    "deepseek_v3": {**_LATENT, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3"},
    "glm4_moe": {
        **_PLAIN, "architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe", "head_dim": 64,
        "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 256,
        "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
        "norm_topk_prob": True, "use_qk_norm": True, "partial_rotary_factor": 0.5,
        "num_nextn_predict_layers": 0,
    },
    "qwen3_next": {
        **_PLAIN, **_EXPERTS, "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next",
        "head_dim": 64, "shared_expert_intermediate_size": 256, "full_attention_interval": 4,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 64,
        "linear_value_head_dim": 64, "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.25,
    },
    "falcon_h1": {
        **_PLAIN, "architectures": ["FalconH1ForCausalLM"], "model_type": "falcon_h1", "head_dim": 64,
        "mamba_d_ssm": 512, "mamba_d_state": 64, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_heads": 8,
        "mamba_d_head": 64, "mamba_n_groups": 1, "mamba_chunk_size": 128, "mamba_conv_bias": True,
        "mamba_proj_bias": False, "mamba_rms_norm": False, "mlp_bias": False, "projectors_bias": False,
        "attention_in_multiplier": 1.0, "attention_out_multiplier": 1.0, "embedding_multiplier": 1.0,
        "key_multiplier": 1.0, "lm_head_multiplier": 1.0, "mlp_multipliers": [1.0, 1.0],
        "ssm_in_multiplier": 1.0, "ssm_multipliers": [1.0, 1.0, 1.0, 1.0, 1.0], "ssm_out_multiplier": 1.0,
    },
    "granitemoehybrid": {
        **_PLAIN, "architectures": ["GraniteMoeHybridForCausalLM"], "model_type": "granitemoehybrid",
        "layer_types": ["mamba", "mamba", "mamba", "attention"], "num_local_experts": 8,
        "num_experts_per_tok": 2, "intermediate_size": 256, "shared_intermediate_size": 512,
        "attention_multiplier": 0.0078125, "embedding_multiplier": 12.0, "logits_scaling": 16.0,
        "residual_multiplier": 0.22, "mamba_n_heads": 8, "mamba_d_head": 64, "mamba_d_state": 64,
        "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_chunk_size": 256,
        "mamba_conv_bias": True, "mamba_proj_bias": False, "position_embedding_type": "nope",
    },
    "lfm2": {
        **_PLAIN, "architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "conv_L_cache": 3,
        "conv_bias": False, "block_auto_adjust_ff_dim": False, "block_dim": 256, "block_ff_dim": 512,
        "layer_types": ["conv", "conv", "full_attention", "conv"], "norm_eps": 1e-5,
    },
}  # fmt: skip


@cache
def _stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(STORED.read_bytes()))
    return found


def families() -> tuple[str, ...]:
    """The families whose conversion is stored."""
    return tuple(_stored())


def write_tiny(path: Path, family: str, recipe: str = "f16") -> None:
    """Write the GGUF of a family with small random weights, always the same ones."""
    size, tensors = write_header(path, family, recipe)
    _fill(path, tensors, size)


def write_header(path: Path, family: str, recipe: str = "f16") -> tuple[int, list[Tensor]]:
    """The same file without weights behind its header; the bytes of its tensors, and the tensors."""
    model = model_from_config(FAMILIES[family], id=f"tiny/{family}")
    table = quantise(gguf_tensors(model), model, recipe)
    tensors: list[Tensor] = [(t.name, t.shape, t.format) for t in table]
    return write_tensors(path, _stored()[family]["metadata"], tensors), tensors


def _fill(path: Path, tensors: list[Tensor], size: int) -> None:
    import gguf
    import numpy as np

    from plimsoll.formulas.formats import tensor_bytes

    spans = [-(-tensor_bytes(kind, shape) // 32) * 32 for _, shape, kind in tensors]
    assert sum(spans) >= size
    random = np.random.default_rng(7)
    with path.open("r+b") as file:
        at = path.stat().st_size - sum(spans)
        for (name, shape, kind), span in zip(tensors, spans, strict=True):
            values = random.standard_normal(shape, dtype=np.float32) * 0.05
            if len(shape) == 1 and "norm" in name:
                values += 1
            file.seek(at)
            file.write(gguf.quantize(values, gguf.GGMLQuantizationType[kind.upper()]).tobytes())
            at += span


def store(names: list[str]) -> None:
    """Convert these families with the upstream converter; the others are kept."""
    from tests.ghost.upstream import convert

    kept = _stored() if STORED.exists() else {}
    for family in names or list(FAMILIES):
        kept = {**kept, family: {"metadata": convert(dict(FAMILIES[family]))["metadata"]}}
        document = json.dumps({name: kept[name] for name in sorted(kept)})
        STORED.write_bytes(gzip.compress(document.encode(), 9, mtime=0))
        print(family, flush=True)


if __name__ == "__main__":
    store(sys.argv[1:])
