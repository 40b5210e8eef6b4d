"""The tensors a GGUF of this model holds, before quantisation.

Source: llama.cpp at 0c1e57098, conversion/*.py (what converters split, merge, drop and add),
conversion/base.py ModelBase.prepare_tensors (which tensors stay F32).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from plimsoll.domain.model import LayerSpec, Model, TensorSpec
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.formulas.formats import tensor_bytes
from plimsoll.runtimes.llama_cpp.matrices import whole_matrices
from plimsoll.runtimes.llama_cpp.names import (
    ARCHITECTURES,
    DRAFT,
    FOLDED_DRAFTS,
    FUSED_EXPERTS,
    IN_METADATA,
    LAYER,
    LOADS_DRAFT_BIAS,
    RENAMED,
    STACKED,
    TOP,
    WITHOUT_DRAFTS,
)

Shape = tuple[int, ...]
Made = tuple[str, Shape]

_ELSEWHERE = ("vision", "audio", "projector")
_PREFIX = re.compile(
    r"^(?:model\.language_model|language_model\.model|language_model|model|transformer|gpt_neox|backbone)\."
)
_IN_LAYER = re.compile(r"^(?:layers|h|blocks)\.(\d+)\.(.+)$")
_IN_DRAFT = re.compile(r"^mtp\.layers\.(\d+)\.(.+)$")

# names that stay F32 although they are matrices (ModelBase.prepare_tensors)
_PLAIN = frozenset({
    "ffn_gate_inp", "ffn_gate_inp_shexp", "position_embd", "token_types", "ssm_conv1d", "shortconv.conv",
    "altup_correct_coef", "altup_predict_coef", "indexer.proj",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of the checkpoint: its layer (None outside of layers) and its path there."""

    layer: int | None
    path: str
    tensor: TensorSpec
    spec: LayerSpec | None

    @property
    def shape(self) -> Shape:
        return self.tensor.shape


def gguf_architecture(model: Model) -> str:
    """`general.architecture` of the model's GGUF. Raises UnsupportedArchitecture when llama.cpp has none."""
    if model.naming == "gguf":
        return model.architecture
    name = ARCHITECTURES.get(model.architecture)
    if name is None:
        raise UnsupportedArchitecture(
            f"llama.cpp's converter is not known to take model_type {model.architecture!r}", where=model.id
        )
    if name == "nemotron_h" and any(layer.experts_count for layer in model.layers):
        return "nemotron_h_moe"
    if name == "granite" and any(layer.experts_count for layer in model.layers):
        return "granitemoe"
    return name


def gguf_tensors(model: Model) -> tuple[TensorSpec, ...]:
    """The table of the GGUF that llama.cpp's converter writes: names, shapes (outermost first), formats.

    Matrices carry the format of the checkpoint ('bf16' or 'f16'), norms and the other small tensors 'f32'.
    Experts published in MXFP4 stay 'mxfp4'; other quantised checkpoints are unpacked. A model that was
    read from a GGUF comes back as it is. Raises UnsupportedArchitecture for a model_type or tensor that
    the converter has no name for, and for NVFP4 checkpoints (it writes their scales apart).
    """
    if model.naming == "gguf":
        return model.tensors
    architecture = gguf_architecture(model)
    matrix = "f16" if model.weight_format == "f16" else "bf16"
    method = model.quantisation.method if model.quantisation else ""
    if method == "nvfp4":
        raise UnsupportedArchitecture("GGUFs made from NVFP4 checkpoints are not described", where=model.id)
    table: list[TensorSpec] = []
    for name, shape in _rope_factors(model, architecture):
        table.append(_spec(name, shape, "f32", None))
    for tensor in whole_matrices(model):
        if tensor.role in _ELSEWHERE:
            continue
        part = _part(tensor, model)
        if part is None or (tensor.role == "mtp" and architecture in WITHOUT_DRAFTS):
            continue
        for stem, shape in _made(part, model, architecture):
            kind = "mxfp4" if method == "mxfp4" and stem.endswith("_exps.weight") else matrix
            made = _spec(_full(stem, part.layer), shape, kind, tensor)
            if tensor.role == "mtp" and model.architecture in FOLDED_DRAFTS and stem == "ffn_gate_inp.weight":
                # the converter looks for the router under the draft's own number and misses it
                made = replace(made, format=matrix, size_bytes=tensor_bytes(matrix, shape))
            is_kept = architecture in LOADS_DRAFT_BIAS and stem == "exp_probs_b.bias"
            table.append(replace(made, role="router") if is_kept else made)
    if architecture == "gemma3n":
        table.extend(_unread_keys(table, model, matrix))
    return tuple(table)


