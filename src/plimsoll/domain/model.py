"""A model as its files describe it: layers, tensors, and what was not understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plimsoll.domain.origin import Origin, Source

AttentionKind = Literal["full", "sliding", "chunked", "latent", "none"]
StateKind = Literal["mamba1", "mamba2", "gated_delta", "kda", "lightning", "short_conv", "rwkv"]
Role = Literal[
    "embedding", "output", "norm", "attention", "state", "ffn", "router", "expert", "shared_expert",
    "vision", "audio", "projector", "mtp", "other",
]  # fmt: skip
Naming = Literal["hf", "gguf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor. `shape` is in PyTorch order (outermost first), also when it was read from a GGUF.

    `experts_count` > 0 marks a stack of that many experts in one tensor (first axis).
    `is_input_major` marks matrices stored (input, output) instead of PyTorch's (output, input).
    `is_buffer` marks persistent buffers: saved in the file but not parameters.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    size_bytes: int
    role: Role
    layer: int | None = None
    experts_count: int = 0
    is_input_major: bool = False
    is_buffer: bool = False

    @property
    def elements_count(self) -> int:
        """Number of stored values (a packed 4-bit tensor counts its logical values)."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """The recurrent state of one layer, per sequence: counts of values, independent of the context.

    `conv_values_count` = (kernel - 1) x channels of the rolling convolution input;
    `ssm_values_count` = heads x head_dim x state_dim of the recurrence (0 for a pure convolution).
    `ssm_format` is the type the config asks the recurrence to be kept in; '' leaves it to the runtime.
    """

    kind: StateKind
    conv_values_count: int
    ssm_values_count: int
    conv_kernel: int = 0
    conv_channels: int = 0
    heads_count: int = 0
    head_dim: int = 0
    state_dim: int = 0
    groups_count: int = 0
    ssm_format: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One block. A hybrid block may have both attention and a state.

    `key_dim` and `value_dim` are per head. For `latent` attention the cache holds
    `latent_dim` + `rope_dim` values per token, whatever the heads; `indexer_dim` > 0 adds a sparse
    indexer's key per token (DeepSeek sparse attention). `window_tokens` is set for sliding and chunked.
    `compress_rate_tokens` > 0 (DeepSeek V4): besides the window, the cache keeps one entry of
    latent_dim + rope_dim values, and one indexer key, per so many tokens.
    `shares_kv_with` names the layer whose cache this one reads instead of keeping its own.
    """

    index: int
    attention: AttentionKind
    query_heads_count: int = 0
    kv_heads_count: int = 0
    key_dim: int = 0
    value_dim: int = 0
    window_tokens: int | None = None
    latent_dim: int = 0
    rope_dim: int = 0
    query_latent_dim: int = 0
    indexer_dim: int = 0
    indexer_heads_count: int = 0
    compress_rate_tokens: int = 0
    shares_kv_with: int | None = None
    has_sinks: bool = False
    state: StateSpec | None = None
    ffn_dim: int = 0
    experts_count: int = 0
    active_experts_count: int = 0
    expert_dim: int = 0
    shared_expert_dim: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeSpec:
    """How positions are encoded and extended. `rotated_share` of each head's values is rotated."""

    kind: str
    theta: float
    factor: float = 1.0
    original_context_tokens: int | None = None
    rotated_share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantSpec:
    """How the checkpoint's matrices are quantised, as its `quantization_config` says.

    `method` is one of the names in `plimsoll.formulas.quantisation.METHODS`; `skipped` holds the
    patterns of modules that stay in the base type, `targets` those of the only modules it holds (empty:
    all linear layers). `others` are further formats in the same checkpoint, for the modules left.
    """

    method: str
    bits: float
    group_size: int | None = None
    has_zero_points: bool = False
    has_act_order: bool = False
    skipped: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    others: tuple[QuantSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model, read from files or synthesised from its config.

    `tensors` are what the files hold (or would hold): `naming` says whose names and shapes they carry.
    `weight_format` is the published format in short ('bf16', 'mxfp4', 'fp8', 'q4_k_m', ...).
    """

    id: str
    revision: str
    architecture: str
    layers: tuple[LayerSpec, ...]
    tensors: tuple[TensorSpec, ...]
    naming: Naming
    weight_format: str
    hidden_dim: int
    vocab_size: int
    trained_context_tokens: int | None
    rope: RopeSpec | None = None
    has_tied_embeddings: bool = False
    quantisation: QuantSpec | None = None
    unread_keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
