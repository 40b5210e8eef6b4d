"""config.json becomes a Model."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from plimsoll.domain.model import Model, TensorSpec
from plimsoll.domain.origin import Origin
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.formulas.formats import tensor_bytes
from plimsoll.parse.families import FAMILIES
from plimsoll.parse.families.blocks import Layout, Row
from plimsoll.parse.keys import Keys
from plimsoll.parse.quantisation import read_quantisation

_DTYPES = {
    "bfloat16": "bf16", "float16": "f16", "half": "f16", "float32": "f32", "float": "f32",
    "float8_e4m3fn": "fp8_e4m3",
}  # fmt: skip

# Keys, at any depth, that change neither the size of a tensor nor what a token leaves in the cache:
# who wrote the file, special tokens, training, sampling, numerics of an operation without weights.
ACKNOWLEDGED = frozenset({
    # the file itself and how it is loaded
    "_name_or_path", "_attn_implementation", "_attn_implementation_autoset", "architectures", "auto_map",
    "chunk_size_feed_forward", "id2label", "is_decoder", "is_encoder_decoder", "label2id", "model_type",
    "output_attentions", "output_hidden_states", "pretraining_tp", "problem_type", "return_dict",
    "tokenizer_class", "torchscript", "transformers.js_config", "transformers_version", "use_bfloat16",
    "use_cache", "ep_size", "ignore_index",
    # special tokens
    "bos_token_id", "cls_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id", "sep_token_id",
    "unk_token_id", "audio_token_id", "boa_token_id", "boi_token_id", "boi_token_index", "eoa_token_id",
    "eoa_token_index", "eoi_token_id", "eoi_token_index", "image_token_id", "image_token_index",
    "media_placeholder_token_id", "mm_tokens_per_image", "video_token_id", "vision_end_token_id",
    "vision_soft_tokens_per_image", "vision_start_token_id", "default_output_length",
    # training and sampling
    "attention_dropout", "attn_pdrop", "aux_loss_alpha", "classifier_dropout", "do_sample", "dropout",
    "embd_pdrop", "embedding_dropout", "hidden_dropout", "initializer_factor", "initializer_range",
    "input_jitter_noise", "max_length", "min_length", "num_beams", "output_router_logits",
    "repetition_penalty", "resid_pdrop", "router_aux_loss_coef", "router_jitter_noise",
    "router_z_loss_coef", "seq_aux", "temperature", "top_p",
    # operations without weights
    "activation_function", "activation_sparsity_pattern", "altup_active_idx", "altup_coef_clip",
    "altup_correct_scale", "attention_chunk_size", "attention_context_left", "attention_context_right",
    "attention_invalid_logits_value", "attention_logit_cap", "attention_multiplier",
    "attn_logit_softcapping", "clip_qkv", "embedding_multiplier", "enable_moe_fp32_combine",
    "expert_selection_fn", "final_logit_softcapping", "gradient_clipping", "hidden_act",
    "hidden_activation", "layer_norm_eps", "layer_norm_epsilon", "logit_scale", "logits_scaling",
    "mlp_activation", "moe_norm_min", "n_group", "norm_eps", "norm_epsilon", "norm_topk_prob",
    "projector_hidden_act", "query_pre_attn_scalar", "residual_multiplier", "residual_weight",
    "rms_norm_eps", "routed_scaling_factor", "router_scaling_factor", "scoring_func",
    "shared_expert_combination_strategy", "topk_group", "topk_method",
    # positions, beyond what RopeSpec keeps
    "attention_factor", "beta_fast", "beta_slow", "high_freq_factor", "llama_4_scaling_beta", "long_factor",
    "long_mscale", "low_freq_factor", "mrope_interleaved", "mrope_section", "mscale", "mscale_all_dim",
    "rope_local_base_freq", "short_factor", "short_mscale", "sliding_attention", "truncate",
})  # fmt: skip


def model_from_config(
    config: Mapping[str, Any], *, id: str, revision: str = "", where: str = "config.json", kind: str = "file"
) -> Model:
    """Build the Model that a config describes, with its tensor table in the base dtype.

    A quantised checkpoint's table is still in the base dtype; `quantisation` says how the matrices are
    stored, and `plimsoll.formulas.quantisation.apply` turns the table into the published one.
    Raises UnsupportedArchitecture for a model_type without a family file, MissingConfigKey and
    MalformedConfig for keys that are absent or impossible.
    """
    keys = Keys(config, where)
    model_type = keys.text("model_type")
    if model_type not in FAMILIES:
        raise UnsupportedArchitecture(f"model_type {model_type!r} is not known", where=where)
    family = importlib.import_module(f"plimsoll.parse.families.{FAMILIES[model_type]}")
    layout: Layout = family.build(keys)
    dtype, notes = _base_dtype(keys)
    quantisation, name = read_quantisation(keys)
    if name and quantisation is None:
        notes += (f"The quantisation {name!r} is not understood: tensors are shown in {dtype}.",)
    return Model(
        id=id, revision=revision, architecture=model_type, layers=layout.layers,
        tensors=tuple(tensor(row, dtype) for row in layout.rows), naming="hf", weight_format=name or dtype,
        hidden_dim=layout.hidden_dim, vocab_size=layout.vocab_size,
        trained_context_tokens=layout.trained_context_tokens, rope=layout.rope,
        has_tied_embeddings=layout.has_tied_embeddings, quantisation=quantisation,
        unread_keys=tuple(_unknown(keys.unread())), notes=layout.notes + notes,
        origins={"config": Origin(kind="catalog" if kind == "catalog" else "file", where=where)},
    )  # fmt: skip


def _base_dtype(keys: Keys) -> tuple[str, tuple[str, ...]]:
    """dtype (torch_dtype before Transformers 5), the config's own or that of its text part."""
    text = keys.section("text_config")
    inner = text.text("dtype", "torch_dtype") if text else ""
    for name in ("vision_config", "audio_config"):
        if tower := keys.section(name):
            tower.raw("dtype", "torch_dtype")
    name = (keys.text("dtype", "torch_dtype") or inner).removeprefix("torch.")
    if not name or name == "auto":
        return "bf16", ("The config names no dtype; bf16 is assumed.",)
    if name not in _DTYPES:
        raise keys.bad(("dtype", "torch_dtype"), name, f"one of {', '.join(_DTYPES)}")
    return _DTYPES[name], ()


def _unknown(unread: Iterable[str]) -> list[str]:
    """Keys that nobody read and that are not known to be without effect on size."""
    return [key for key in unread if key.rpartition(".")[2] not in ACKNOWLEDGED]


def tensor(row: Row, dtype: str) -> TensorSpec:
    """A row in its own dtype, or the model's."""
    format_name = row.dtype or dtype
    return TensorSpec(
        name=row.name, shape=row.shape, format=format_name, size_bytes=tensor_bytes(format_name, row.shape),
        role=row.role, layer=row.layer, experts_count=row.experts_count,
        is_input_major=row.is_input_major, is_buffer=row.is_buffer,
    )  # fmt: skip