def _unread_keys(table: list[TensorSpec], model: Model, matrix: str) -> Iterator[TensorSpec]:
    """Gemma 3n's layers that read another's cache: their k and v stand in the checkpoint, Transformers does
    not build them, llama.cpp requires them (src/models/gemma3n.cpp)."""
    present = {tensor.name for tensor in table}
    for layer in model.layers:
        if f"blk.{layer.index}.attn_k.weight" in present:
            continue
        for stem, shape in (
            ("attn_k.weight", (layer.kv_heads_count * layer.key_dim, model.hidden_dim)),
            ("attn_v.weight", (layer.kv_heads_count * layer.value_dim, model.hidden_dim)),
            ("attn_k_norm.weight", (layer.key_dim,)),
        ):
            yield replace(
                _spec(_full(stem, layer.index), shape, matrix, None), role="attention", is_buffer=False
            )


def group_size_of(model: Model) -> int:
    """Query heads per KV head of the first layer as the GGUF's metadata counts them (n_gqa).

    Latent attention is written as one KV head. Converters that write one number for all layers give
    it to layers without attention too; those that write a list give such layers 0 KV heads.
    """
    writes_list = gguf_architecture(model) in _LISTED_KV_HEADS
    for layer in model.layers:
        if layer.attention == "none" and not writes_list:
            continue
        if layer.attention == "latent":
            return layer.query_heads_count
        return layer.query_heads_count // layer.kv_heads_count if layer.kv_heads_count else 0
    return 0


_LISTED_KV_HEADS = frozenset({
    "granitehybrid", "nemotron_h", "nemotron_h_moe", "jamba", "kimi-linear", "lfm2", "lfm2moe", "plamo2",
})  # fmt: skip


def _part(tensor: TensorSpec, model: Model) -> Part | None:
    """Where a checkpoint's tensor stands; None for what GGUFs do not keep (rotary tables)."""
    name = _PREFIX.sub("", tensor.name)
    if name.endswith((".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")):
        return None
    count = len(model.layers)
    if found := _IN_DRAFT.match(name):
        step = 0 if model.architecture in FOLDED_DRAFTS else int(found[1])
        path = FOLDED_DRAFTS.get(model.architecture, {}).get(f"{found[1]}.{found[2]}", found[2])
        return Part(count + step, path, tensor, _attending(model))
    if name.startswith("mtp."):
        return Part(count, name, tensor, None)
    if found := _IN_LAYER.match(name):
        layer = int(found[1])
        return Part(layer, found[2], tensor, model.layers[layer] if layer < count else _attending(model))
    return Part(None, name, tensor, None)


def _attending(model: Model) -> LayerSpec | None:
    """The last layer with attention: a draft layer repeats it."""
    return next((layer for layer in reversed(model.layers) if layer.attention != "none"), None)


