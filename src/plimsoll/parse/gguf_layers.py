"""What llama.cpp makes of the layers a GGUF describes: windows, latents, states, shared caches.

Source: src/llama-model.cpp (load_hparams, load_swa_pattern, create_memory), src/llama-hparams.cpp and
load_arch_hparams in src/models/*.cpp of llama.cpp at 0c1e57098. Where the file is silent, llama.cpp
falls back on what it hard-codes per architecture; those tables stand here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from plimsoll.domain.model import LayerSpec, StateKind, StateSpec
from plimsoll.errors import MalformedGguf, UnsupportedArchitecture
from plimsoll.parse.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How an architecture decides which layers slide.

    `period` as in set_swa_pattern: of each `period` layers one is dense, the last, or the first when
    `dense_first`; 0 makes every layer slide. None: the file must carry a pattern array.
    `fixed_tokens` overrides what the file says; `default_tokens` stands in when it says nothing.
    """

    period: int | None
    dense_first: bool = False
    default_tokens: int = 0
    fixed_tokens: int = 0
    is_chunked: bool = False


WINDOWS: dict[str, Window] = {
    "afmoe": Window(period=4), "cohere2": Window(period=4), "cohere2moe": Window(period=4, dense_first=True),
    "exaone-moe": Window(period=4), "exaone4": Window(period=4, default_tokens=4096),
    "gemma2": Window(period=2, default_tokens=4096), "gemma3": Window(period=6), "gemma3n": Window(period=5),
    "gemma-embedding": Window(period=6), "gpt-oss": Window(period=2),
    "laguna": Window(period=4, dense_first=True), "mellum": Window(period=4),
    "modern-bert": Window(period=3, dense_first=True),
    "llama4": Window(period=4, fixed_tokens=8192, default_tokens=8192, is_chunked=True),
    "muse-glimmer": Window(period=4), "olmo2": Window(period=4), "plamo3": Window(period=8),
    "smallthinker": Window(period=4, dense_first=True, fixed_tokens=4096),
    "dots3note": Window(period=None), "gemma4": Window(period=None), "granite_swa": Window(period=None),
    "maple": Window(period=None), "mimo2": Window(period=None), "spark2_5": Window(period=None),
    "step35": Window(period=None),
}  # fmt: skip

RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
# A layer without KV heads is recurrent.
_RECURRENT_WITHOUT_KV = frozenset(
    {
        "jamba",
        "granitehybrid",
        "lfm2",
        "lfm2moe",
        "plamo2",
        "kimi-linear",
        "kimi-k3",
        "bailingmoe3",
        "glm5-next",
    }
)
# full_attention_interval when the file does not say it.
_INTERVALS = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
_NEMOTRON = frozenset({"nemotron_h", "nemotron_h_moe"})
# create_memory gives the blocks of the draft head a cache, too.
_DRAFT_HAS_CACHE = frozenset({"minimax-m3", "hy_v4", "bailingmoe3", "kimi-linear", "kimi-k3"})
_STATE_KINDS: dict[str, StateKind] = {
    "mamba": "mamba1", "jamba": "mamba1", "mamba2": "mamba2", "granitehybrid": "mamba2",
    "nemotron_h": "mamba2", "nemotron_h_moe": "mamba2", "falcon-h1": "mamba2", "plamo2": "mamba2",
    "qwen3next": "gated_delta", "qwen35": "gated_delta", "qwen35moe": "gated_delta",
    "qwen4exp": "gated_delta",
    "kimi-linear": "kda", "kimi-k3": "kda", "bailingmoe3": "kda", "glm5-next": "kda",
    "minimax-01": "lightning", "lfm2": "short_conv", "lfm2moe": "short_conv",
    "rwkv6": "rwkv", "rwkv6qwen2": "rwkv", "rwkv7": "rwkv", "arwkv7": "rwkv",
}  # fmt: skip
# Caches that LayerSpec cannot say yet, and files that are no language model by themselves.
UNSUPPORTED = {
    "deepseek4": "its compressed cache is not modelled yet",
    "dflash": "it is a draft head that needs its target model",
    "eagle3": "it is a draft head that needs its target model",
    "gemma4-assistant": "it is a draft head that reads its target's cache",
    "clip": "it is a vision or audio projector; give the language model beside it",
    "wavtokenizer-dec": "it is an audio decoder",
    "t5": "encoder-decoder models are not modelled yet",
    "t5encoder": "encoders are not modelled yet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """What the tensor table says of one block: widths that no key repeats."""

    has_sinks: bool = False
    ffn_dim: int = 0
    expert_dim: int = 0
    experts_count: int = 0
    shared_expert_dim: int = 0


def layers_of(keys: Keys, architecture: str, shapes: Callable[[int], Shapes]) -> tuple[LayerSpec, ...]:
    """One LayerSpec per block that has a cache, a state or a feed-forward part in llama.cpp.

    Raises UnsupportedArchitecture where the cache cannot be told, MalformedGguf for impossible keys.
    """
    if architecture in UNSUPPORTED:
        raise UnsupportedArchitecture(
            f"the architecture {architecture!r} is not read: {UNSUPPORTED[architecture]}", where=keys.where
        )
    facts = _Facts.of(keys, architecture)
    layers = [_layer(facts, index, shapes(index)) for index in range(facts.layers_count)]
    loops = keys.count("num_loops", default=1) if architecture == "nanbeige" else 1
    if loops > 1:
        return tuple(_moved(layer, turn * len(layers)) for turn in range(loops) for layer in layers)
    if architecture == "graniteswitch":
        # One more layer with a single head holds the choice of adapter.
        router = replace(layers[0], index=len(layers), query_heads_count=1, kv_heads_count=1, ffn_dim=0)
        return (*layers, router)
    return tuple(layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The keys of one file, spread over its layers."""

    architecture: str
    keys: Keys
    layers_count: int
    trunk_count: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    ffn: tuple[int, ...]
    active: tuple[int, ...]
    slides: tuple[bool, ...]
    recurs: tuple[bool, ...]
    indexes: tuple[bool, ...]
    window_tokens: int
    kv_from_start: int | None
    state: StateSpec | None

    @classmethod
    def of(cls, keys: Keys, architecture: str) -> _Facts:
        """Read everything that decides what a layer keeps."""
        blocks = keys.count("block_count")
        if not 0 < blocks <= 512:
            raise MalformedGguf(
                f"{blocks} blocks (1 to 512 are possible)", where=f"{keys.where}#{keys.prefix}block_count"
            )
        draft = keys.count("nextn_predict_layers", default=0)
        if draft > blocks:
            raise MalformedGguf(
                f"{draft} draft blocks of {blocks}", where=f"{keys.where}#{keys.prefix}nextn_predict_layers"
            )
        trunk = blocks - draft
        heads = per_layer(keys, "attention.head_count", blocks, 0)
        kv_heads = per_layer(keys, "attention.head_count_kv", blocks, heads)
        ffn = per_layer(keys, "feed_forward_length", blocks, 0)
        window = _window_tokens(keys, architecture, trunk)
        recurs = _recurrent(keys, architecture, blocks, trunk, kv_heads, ffn)
        has_cache_everywhere = architecture in _DRAFT_HAS_CACHE or trunk == 0
        return cls(
            architecture=architecture, keys=keys, layers_count=blocks if has_cache_everywhere else trunk,
            trunk_count=trunk, heads=heads, kv_heads=kv_heads, ffn=ffn,
            active=per_layer(keys, "expert_used_count", blocks, 0),
            slides=_sliding(keys, architecture, blocks, trunk, recurs) if window else (False,) * blocks,
            recurs=recurs, indexes=_indexers(keys, architecture, blocks, trunk, recurs),
            window_tokens=window, kv_from_start=_kv_from_start(keys, architecture, blocks),
            state=_state(keys, architecture, heads[0]) if any(recurs) else None,
        )  # fmt: skip


def per_layer(keys: Keys, name: str, blocks: int, default: int | tuple[int, ...]) -> tuple[int, ...]:
    """A key that is one number for all layers or an array with one for each (get_key_or_arr)."""
    value = keys.raw(name)
    if value is None:
        return default if isinstance(default, tuple) else (default,) * blocks
    if isinstance(value, tuple):
        good = all(isinstance(v, int) and 0 <= v < 2**32 for v in value)
        if len(value) != blocks or not good:
            raise MalformedGguf(
                f"an array of {len(value)} where one number per block ({blocks}) is needed",
                where=f"{keys.where}#{keys.prefix}{name}",
            )
        return tuple(int(v) for v in value)
    return (keys.count(name),) * blocks


def _window_tokens(keys: Keys, architecture: str, trunk: int) -> int:
    """n_swa: 0 where llama.cpp does not let any layer slide, whatever the file says."""
    window = WINDOWS.get(architecture)
    if architecture in ("lfm2", "lfm2moe"):
        return keys.count("attention.sliding_window", default=0) if architecture == "lfm2" else 0
    if window is None or (architecture == "exaone4" and trunk != 64):
        return 0
    tokens = keys.count("attention.sliding_window", default=window.default_tokens)
    return window.fixed_tokens if tokens and window.fixed_tokens else tokens


def _sliding(
    keys: Keys, architecture: str, blocks: int, trunk: int, recurs: tuple[bool, ...]
) -> tuple[bool, ...]:
    """is_swa of each layer: the file's array, else its period, else the architecture's period."""
    if architecture == "lfm2":
        return tuple(not recurring and i < trunk for i, recurring in enumerate(recurs))
    window = WINDOWS[architecture]
    pattern = keys.raw("attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        if len(pattern) < trunk or len(pattern) > 512:
            raise MalformedGguf(
                f"an array of {len(pattern)} for {blocks} blocks",
                where=f"{keys.where}#{keys.prefix}attention.sliding_window_pattern",
            )
        return tuple(bool(v) for v in pattern[:blocks]) + (False,) * (blocks - len(pattern))
    period = keys.count("attention.sliding_window_pattern", default=window.period)
    if not period:
        return tuple(i < trunk for i in range(blocks))
    dense = 0 if window.dense_first else period - 1
    return tuple(i < trunk and i % period != dense for i in range(blocks))


def _recurrent(
    keys: Keys, architecture: str, blocks: int, trunk: int, kv_heads: tuple[int, ...], ffn: tuple[int, ...]
) -> tuple[bool, ...]:
    """is_recr of each layer."""
    if architecture in RECURRENT or architecture == "falcon-h1":
        return (True,) * blocks
    if architecture in _RECURRENT_WITHOUT_KV:
        return tuple(heads == 0 for heads in kv_heads)
    if architecture in _NEMOTRON:
        return tuple(i < trunk and kv_heads[i] == 0 and ffn[i] == 0 for i in range(blocks))
    if architecture in _INTERVALS:
        if keys.has("attention.recurrent_layers"):
            return tuple(bool(v) for v in per_layer(keys, "attention.recurrent_layers", blocks, 0))
        interval = max(keys.count("full_attention_interval", default=_INTERVALS[architecture]), 1)
        return tuple(i < trunk and (i + 1) % interval != 0 for i in range(blocks))
    return (False,) * blocks


def _indexers(
    keys: Keys, architecture: str, blocks: int, trunk: int, recurs: tuple[bool, ...]
) -> tuple[bool, ...]:
    """Which layers keep an indexer key per token."""
    if not keys.count("attention.indexer.key_length", default=0):
        return (False,) * blocks
    types = keys.raw("attention.indexer.types")
    if isinstance(types, tuple):
        return tuple(bool(v) for v in types[:blocks]) + (False,) * (blocks - len(types))
    if architecture == "minimax-m3":
        dense = keys.count("leading_dense_block_count", default=0)
        return tuple(i >= dense for i in range(blocks))
    if architecture == "glm-dsa" and keys.count("context_length") >= 2**20:
        # GLM 5.2 without the key: the first two, then every fourth.
        return tuple(i < trunk and (i < 2 or (i - 2) % 4 == 0) for i in range(blocks))
    if architecture in ("hy_v4", "dots3note"):
        return (False,) * blocks
    return tuple(i < trunk and not recurs[i] for i in range(blocks))


def _kv_from_start(keys: Keys, architecture: str, blocks: int) -> int | None:
    """n_layer_kv_from_start: later layers read the cache of an earlier one."""
    if architecture == "gemma3n":
        return min(20, blocks)
    if architecture == "gemma4":
        shared = keys.count("attention.shared_kv_layers", default=0)
        if shared > blocks - 2:
            raise MalformedGguf(
                f"{shared} of {blocks} layers share a cache",
                where=f"{keys.where}#{keys.prefix}attention.shared_kv_layers",
            )
        return blocks - shared
    return None


def _state(keys: Keys, architecture: str, heads: int) -> StateSpec:
    """n_embd_r and n_embd_s of llama-hparams.cpp: values per layer and sequence, both kept in f32."""
    kind = _STATE_KINDS[architecture]
    hidden = keys.count("embedding_length")
    if kind == "rwkv":
        shifts, head = keys.count("token_shift_count", default=2), keys.count("wkv.head_size")
        return StateSpec(
            kind=kind, conv_values_count=shifts * hidden, ssm_values_count=hidden * head,
            heads_count=hidden // max(head, 1), head_dim=head, state_dim=head,
        )  # fmt: skip
    if kind == "short_conv":
        kernel = keys.count("shortconv.l_cache")
        return StateSpec(
            kind=kind, conv_values_count=hidden * max(kernel - 1, 0), ssm_values_count=0,
            conv_kernel=kernel, conv_channels=hidden,
        )  # fmt: skip
    if kind == "kda":
        kernel, head = keys.count("ssm.conv_kernel"), keys.count("kda.head_dim")
        return StateSpec(
            kind=kind, conv_values_count=3 * (kernel - 1 if kernel else 3) * heads * head,
            ssm_values_count=heads * head * head, conv_kernel=kernel, conv_channels=3 * heads * head,
            heads_count=heads, head_dim=head, state_dim=head,
        )  # fmt: skip
    if kind == "lightning":
        head = keys.count("attention.key_length", default=hidden // max(heads, 1))
        return StateSpec(
            kind=kind, conv_values_count=0, ssm_values_count=heads * head * head, heads_count=heads,
            head_dim=head, state_dim=head,
        )  # fmt: skip
    kernel, inner, state = (
        keys.count("ssm.conv_kernel"),
        keys.count("ssm.inner_size"),
        keys.count("ssm.state_size"),
    )
    groups, steps = keys.count("ssm.group_count", default=0), keys.count("ssm.time_step_rank", default=0)
    channels = inner + 2 * groups * state
    recurrent_heads = steps if kind != "mamba1" else 0
    return StateSpec(
        kind=kind, conv_values_count=max(kernel - 1, 0) * channels, ssm_values_count=state * inner,
        conv_kernel=kernel, conv_channels=channels, heads_count=recurrent_heads,
        head_dim=inner // recurrent_heads if recurrent_heads else 0, state_dim=state, groups_count=groups,
    )  # fmt: skip


def _layer(facts: _Facts, index: int, shapes: Shapes) -> LayerSpec:
    """One layer: attention unless it only recurs, its state, its feed-forward part."""
    name = facts.architecture
    recurs = facts.recurs[index]
    attends = not recurs or name == "falcon-h1"
    if name in _NEMOTRON:
        attends = not recurs and facts.ffn[index] == 0
    if not facts.kv_heads[index]:
        attends = False
    attention = _attention(facts, index) if attends else {"attention": "none"}
    experts = shapes.experts_count
    return LayerSpec(
        index=index, state=facts.state if recurs else None, has_sinks=shapes.has_sinks,
        ffn_dim=shapes.ffn_dim, experts_count=experts,
        active_experts_count=facts.active[index] if experts else 0, expert_dim=shapes.expert_dim,
        shared_expert_dim=shapes.shared_expert_dim, **attention,
    )  # fmt: skip


def _attention(facts: _Facts, index: int) -> dict[str, object]:
    """The attention fields of a LayerSpec; see n_embd_head_k and is_mla in llama-hparams.cpp."""
    keys, slides = facts.keys, facts.slides[index]
    heads, kv_heads = facts.heads[index], facts.kv_heads[index]
    width = keys.count("embedding_length") // max(facts.heads[0], 1)
    key_dim = keys.count("attention.key_length", default=width)
    value_dim = keys.count("attention.value_length", default=width)
    if slides:
        key_dim = keys.count("attention.key_length_swa", default=key_dim)
        value_dim = keys.count("attention.value_length_swa", default=value_dim)
    window = WINDOWS.get(facts.architecture)
    kind = "full" if not slides else "chunked" if window is not None and window.is_chunked else "sliding"
    start = facts.kv_from_start
    fields: dict[str, object] = {
        "attention": kind, "query_heads_count": heads, "kv_heads_count": kv_heads,
        "key_dim": key_dim, "value_dim": value_dim,
        "window_tokens": facts.window_tokens if slides else None,
        "query_latent_dim": keys.count("attention.q_lora_rank", default=0),
        "shares_kv_with": start - (2 if slides else 1) if start is not None and index >= start else None,
    }  # fmt: skip
    if facts.indexes[index]:
        fields["indexer_dim"] = keys.count("attention.indexer.key_length")
        fields["indexer_heads_count"] = keys.count("attention.indexer.head_count", default=0)
    suffix = "_swa" if slides and keys.has("attention.key_length_mla_swa") else ""
    if keys.count("attention.key_length_mla", default=0) and keys.count(
        "attention.value_length_mla", default=0
    ):
        latent = keys.count(f"attention.kv_lora_rank{suffix}")
        fields |= {
            "attention": "latent", "latent_dim": latent, "rope_dim": max(key_dim * kv_heads - latent, 0),
            "key_dim": keys.count(f"attention.key_length_mla{suffix}"),
            "value_dim": keys.count(f"attention.value_length_mla{suffix}"),
        }  # fmt: skip
    return fields


def _moved(layer: LayerSpec, by: int) -> LayerSpec:
    """The same layer further up: a looped stack has one cache per turn."""
    return replace(layer, index=layer.index + by)
