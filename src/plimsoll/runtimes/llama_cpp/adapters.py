"""Which tensors llama.cpp's graphs multiply with without looking for an adapter.

An adapter on them loads and has no effect there. Source: llama.cpp at 0c1e57098, src/models/*.cpp: every
ggml_mul_mat on a weight where build_lora_mm stands elsewhere. Seen on a tiny DeepSeek-V3.
"""

from __future__ import annotations

_LATENT = ("attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_k_b", "output")
_INDEXER = ("indexer.attn_k", "indexer.attn_q_b", "indexer.proj")
_WITHOUT: dict[str, tuple[str, ...]] = {
    "deepseek2": (*_LATENT, "attn_q", "attn_kv_b"),
    "deepseek32": (*_LATENT, *_INDEXER), "glm-dsa": (*_LATENT, *_INDEXER), "dots3note": (*_LATENT, *_INDEXER),
    "hy-v4": (*_LATENT, *_INDEXER, "attn_gate"), "deepseek4": ("output", "attn_output_a"),
    "minicpm3": ("attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_kv_b"),
    "plm": ("attn_q", "attn_kv_a_mqa", "attn_kv_b"),
    "kimi-linear": (
        "output", "attn_q", "attn_output", "attn_qkv", "attn_kv_a_mqa", "attn_k_b", "attn_kv_b", "ssm_beta",
        "ssm_f_a", "ssm_f_b", "ssm_g_a", "ssm_g_b",
    ),
}  # fmt: skip
_HF_NAMES = {
    "attn_q": "q_proj", "attn_q_a": "q_a_proj", "attn_q_b": "q_b_proj", "attn_kv_a_mqa": "kv_a_proj_with_mqa",
    "attn_kv_b": "kv_b_proj", "output": "lm_head", "attn_output": "o_proj",
}  # fmt: skip


def is_adapted(architecture: str, tensor: str) -> bool:
    """Whether the graph of this architecture applies an adapter on this tensor ('blk.0.attn_q.weight')."""
    stem = tensor.removesuffix(".weight")
    if stem.startswith("blk."):
        stem = stem.split(".", 2)[2]
    return stem not in _WITHOUT.get(architecture, ())


def unadapted_targets(architecture: str) -> frozenset[str]:
    """The same by the names of Transformers' modules."""
    return frozenset(_HF_NAMES[s] for s in _WITHOUT.get(architecture, ()) if s in _HF_NAMES)