def _made(part: Part, model: Model, architecture: str) -> Iterator[Made]:
    """The GGUF tensors one checkpoint tensor becomes: names below `blk.N.`, with their suffix."""
    path = part.path
    stem, dot, suffix = path.rpartition(".")
    if suffix not in ("weight", "bias"):
        stem, dot, suffix = path, "", ""
    if part.layer is None or path.startswith("mtp."):
        yield from _outside(part, stem, dot + suffix, model, architecture)
        return
    special = _SPLITS.get(stem.rpartition(".")[2] if stem not in _SPLITS else stem)
    if special is not None:
        yield from special(part, stem, dot + suffix, architecture)
        return
    if stem in IN_METADATA:
        return
    renamed = RENAMED.get(architecture, {})
    if path in renamed:
        yield renamed[path], _turned(part)
        return
    known = renamed.get(stem) or LAYER.get(stem) or LAYER.get(path)
    if known is None:
        raise UnsupportedArchitecture(f"llama.cpp has no name for {part.tensor.name!r}", where=model.id)
    yield _suffixed(known, dot + suffix), _turned(part)


def _outside(part: Part, stem: str, suffix: str, model: Model, architecture: str) -> Iterator[Made]:
    """Embeddings, the final norm, the output, what joins drafts; Gemma 3n's projections as one stack."""
    base, _, number = stem.rpartition(".")
    if base in STACKED:
        if number == "0":
            count = sum(f"{base}." in tensor.name for tensor in model.tensors)
            yield STACKED[base] + suffix, (count, *part.shape)
        return
    top = {**TOP, **RENAMED.get(architecture, {})}
    known = DRAFT.get(stem.removeprefix("mtp.")) if stem.startswith("mtp.") else top.get(stem)
    if known is None:
        raise UnsupportedArchitecture(f"llama.cpp has no name for {part.tensor.name!r}", where=model.id)
    is_padded = architecture == "gemma3n" and known.endswith("token_embd")
    yield known + suffix, (model.vocab_size, part.shape[1]) if is_padded else part.shape


def _suffixed(stem: str, suffix: str) -> str:
    """Some names carry their suffix already ('exp_probs_b.bias'); states without one get none ('ssm_a')."""
    has_one = stem.endswith((".weight", ".bias", ".scale"))
    return stem if has_one else stem + suffix


def _turned(part: Part) -> Shape:
    """The shape with matrices output-major and convolutions without their middle axis of 1."""
    shape = part.shape
    if part.tensor.is_input_major and len(shape) == 3:
        return (shape[0], shape[2], shape[1])
    if len(shape) == 3 and shape[1] == 1 and "conv" in part.path:
        return (shape[0], shape[2])
    return shape


