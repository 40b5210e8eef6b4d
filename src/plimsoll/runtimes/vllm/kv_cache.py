"""vLLM's paged KV cache: bytes per layer and token, groups that share blocks, blocks per request.

Source: vllm/v1/kv_cache_interface.py, vllm/v1/core/kv_cache_planning.py and
vllm/platforms/interface.py (_align_hybrid_block_size), vLLM 0.33.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from plimsoll.domain.model import LayerSpec, StateSpec
from plimsoll.formulas.quantisation import ceil_div

CacheKind = Literal["full", "latent", "sliding", "chunked", "state"]
_ONE_BYTE = ("fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc")
_PER_TOKEN_HEAD = {"int8_per_token_head": 8, "fp8_per_token_head": 8, "int4_per_token_head": 4}
_TURBOQUANT = {
    "turboquant_k8v4": (8, 4), "turboquant_4bit_nc": (4, 4),
    "turboquant_k3v4_nc": (3, 4), "turboquant_3bit_nc": (3, 3),
}  # fmt: skip
_SCALE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """What one layer asks of the cache. A state has a page of its own size, whatever the block."""

    kind: CacheKind
    token_bytes: int = 0
    state_bytes: int = 0
    window_tokens: int = 0
    block_tokens: int = 0
    page_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Layers that share one block table: every request takes the group's blocks for all of them."""

    cache: Cache
    layers_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the pool is cut: `block_bytes` is one block of the pool across all layers of a group."""

    groups: tuple[Group, ...]
    block_bytes: int
    block_tokens: int


def token_bytes(layer: LayerSpec, kv_format: str, base_bytes: int, tensor_parallel: int) -> int:
    """Bytes one token takes in one attention layer on one rank.

    Grouped heads: heads per rank x (key_dim + value_dim) x bytes; a rank holds at least one head
    (ModelConfig.get_num_kv_heads). Per-token-head formats add an f32 scale to K and to V
    (TritonAttentionBackend.customize_spec), NVFP4 an FP8 scale per 16 values
    (nvfp4_kv_cache_full_dim), TurboQuant packs both into one slot (TurboQuantConfig.slot_size_aligned).
    Latent: (latent + rope) x bytes, the same on every rank.
    """
    if layer.attention == "latent":
        return latent_token_bytes(layer, kv_format, base_bytes)
    heads = max(1, layer.kv_heads_count // tensor_parallel)
    key, value = layer.key_dim, layer.value_dim
    if kv_format in _PER_TOKEN_HEAD:
        bits = _PER_TOKEN_HEAD[kv_format]
        return heads * (key * bits // 8 + value * bits // 8 + 2 * _SCALE_BYTES)
    if kv_format.startswith("nvfp4"):
        return heads * (key // 2 + key // 16 + value // 2 + value // 16)
    if kv_format in _TURBOQUANT:
        return heads * turboquant_slot_bytes(key, *_TURBOQUANT[kv_format])
    return heads * (key + value) * (1 if kv_format in _ONE_BYTE else base_bytes)


def turboquant_slot_bytes(head_dim: int, key_bits: int, value_bits: int) -> int:
    """Bytes of K and V of one head: FP8 keys, or packed keys with an f16 norm; packed values with
    f16 scale and zero; the sum rounded up to an even number (vllm .../turboquant/config.py)."""
    key = head_dim if key_bits == 8 else ceil_div(head_dim * key_bits, 8) + 2
    slot = key + ceil_div(head_dim * value_bits, 8) + 4
    return slot + slot % 2


def latent_token_bytes(layer: LayerSpec, kv_format: str, base_bytes: int) -> int:
    """Bytes of one token's latent vector: (latent + rope) x bytes.

    With a sparse indexer FP8 means fp8_ds_mla: latent FP8 + an f32 scale per 128 + bf16 rope = 656 B
    for 512 + 64; NVFP4 is 352 B (mla_attention.py).
    """
    if layer.indexer_dim and kv_format in (*_ONE_BYTE, "fp8_ds_mla"):
        return layer.latent_dim + layer.latent_dim // 128 * _SCALE_BYTES + 2 * layer.rope_dim
    if kv_format == "fp8_ds_mla":
        return layer.latent_dim + layer.latent_dim // 128 * _SCALE_BYTES + 2 * layer.rope_dim
    if kv_format.startswith("nvfp4") and layer.indexer_dim:
        return 352
    return (layer.latent_dim + layer.rope_dim) * (1 if kv_format in _ONE_BYTE else base_bytes)


def indexer_token_bytes(layer: LayerSpec) -> int:
    """Bytes of one token's sparse-indexer key: FP8 values + an f32 scale per 128 (128 + 4 = 132)."""
    return layer.indexer_dim + layer.indexer_dim // 128 * _SCALE_BYTES


