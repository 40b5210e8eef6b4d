"""NemotronHForCausalLM (Nemotron-H, Nano v2, Nemotron 3): one mixer per layer, of four kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from plimsoll.domain.model import LayerSpec, Role, StateSpec
from plimsoll.errors import MissingConfigKey
from plimsoll.parse.families.blocks import (
    Block,
    Dims,
    Experts,
    Layout,
    Row,
    attention,
    collect,
    linear,
    norm,
    read_rope,
)
from plimsoll.parse.families.recurrent import mamba2_mixer, mamba2_state, ssm_format
from plimsoll.parse.families.routing import as_mtp, feed_forward
from plimsoll.parse.keys import Keys

LETTERS = {"M": "mamba", "E": "moe", "*": "attention", "-": "mlp"}
ALIASES = {"linear_attention": "mamba", "full_attention": "attention"}


def build(keys: Keys) -> Layout:
    """Mamba-2, attention, experts (in a narrower latent width where moe_latent_size is set) or a plain MLP.

    Sources: models/nemotron_h/modeling_nemotron_h.py; vLLM models/nemotron_h_mtp.py for the MTP layers.
    """
    dims = read_dims(keys)
    state = read_state(keys)
    experts = read_experts(keys)
    kinds = read_kinds(keys, "layers_block_type", "hybrid_override_pattern")
    if not kinds:
        raise MissingConfigKey("layers_block_type", where=keys.where)
    if keys.count("num_hidden_layers", default=len(kinds)) != len(kinds):
        raise keys.contradiction(f"{len(kinds)} kinds of layer for {keys.raw('num_hidden_layers')} layers")
    latent = keys.count("moe_latent_size", default=0)
    flags = {name: keys.flag(name) for name in ("use_bias", "mlp_bias")}
    conv_bias = keys.flag("use_conv_bias", "mamba_conv_bias", default=True)

    def block(i: int, at: str, kind: str) -> Block:
        mix = f"{at}.mixer"
        rows: Iterable[Row]
        if kind == "mamba":
            rows = mamba2_mixer(
                mix, i, state, hidden_dim=dims.hidden, conv_bias=conv_bias, bias=flags["use_bias"]
            )
            layer = LayerSpec(index=i, attention="none", state=state)
        elif kind == "attention":
            rows, layer = attention(mix, i, dims), attending(i, dims)
        elif kind == "moe":
            rows = mixture(mix, i, dims.hidden, experts, latent, bias=flags["mlp_bias"])
            layer = LayerSpec(index=i, attention="none", **feed_forward(experts, 0))
        else:
            rows = plain(mix, i, dims.hidden, dims.ffn, bias=flags["mlp_bias"])
            layer = LayerSpec(index=i, attention="none", ffn_dim=dims.ffn)
        return collect(rows, norm(f"{at}.norm", dims.hidden, i)), layer

    blocks = [block(i, f"model.layers.{i}", kind) for i, kind in enumerate(kinds)]
    vocab, tied = keys.positive("vocab_size"), keys.flag("tie_word_embeddings")
    rows = [Row(name="model.embeddings.weight", shape=(vocab, dims.hidden), role="embedding")]
    rows += [row for parts, _ in blocks for row in parts]
    rows += collect(norm("model.norm_f", dims.hidden))
    rows += collect(linear("lm_head", vocab, dims.hidden, "output", None)) if not tied else ()
    for step in range(keys.count("num_nextn_predict_layers", default=0)):
        drafts = read_kinds(keys, "mtp_layers_block_type", "mtp_hybrid_override_pattern") or [
            "attention",
            "moe",
        ]
        first = step * len(drafts)
        parts = [block(first + j, f"mtp.layers.{first + j}", kind)[0] for j, kind in enumerate(drafts)]
        rows += as_mtp(collect(*parts, mtp_ends(first, first + len(drafts) - 1, dims.hidden)))
    return Layout(
        layers=tuple(layer for _, layer in blocks), rows=tuple(rows), hidden_dim=dims.hidden,
        vocab_size=vocab,
        trained_context_tokens=keys.optional_count("max_position_embeddings"), rope=read_rope(keys),
        has_tied_embeddings=tied,
    )  # fmt: skip


def read_dims(keys: Keys) -> Dims:
    """The head dimension stands under two names, as in Nemotron-H-56B."""
    return Dims(
        hidden=keys.positive("hidden_size"), heads=keys.positive("num_attention_heads"),
        kv_heads=keys.positive("num_key_value_heads", default=8),
        head_dim=keys.positive("head_dim", "attention_head_dim", default=128),
        ffn=keys.count("intermediate_size", default=21504),
    )  # fmt: skip


def read_state(keys: Keys) -> StateSpec:
    """conv_kernel, mamba_num_heads, mamba_head_dim, ssm_state_size, n_groups."""
    state = mamba2_state(
        kernel=keys.positive("conv_kernel", "mamba_d_conv", default=4),
        heads=keys.positive("mamba_num_heads"),
        head_dim=keys.positive("mamba_head_dim"),
        state_dim=keys.positive("ssm_state_size"),
        groups=keys.positive("n_groups", "mamba_n_groups"),
    )
    return replace(state, ssm_format=ssm_format(keys))


def read_experts(keys: Keys) -> Experts:
    """The routed experts; there may be none."""
    return Experts(
        count=keys.count("n_routed_experts", default=0), active=keys.count("num_experts_per_tok", default=0),
        dim=keys.count("moe_intermediate_size", default=0),
        shared_dim=keys.count("moe_shared_expert_intermediate_size", default=0),
    )  # fmt: skip


def read_kinds(keys: Keys, listed: str, pattern: str) -> list[str]:
    """The kind of each layer: names in a list, or letters: M Mamba, E experts, * attention, - MLP."""
    letters = keys.text(pattern)
    names = [ALIASES.get(name, name) for name in keys.texts(listed, "layer_types") or ()]
    if not names and letters:
        names = [LETTERS.get(letter, letter) for letter in letters]
    wrong = sorted(set(names) - set(LETTERS.values()))
    if wrong:
        raise keys.contradiction(f"{listed} has layers of an unknown kind: {', '.join(wrong)}")
    return names


def mixture(
    prefix: str, layer: int, hidden: int, experts: Experts, latent: int, *, bias: bool
) -> Iterator[Row]:
    """gate with correction bias, ungated experts, a shared expert, the projections to and from latent."""
    width = latent or hidden
    for name, shape in (("up_proj", (experts.dim, width)), ("down_proj", (width, experts.dim))):
        yield Row(
            name=f"{prefix}.experts.{name}", shape=(experts.count, *shape), role="expert", layer=layer,
            experts_count=experts.count,
        )  # fmt: skip
    yield from linear(f"{prefix}.gate", experts.count, hidden, "router", layer)
    yield Row(
        name=f"{prefix}.gate.e_score_correction_bias", shape=(experts.count,), role="router", layer=layer,
        dtype="f32", is_buffer=True,
    )  # fmt: skip
    yield from plain(f"{prefix}.shared_experts", layer, hidden, experts.shared_dim, bias=bias, is_shared=True)
    if latent:
        yield from linear(f"{prefix}.fc1_latent_proj", latent, hidden, "ffn", layer, bias=bias)
        yield from linear(f"{prefix}.fc2_latent_proj", hidden, latent, "ffn", layer, bias=bias)


def plain(
    prefix: str, layer: int, hidden: int, ffn: int, *, bias: bool, is_shared: bool = False
) -> Iterator[Row]:
    """up_proj and down_proj, without a gate (squared ReLU)."""
    role: Role = "shared_expert" if is_shared else "ffn"
    yield from linear(f"{prefix}.up_proj", ffn, hidden, role, layer, bias=bias)
    yield from linear(f"{prefix}.down_proj", hidden, ffn, role, layer, bias=bias)


def attending(index: int, dims: Dims) -> LayerSpec:
    """A layer of full attention without a feed-forward part."""
    return LayerSpec(
        index=index, attention="full", query_heads_count=dims.heads, kv_heads_count=dims.kv_heads,
        key_dim=dims.head_dim, value_dim=dims.head_dim,
    )  # fmt: skip


def mtp_ends(first: int, last: int, hidden: int) -> Iterator[Row]:
    """The projection and norms before the first, and the norm after the last layer of an MTP block."""
    yield from norm(f"mtp.layers.{first}.enorm", hidden)
    yield from norm(f"mtp.layers.{first}.hnorm", hidden)
    yield from linear(f"mtp.layers.{first}.eh_proj", hidden, 2 * hidden, "mtp", None)
    yield from norm(f"mtp.layers.{last}.final_layernorm", hidden)