def _gate_and_up(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    """experts.gate_up_proj (experts, 2 x ffn, hidden): one stack for the gates, one for the ups."""
    if not stem.endswith("experts.gate_up_proj"):
        yield _suffixed(LAYER[stem], suffix), part.shape
        return
    experts, double, hidden = _turned(part)
    if architecture in FUSED_EXPERTS:
        yield "ffn_gate_up_exps.weight", (experts, double, hidden)
        return
    for kind in ("gate", "up"):
        yield f"ffn_{kind}_exps.weight", (experts, double // 2, hidden)


def _gate_and_up_bias(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    """experts.gate_up_proj_bias (experts, 2 x ffn)."""
    for kind in ("gate", "up"):
        yield f"ffn_{kind}_exps.bias", (part.shape[0], part.shape[1] // 2)


def _shared_input(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    """Granite's shared_mlp.input_linear (2 x ffn, hidden). Without experts it is the ordinary MLP."""
    tail = "_shexp" if part.spec and part.spec.experts_count else ""
    for kind in ("gate", "up"):
        yield f"ffn_{kind}{tail}.weight", (part.shape[0] // 2, part.shape[1])


def _shared_output(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    tail = "_shexp" if part.spec and part.spec.experts_count else ""
    yield f"ffn_down{tail}.weight", part.shape


def _latent_pair(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    """kv_b_proj (heads x (plain + value), latent): k_b (heads, latent, plain), v_b (heads, value, latent)."""
    spec = part.spec
    assert spec is not None
    heads, plain = spec.query_heads_count, spec.key_dim - spec.rope_dim
    latent = part.shape[1]
    yield "attn_k_b.weight", (heads, latent, plain)
    yield "attn_v_b.weight", (heads, part.shape[0] // heads - plain, latent)


def _qkvz(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    """Qwen3-Next's in_proj_qkvz: q, k and v of all heads first, the output gate z apart."""
    state = part.spec.state if part.spec else None
    assert state is not None
    values = state.heads_count * state.head_dim
    yield "attn_qkv.weight", (part.shape[0] - values, part.shape[1])
    yield "attn_gate.weight", (values, part.shape[1])


def _state_vector(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    """A_log and D: one value per head; Mamba 2 keeps them as a column."""
    is_mamba2 = part.spec is not None and part.spec.state is not None and part.spec.state.kind == "mamba2"
    yield LAYER[stem], (part.shape[0], 1) if is_mamba2 else part.shape


def _state_norm(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    """The norm inside a state: by group in Mamba 2."""
    state = part.spec.state if part.spec else None
    if state is not None and state.kind == "mamba2":
        groups = max(state.groups_count, 1)
        yield "ssm_norm" + suffix, (groups, part.shape[0] // groups)
    else:
        yield "ssm_norm" + suffix, part.shape


def _fused_qkv(part: Part, stem: str, suffix: str, architecture: str) -> Iterator[Made]:
    """InternLM2's wqkv: split into q, k and v."""
    spec = part.spec
    assert spec is not None
    rest = part.shape[1:]
    yield "attn_q" + suffix, (spec.query_heads_count * spec.key_dim, *rest)
    yield "attn_k" + suffix, (spec.kv_heads_count * spec.key_dim, *rest)
    yield "attn_v" + suffix, (spec.kv_heads_count * spec.value_dim, *rest)


_SPLITS = {
    "gate_up_proj": _gate_and_up, "gate_up_proj_bias": _gate_and_up_bias, "kv_b_proj": _latent_pair,
    "shared_mlp.input_linear": _shared_input, "shared_mlp.output_linear": _shared_output,
    "in_proj_qkvz": _qkvz, "A_log": _state_vector, "D": _state_vector, "wqkv": _fused_qkv,
    "mamba.norm": _state_norm, "mixer.norm": _state_norm, "linear_attn.norm": _state_norm,
}  # fmt: skip


def _rope_factors(model: Model, architecture: str) -> Iterator[Made]:
    """Frequency tables that converters add: llama3 scaling, longrope's two, Gemma 4's proportional one."""
    rope, first = model.rope, _attending(model)
    if rope is None or first is None:
        return
    rope_dims = int(first.key_dim * rope.rotated_share)
    if rope.kind == "llama3":
        yield "rope_freqs.weight", (rope_dims // 2,)
    elif rope.kind in ("longrope", "su"):
        yield "rope_factors_long.weight", (rope_dims // 2,)
        yield "rope_factors_short.weight", (rope_dims // 2,)
    elif architecture == "gemma4":
        full = next(layer for layer in model.layers if layer.attention == "full")
        yield "rope_freqs.weight", (full.key_dim // 2,)


def _full(stem: str, layer: int | None) -> str:
    return stem if layer is None else f"blk.{layer}.{stem}"


def _spec(name: str, shape: Shape, matrix: str, tensor: TensorSpec | None) -> TensorSpec:
    kind = _format(name, shape, matrix)
    layer = re.match(r"blk\.(\d+)\.", name)
    is_stack = name.endswith("_exps.weight")
    return TensorSpec(
        name=name, shape=shape, format=kind, size_bytes=tensor_bytes(kind, shape),
        role=tensor.role if tensor else "other", layer=int(layer[1]) if layer else None,
        experts_count=shape[0] if is_stack else 0, is_buffer=tensor is None or tensor.is_buffer,
    )  # fmt: skip


def _format(name: str, shape: Shape, matrix: str) -> str:
    """F32 for vectors, norms, what is not a '.weight' and the listed small ones; else the matrix format."""
    if len(shape) <= 1 or name.endswith("_norm.weight") or not name.endswith(".weight"):
        return "f32"
    stem = re.sub(r"^blk\.\d+\.", "", name).removesuffix(".weight")
    if stem in _PLAIN:
        return "f32"
    return matrix
