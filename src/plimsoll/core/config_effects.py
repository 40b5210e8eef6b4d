"""What the value of a config key means for this model, in numbers computed from its layers and tensors.

Each function takes the Scene of one key and returns sentences; a key names its function in the catalog
(`computed` in catalog/config_keys/*.toml).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from plimsoll.domain.model import LayerSpec, Model, Role
from plimsoll.formulas.cache_growth import cache_bytes
from plimsoll.formulas.weights import active_parameters_count, parameters_count
from plimsoll.units import format_bytes, format_count, format_parameters

Said = tuple[str, ...]
_LONG_TOKENS = 131_072


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One key with its value, the section of config.json it stands in, and the model it belongs to."""

    model: Model
    section: Mapping[str, Any]
    key: str
    value: Any

    def count(self, *names: str) -> int | None:
        """A sibling key's whole number, or None."""
        values = (self.section.get(name) for name in names)
        return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def kv_heads(scene: Scene) -> Said:
    """How much smaller the cache is than with a KV head per query head."""
    heads = scene.count("num_attention_heads", "n_head")
    if not heads or not _is_count(scene.value) or any(x.attention == "latent" for x in scene.model.layers):
        if any(x.attention == "latent" for x in scene.model.layers):
            return (
                "Latent attention caches one row for all heads, so this does not set the size of the cache.",
            )
        return ()
    share = heads / scene.value
    if share == 1:
        return (f"Every query head has its own KV head (multi-head attention). {_at_long(scene.model)}",)
    return (
        f"KV cache is {share:g} times smaller than with {heads} KV heads: {scene.value} cached for {heads} "
        f"query heads. {_at_long(scene.model)}",
        f"Up to {scene.value} tensor-parallel ranks hold different KV heads; more ranks keep copies.",
    )


def _at_long(model: Model) -> str:
    tokens = min(model.trained_context_tokens or _LONG_TOKENS, _LONG_TOKENS)
    size = format_bytes(cache_bytes(model.layers, tokens, "f16"))
    return f"The cache of {format_count(tokens)} tokens is {size} in f16."


def query_heads(scene: Scene) -> Said:
    """Heads and what they cost in parameters."""
    said = _role(scene.model, "attention", "Attention holds")
    groups = scene.count("num_key_value_heads")
    if _is_count(scene.value) and groups and scene.value % groups == 0 and scene.value != groups:
        said += (f"{scene.value // groups} query heads share one KV head.",)
    if _is_count(scene.value):
        sizes = [n for n in (2, 4, 8, 16, 32) if scene.value % n == 0]
        if sizes:
            said += (f"Tensor parallelism divides it by {', '.join(map(str, sizes))}.",)
    return said


def head_dim(scene: Scene) -> Said:
    """Width of a head against hidden_size / heads."""
    heads, hidden = scene.count("num_attention_heads"), scene.count("hidden_size")
    if not (heads and hidden and _is_count(scene.value)):
        return ()
    usual = hidden / heads
    if usual == scene.value:
        return (f"Equal to hidden_size / num_attention_heads = {hidden} / {heads}.",)
    return (
        f"Set on its own: hidden_size / num_attention_heads would be {usual:g}, and assuming that "
        f"puts the KV cache off by {scene.value / usual:.3g} times.",
    )


def hidden(scene: Scene) -> Said:
    """The width and what is proportional to it."""
    total = format_parameters(parameters_count(scene.model.tensors))
    return (f"Every matrix has this width on one side; the model holds {total} parameters.",)


