"""What is in a model: counts, bytes, context and cache, from its layers and its tensor table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from plimsoll.domain.explanation import Cache, CacheRow, ContextWindow, FormatShare, Share
from plimsoll.domain.model import LayerSpec, Model, RopeSpec, TensorSpec
from plimsoll.formulas.cache_growth import cache_bytes, cached_tokens, state_bytes
from plimsoll.formulas.quant_specs import published
from plimsoll.formulas.weights import active_parameters_count, parameters_count

SHOWN_CONTEXTS = tuple(1024 * 2**i for i in range(0, 11, 2))
_PLAIN = ("bf16", "f16", "f32")
_ROLE_ORDER = (
    "expert", "shared_expert", "ffn", "attention", "state", "embedding", "output", "router", "norm", "vision",
    "audio", "projector", "mtp", "other",
)  # fmt: skip
# Kinds of RoPE that stretch positions beyond what the model was pretrained with.
_STRETCHES = ("linear", "dynamic", "yarn", "longrope", "llama3", "su", "proportional")


def shares(model: Model) -> tuple[Share, ...]:
    """Parameters, active parameters and published bytes by role, largest first in a fixed order of roles.

    The bytes are those of the checkpoint (`published`), the counts those of the parameters in it.
    """
    stored = published(model)
    found = []
    for role in _ROLE_ORDER:
        own = [t for t in model.tensors if t.role == role]
        if own:
            found.append(
                Share(
                    role=role, parameters_count=parameters_count(own),
                    active_parameters_count=active_parameters_count(own, model.layers),
                    size_bytes=sum(t.size_bytes for t in stored if t.role == role),
                )
            )  # fmt: skip
    return tuple(found)


def stated_is(stated: str, *, without_embedding: int, with_embedding: int) -> str:
    """Which count of active parameters a publisher's words ('3.3B') give when rounded (or else cut off)."""
    match = re.fullmatch(r"([0-9]+(?:\.([0-9]+))?)\s*([BMT]?)", stated.strip(), re.IGNORECASE)
    if match is None:
        return ""
    digits = len(match[2] or "")
    unit = {"": 1, "M": 10**6, "B": 10**9, "T": 10**12}[match[3].upper()]
    value = float(match[1])
    if not match[3] and value % 10**9 == 0:
        value, unit = value / 10**9, 10**9
    step = 10.0**-digits
    counts = {
        "without the input embedding": without_embedding / unit,
        "with the input embedding": with_embedding / unit,
    }  # fmt: skip
    rounded = [name for name, count in counts.items() if round(count, digits) == value]
    cut_off = [name for name, count in counts.items() if value <= count < value + step]
    return " and ".join(rounded or cut_off) or "neither of these counts"


def formats(model: Model) -> tuple[FormatShare, ...]:
    """Published bytes by format, largest first; scales and indices of quantised matrices apart."""
    groups: dict[tuple[str, str], list[TensorSpec]] = {}
    stored = published(model)
    base = {t.name for t in model.tensors} if stored is not model.tensors else set()
    for tensor in stored:
        is_scale = model.quantisation is not None and tensor.is_buffer and tensor.name not in base
        is_scale = is_scale and tensor.role not in ("router", "other")
        groups.setdefault((tensor.format, "scales" if is_scale else "weights"), []).append(tensor)
    found = [_format_share(name, holds, tensors) for (name, holds), tensors in groups.items()]
    return tuple(sorted(found, key=lambda share: (-share.size_bytes, share.format)))


def _format_share(name: str, holds: str, tensors: Sequence[TensorSpec]) -> FormatShare:
    by_role: dict[str, int] = {}
    for tensor in tensors:
        by_role[tensor.role] = by_role.get(tensor.role, 0) + tensor.size_bytes
    ordered = dict(sorted(by_role.items(), key=lambda item: -item[1]))
    return FormatShare(
        format=name, holds=holds, size_bytes=sum(by_role.values()), tensors_count=len(tensors),
        by_role_bytes=ordered,
    )  # fmt: skip


def cache(layers: Sequence[LayerSpec], trained_tokens: int | None) -> Cache:
    """The cache of one sequence at round contexts and at the trained one."""
    contexts = sorted({*SHOWN_CONTEXTS, *((trained_tokens,) if trained_tokens else ())})
    own = [x for x in layers if x.attention != "none"]
    keeping = [x for x in own if x.shares_kv_with is None]
    far = 2 * max([x.window_tokens or 0 for x in layers] + [x.compress_rate_tokens for x in layers] + [1])
    step = max([x.compress_rate_tokens for x in layers] + [1])
    later = cache_bytes(layers, far + step, "f16") - cache_bytes(layers, far, "f16")
    return Cache(
        growing_layers_count=sum(not x.window_tokens for x in keeping),
        window_layers_count=sum(bool(x.window_tokens) for x in keeping),
        shared_layers_count=len(own) - len(keeping),
        state_layers_count=sum(x.state is not None for x in layers),
        first_token_f16_bytes=cache_bytes([x for x in layers if cached_tokens(x, 1)], 1, "f16"),
        later_token_f16_bytes=later // step,
        state_f32_bytes=state_bytes(layers, 4),
        rows=tuple(_row(layers, context) for context in contexts),
    )  # fmt: skip


def _row(layers: Sequence[LayerSpec], context: int) -> CacheRow:
    try:
        packed: int | None = cache_bytes(layers, context, "q8_0")
    except ValueError:
        packed = None
    return CacheRow(
        context_tokens=context, f16_bytes=cache_bytes(layers, context, "f16"), q8_0_bytes=packed,
        fp8_bytes=cache_bytes(layers, context, "fp8_e4m3"),
    )  # fmt: skip


def context_window(model: Model) -> ContextWindow:
    """What the config allows, what it was trained with before positions were stretched, and how."""
    rope, trained = model.rope, model.trained_context_tokens
    if rope is None:
        return ContextWindow(
            trained_tokens=trained, native_tokens=trained, extension="no rotary positions", rope=None
        )
    if rope.kind not in _STRETCHES:
        return ContextWindow(trained_tokens=trained, native_tokens=trained, extension="", rope=rope)
    return ContextWindow(
        trained_tokens=trained, native_tokens=_native(rope, trained), extension=_extension(rope), rope=rope
    )


def _native(rope: RopeSpec, trained: int | None) -> int | None:
    """original_max_position_embeddings; dynamic scaling leaves the trained length as it is."""
    if rope.original_context_tokens:
        return rope.original_context_tokens
    return trained if rope.kind in ("dynamic", "proportional") else None


def _extension(rope: RopeSpec) -> str:
    names = {
        "yarn": "YaRN", "linear": "linear interpolation", "llama3": "Llama 3 frequency scaling",
        "longrope": "LongRoPE (a factor per frequency)", "su": "LongRoPE (a factor per frequency)",
        "dynamic": "dynamic NTK", "proportional": "proportional RoPE",
    }  # fmt: skip
    factor = f", factor {rope.factor:g}" if rope.factor != 1.0 else ""
    return f"{names[rope.kind]}{factor}"