def state_bytes(
    state: StateSpec,
    tensor_parallel: int,
    *,
    conv_value_bytes: int,
    state_value_bytes: int,
    speculative_tokens: int = 0,
) -> int:
    """Bytes of one recurrent state on one rank: conv x bytes + recurrence x bytes.

    The rolling convolution keeps kernel - 1 + speculative columns. Mamba2's groups are repeated when
    they do not divide by the ranks (MambaStateShapeCalculator, mamba_utils.py).
    """
    channels = state.conv_channels
    columns = state.conv_kernel - 1 + speculative_tokens
    if not channels:
        channels, columns = state.conv_values_count, 1
    if state.kind == "mamba2" and state.groups_count and state.groups_count % tensor_parallel:
        channels += 2 * (tensor_parallel - state.groups_count) * state.state_dim
    conv = channels // tensor_parallel * columns
    return conv * conv_value_bytes + state.ssm_values_count // tensor_parallel * state_value_bytes


def caches_of(
    layers: Sequence[LayerSpec], *, kv_format: str, base_bytes: int, tensor_parallel: int,
    state_value_bytes: int, speculative_tokens: int, is_hybrid_manager_off: bool = False,
) -> tuple[Cache, ...]:  # fmt: skip
    """The caches of all layers: attention (unless it reads another layer's), indexer and state."""
    found: list[Cache] = []
    for layer in layers:
        if layer.attention != "none" and layer.shares_kv_with is None:
            size = token_bytes(layer, kv_format, base_bytes, tensor_parallel)
            kind: CacheKind = layer.attention
            if kind in ("sliding", "chunked") and is_hybrid_manager_off:
                kind = "full"
            window = (layer.window_tokens or 0) if kind in ("sliding", "chunked") else 0
            found.append(Cache(kind=kind, token_bytes=size, window_tokens=window))
            if layer.indexer_dim:
                found.append(Cache(kind="latent", token_bytes=indexer_token_bytes(layer)))
        if layer.state is not None:
            size = state_bytes(
                layer.state, tensor_parallel, conv_value_bytes=base_bytes,
                state_value_bytes=state_value_bytes, speculative_tokens=speculative_tokens,
            )  # fmt: skip
            found.append(Cache(kind="state", state_bytes=size))
    return tuple(found)


def attention_block_tokens(caches: Sequence[Cache], default_tokens: int) -> int:
    """Tokens per block: the backend's (16; 64 for latent), grown in hybrids until the largest attention
    page covers a state: default x ceil(state / (default x token bytes)); latent hybrids in steps of 128."""
    states = [c.state_bytes for c in caches if c.kind == "state"]
    attention = [c for c in caches if c.kind != "state"]
    if not states or not attention:
        return default_tokens
    per_token = max(c.token_bytes for c in attention)
    step = max(default_tokens, 128) if any(c.kind == "latent" for c in attention) else default_tokens
    return max(default_tokens, step * ceil_div(max(states), step * per_token))