def layers(scene: Scene) -> Said:
    """Parameters and cache per layer."""
    model = scene.model
    if not model.layers or not _is_count(scene.value):
        return ()
    inside = sum(t.elements_count for t in model.tensors if t.layer is not None and not t.is_buffer)
    kept = sum(t.elements_count for t in model.tensors if t.role == "mtp" and not t.is_buffer)
    each = format_parameters((inside - kept) // len(model.layers))
    size = format_bytes(cache_bytes(model.layers, 1024, "f16") // len(model.layers))
    return (f"A layer holds {each} parameters and {size} of f16 cache per 1,024 tokens, on average.",)


def vocabulary(scene: Scene) -> Said:
    """Rows of the embedding and of the output, and the logits buffer."""
    if not _is_count(scene.value):
        return ()
    model = scene.model
    own = sum(
        t.elements_count for t in model.tensors if t.role in ("embedding", "output") and not t.is_buffer
    )
    share = own / max(parameters_count(model.tensors), 1)
    matrices = "one matrix for both" if model.has_tied_embeddings else "embedding and output"
    return (
        f"{format_parameters(own)} parameters, {share:.1%} of the model ({matrices}).",
        f"The logits of one token take {format_bytes(scene.value * 4)} in f32.",
    )


def tied(scene: Scene) -> Said:
    """What sharing the two matrices saves or costs."""
    own = sum(
        t.elements_count for t in scene.model.tensors if t.role == "embedding" and "per_layer" not in t.name
    )
    size = format_parameters(own)
    if scene.value is True:
        return (f"The output uses the embedding's matrix: {size} parameters are stored once, not twice.",)
    return (f"The output has a matrix of its own beside the embedding's {size} parameters.",)


def context(scene: Scene) -> Said:
    """The cache at the whole context."""
    if not _is_count(scene.value) or not scene.model.layers:
        return ()
    size = format_bytes(cache_bytes(scene.model.layers, scene.value, "f16"))
    said: Said = (f"One sequence of {format_count(scene.value)} tokens takes {size} of f16 cache.",)
    rope = scene.model.rope
    if rope and rope.original_context_tokens and rope.original_context_tokens < scene.value:
        said += (f"{format_count(rope.original_context_tokens)} of them before positions were stretched.",)
    return said


def ffn(scene: Scene) -> Said:
    """Parameters of dense feed-forward layers."""
    dense = [x for x in scene.model.layers if x.ffn_dim == scene.value]
    if not dense:
        if any(x.expert_dim == scene.value for x in scene.model.layers):
            return ("Here it is the width of each expert.", *expert_dim(scene))
        return ("No layer of this model has a dense feed-forward part of this width.",)
    said = _role(scene.model, "ffn", "Dense feed-forward parts hold")
    return (*said, f"{len(dense)} of {len(scene.model.layers)} layers are dense.")


def experts(scene: Scene) -> Said:
    """Bytes to hold against bytes to read."""
    model = scene.model
    sparse = [x for x in model.layers if x.experts_count]
    if not sparse or not _is_count(scene.value):
        return ()
    held = sum(t.elements_count for t in model.tensors if t.role == "expert" and not t.is_buffer)
    share = held / parameters_count(model.tensors)
    read = {x.active_experts_count for x in sparse}
    each = held // sum(x.experts_count for x in sparse)
    return (
        f"Experts hold {format_parameters(held)} parameters ({share:.1%} of the model) in {len(sparse)} "
        f"layers, {format_parameters(each)} each; all of them must be in memory, in the GPU or in RAM.",
        f"A token reads {'/'.join(map(str, sorted(read)))} of {scene.value} per layer.",
    )


def experts_active(scene: Scene) -> Said:
    """Active parameters now, with one expert less and twice as many."""
    model = scene.model
    if not _is_count(scene.value) or not any(x.experts_count for x in model.layers):
        return ()
    counts = sorted({max(scene.value // 2, 1), scene.value, scene.value * 2})
    parts = [
        f"{n}: {format_parameters(_active(model, n))}"
        for n in counts
        if all(n <= x.experts_count for x in model.layers if x.experts_count)
    ]
    return (
        "It changes no byte of the weights and none of the cache, only what a token reads and computes.",
        f"Active parameters per token (input embedding included) by value: {', '.join(parts)}.",
    )


def _active(model: Model, experts_count: int) -> int:
    changed = tuple(
        replace(x, active_experts_count=experts_count) if x.experts_count else x for x in model.layers
    )
    return active_parameters_count(model.tensors, changed)


def expert_dim(scene: Scene) -> Said:
    """Parameters of one expert."""
    sparse = [x for x in scene.model.layers if x.experts_count]
    held = sum(t.elements_count for t in scene.model.tensors if t.role == "expert" and not t.is_buffer)
    if not sparse or not held:
        return ()
    each = held // sum(x.experts_count for x in sparse)
    return (f"One expert of one layer holds {format_parameters(each)} parameters.",)


def shared_experts(scene: Scene) -> Said:
    """What every token reads besides its own experts."""
    return _role(scene.model, "shared_expert", "Shared experts, read by every token, hold")


def dense_first(scene: Scene) -> Said:
    """How many layers are dense."""
    return (_counted(scene.model, lambda x: "experts" if x.experts_count else "dense"),)


def window(scene: Scene) -> Said:
    """What the window saves."""
    model = scene.model
    sliding = [x for x in model.layers if x.window_tokens]
    if not sliding:
        return ("No layer of this model uses a window, whatever the value.",)
    if not _is_count(scene.value):
        return ()
    tokens = min(model.trained_context_tokens or _LONG_TOKENS, _LONG_TOKENS)
    whole = tuple(replace(x, window_tokens=None) for x in model.layers)
    small, large = cache_bytes(model.layers, tokens, "f16"), cache_bytes(whole, tokens, "f16")
    if small == large:
        return (
            f"{len(sliding)} of {len(model.layers)} layers use it; it saves nothing below its own length.",
        )
    return (
        f"{len(sliding)} of {len(model.layers)} layers keep only this many tokens: {format_bytes(small)} of "
        f"f16 cache at {format_count(tokens)} tokens where full attention would take {format_bytes(large)}.",
    )


def layer_kinds(scene: Scene) -> Said:
    """Which kinds there are, and how many of each."""
    return (
        _counted(scene.model, lambda x: x.state.kind if x.state and x.attention == "none" else x.attention),
    )


def latent(scene: Scene) -> Said:
    """One cached row against full keys and values."""
    own = [x for x in scene.model.layers if x.attention == "latent"]
    if not own:
        return ()
    first = own[0]
    row, full = first.latent_dim + first.rope_dim, first.query_heads_count * (first.key_dim + first.value_dim)
    if not full or not row:
        return ()
    return (
        f"The cache holds {row} values per token and layer instead of {full:,} for {first.query_heads_count} "
        f"heads: {full / row:.3g} times less. {_at_long(scene.model)}",
    )


def state(scene: Scene) -> Said:
    """Bytes of the recurrent state."""
    own = [x for x in scene.model.layers if x.state]
    if not own:
        return ()
    values = sum(x.state.conv_values_count + x.state.ssm_values_count for x in own if x.state)
    return (
        f"{len(own)} of {len(scene.model.layers)} layers keep a state instead of a cache: "
        f"{format_bytes(values * 4)} in f32 per sequence, the same at every context.",
    )


def mtp(scene: Scene) -> Said:
    """Parameters of drafting layers."""
    held = sum(t.elements_count for t in scene.model.tensors if t.role == "mtp" and not t.is_buffer)
    if not held:
        return ("The weights of this model hold no such layers.",)
    return (
        f"{format_parameters(held)} parameters for drafting tokens; the answer does not need them, and a "
        "runtime that does not draft does not load them.",
    )


def quantisation(scene: Scene) -> Said:
    """The precision regime."""
    model = scene.model
    if model.quantisation is None:
        return ("This format is not understood here; sizes are those of the base type.",)
    bits = f"{model.quantisation.bits:g} bits, method {model.quantisation.method}"
    group = f", groups of {model.quantisation.group_size}" if model.quantisation.group_size else ""
    return (f"The checkpoint is stored quantised: {bits}{group}. It can only be loaded as that.",)


def dtype(scene: Scene) -> Said:
    """Bytes in this type."""
    sizes = {"bfloat16": 2, "float16": 2, "float32": 4}
    size = sizes.get(str(scene.value).removeprefix("torch."))
    count = parameters_count(scene.model.tensors)
    if size is None or scene.model.quantisation is not None:
        return ()
    return (f"{format_parameters(count)} parameters of {size} bytes are {format_bytes(count * size)}.",)


def rope_factor(scene: Scene) -> Said:
    """The stretched context."""
    rope = scene.model.rope
    if rope is None or not rope.original_context_tokens or not isinstance(scene.value, int | float):
        return ()
    native = rope.original_context_tokens
    reached = format_count(int(native * scene.value))
    return (f"{format_count(native)} tokens stretched {scene.value:g} times reach {reached}.",)


def rotated(scene: Scene) -> Said:
    """How much of a head is rotated."""
    if isinstance(scene.value, int | float) and 0 < scene.value < 1:
        return (f"{scene.value:.0%} of each head's values carry the position, the rest none.",)
    return ()


def vision(scene: Scene) -> Said:
    """Parameters of the tower."""
    held = sum(
        t.elements_count for t in scene.model.tensors if t.role in ("vision", "projector") and not t.is_buffer
    )
    if not held:
        return ("No tensors of a vision tower are counted for this model.",)
    return (
        f"The vision tower and its projector hold {format_parameters(held)} parameters; text needs none.",
    )


def audio(scene: Scene) -> Said:
    """Parameters of the tower."""
    return _role(scene.model, "audio", "The audio tower holds")


def _role(model: Model, role: Role, start: str) -> Said:
    held = sum(t.elements_count for t in model.tensors if t.role == role and not t.is_buffer)
    if not held:
        return ()
    share = held / parameters_count(model.tensors)
    return (f"{start} {format_parameters(held)} parameters, {share:.1%} of the model.",)


def _counted(model: Model, kind: Callable[[LayerSpec], str]) -> str:
    counts = Counter(kind(x) for x in model.layers)
    return f"Of {len(model.layers)} layers: " + ", ".join(f"{n} {name}" for name, n in counts.items()) + "."


EFFECTS: dict[str, Callable[[Scene], Said]] = {
    f.__name__: f
    for f in (
        kv_heads, query_heads, head_dim, hidden, layers, vocabulary, tied, context, ffn,
        experts, experts_active, expert_dim, shared_experts, dense_first, window, layer_kinds,
        latent, state, mtp, quantisation, dtype,
        rope_factor, rotated, vision, audio,
    )
}  # fmt: skip