def plan(
    caches: Sequence[Cache],
    *,
    default_block_tokens: int,
    padding_ratio: float,
    grows_padded_blocks: bool = False,
) -> Plan:
    """Group the layers and size the block.

    One kind of cache (all full, or all of one window): one group, block = sum of all pages.
    Several kinds: pages are unified by growing the blocks of small pages (or padding what does not
    divide), then each kind is cut into groups of equally many layers: the fewest layers of any kind,
    or the most, when that is less than `padding_ratio` times the fewest.
    """
    tokens = attention_block_tokens(caches, default_block_tokens)
    paged = [_paged(c, tokens) for c in caches]
    if not paged:  # a pipeline stage whose layers all read another stage's cache
        return Plan(groups=(), block_bytes=0, block_tokens=tokens)
    kinds = {(c.kind if c.kind not in ("full", "latent") else "full", c.window_tokens) for c in paged}
    if len(kinds) <= 1:
        block_bytes = sum(c.page_bytes for c in paged)
        group = Group(cache=paged[0], layers_count=len(paged))
        return Plan(groups=(group,), block_bytes=block_bytes, block_tokens=paged[0].block_tokens or tokens)
    page = max(c.page_bytes for c in paged)
    counted: dict[Cache, int] = {}
    for cache in paged:
        unified = _unified(cache, page, grows_padded_blocks)
        counted[unified] = counted.get(unified, 0) + 1
    fewest, most = min(counted.values()), max(counted.values())
    size = most if most < fewest * padding_ratio else fewest
    groups = tuple(
        Group(cache=cache, layers_count=size)
        for cache, count in counted.items()
        for _ in range(ceil_div(count, size))
    )
    return Plan(groups=groups, block_bytes=page * size, block_tokens=tokens)


def _paged(cache: Cache, block_tokens: int) -> Cache:
    if cache.kind == "state":
        return replace(cache, page_bytes=cache.state_bytes)
    return replace(cache, block_tokens=block_tokens, page_bytes=cache.token_bytes * block_tokens)


def _unified(cache: Cache, page_bytes: int, grows_padded_blocks: bool) -> Cache:
    """The cache with the common page: more tokens per block where it divides, else padded (by releases
    before 0.33 after growing as far as it goes)."""
    if cache.kind == "state" or (page_bytes % cache.page_bytes and not grows_padded_blocks):
        return replace(cache, page_bytes=page_bytes)
    return replace(
        cache, page_bytes=page_bytes, block_tokens=cache.block_tokens * (page_bytes // cache.page_bytes)
    )


def request_blocks(
    cache: Cache, *, context_tokens: int, in_flight_tokens: int, state_blocks: int, context_parallel: int = 1
) -> int:
    """Blocks one request takes in one group.

    Full and latent: ceil(context / (block x context-parallel ranks)). Sliding:
    ceil(min(window - 1 + in flight, context) / block) + 1. Chunked: ceil(min(chunk + in flight,
    context) / block). State: 1 + speculative tokens, or more with prefix caching (`state_blocks`).
    """
    if cache.kind == "state":
        return state_blocks
    if cache.kind == "sliding":
        return (
            ceil_div(min(cache.window_tokens - 1 + in_flight_tokens, context_tokens), cache.block_tokens) + 1
        )
    if cache.kind == "chunked":
        return ceil_div(min(cache.window_tokens + in_flight_tokens, context_tokens), cache.block_tokens)
    return ceil_div(ceil_div(context_tokens, context_parallel), cache.block_tokens)


def blocks_bytes(block_bytes: int, blocks_per_sequence: Mapping[str, int], sequences_count: int) -> int:
    """Resident bytes: bytes of a block x blocks of all groups x sequences."""
    return block_bytes * sum(blocks_per_sequence.values()) * sequences_count


def printed_tokens(blocks_count: int, groups_count: int, block_tokens: int, context_parallel: int) -> int:
    """What "GPU KV cache size" meant before 0.21: blocks // groups x block size x context-parallel ranks."""
    return blocks_count // groups_count * block_tokens * context_parallel
