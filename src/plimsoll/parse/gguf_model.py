"""GGUF headers become a Model, the way llama.cpp understands them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from plimsoll.domain.model import Model, RopeSpec, TensorSpec
from plimsoll.domain.origin import Origin
from plimsoll.errors import MalformedGguf, MissingConfigKey, UnsupportedArchitecture
from plimsoll.parse.gguf import FarArray, GgufHeader, GgufTensor
from plimsoll.parse.gguf_layers import UNSUPPORTED, Shapes, layers_of
from plimsoll.parse.gguf_roles import block_of, is_buffer, role_of
from plimsoll.parse.gguf_types import IK_TYPES, RECIPE_NAMES
from plimsoll.parse.keys import Keys

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
# Keys that change the arithmetic of a model but no size.
_WITHOUT_SIZE = re.compile(
    r"attention\.(layer_norm_|group_norm_|max_alibi_bias|clamp_kqv|causal|scale|output_scale|value_scale|"
    r"temperature_|rope_pattern|indexer\.(top_k|block_size|local_blocks|kpool)|output_group_count|output_lora_rank|"
    r"relative_buckets_count|(decay|iclr|value_residual_mix|gate)_lora_rank)"
    r"|rope\.|expert_(weights_|gating_func|group_|shared_count|shared_feed|feed_|chunk_feed|latent_length|count)"
    r"|experts_per_group|(logit|residual|embedding)_scale|(attn|router|final)_?.*logit_softcapping|use_parallel_residual"
    r"|tensor_data_layout|pooling_type|decoder_start_token_id|swiglu_clamp|interleave_moe_layer_step|leading_dense"
    r"|n_deepstack_layers|embedding_length_(out|per_layer_input)|ssm\.dt_b_c_rms|rescale_every_n_layers|time_(mix|decay)_extra"
    r"|xielu\.|activation\.|moe_every_n_layers|altup\.|laurel|activation_sparsity_scale|dense_[23]_feat|classifier\."
    r"|hyper_connection\.|kda\.(safe_gate|gate_lower_bound)|adapters\.|hrm\.|skip_loop_final_norm|swin_norm|vocab_size"
    r"|moe_latent_size|full_attention_interval"
)


def shard_names(name: str) -> tuple[str, ...]:
    """The names of all shards of which `name` is one ('x-00001-of-00003.gguf'), or just `name`."""
    match = _SHARD.fullmatch(name)
    if match is None:
        return (name,)
    count = int(match["count"])
    if not 0 < int(match["number"]) <= count or count > 1000:
        raise MalformedGguf("not a possible shard number", where=name)
    return tuple(f"{match['stem']}-{i:05d}-of-{count:05d}.gguf" for i in range(1, count + 1))


def model_from_gguf(headers: Sequence[GgufHeader], *, id: str, revision: str = "") -> Model:
    """The Model of one GGUF, given the headers of all its shards in order.

    Raises MalformedGguf where shards, keys and tensors contradict each other, MissingConfigKey where
    llama.cpp would miss a key, UnsupportedArchitecture for files that are no language model.
    """
    first = headers[0]
    _refuse_bad_split(headers)
    architecture = _architecture(first)
    keys = Keys(_section(first.metadata, architecture), first.name, f"{architecture}.")
    rows = [row for header in headers for row in header.tensors]
    _refuse_twice(headers, rows)
    layers = layers_of(keys, architecture, _shapes(rows))
    blocks = keys.count("block_count")
    trunk = blocks - keys.count("nextn_predict_layers", default=0)
    hidden, vocab = keys.count("embedding_length"), _vocab_size(first, keys, rows)
    _refuse_other_blocks(first, architecture, rows, blocks, trunk)
    tensors = tuple(_tensor(row, trunk or blocks) for row in rows)
    notes = _notes(headers, rows, keys, layers)
    return Model(
        id=id, revision=revision, architecture=architecture, layers=layers, tensors=tensors, naming="gguf",
        weight_format=_weight_format(first, rows), hidden_dim=hidden, vocab_size=vocab,
        trained_context_tokens=keys.optional_count("context_length"), rope=_rope(keys, rows),
        has_tied_embeddings=not any(row.name == "output.weight" for row in rows),
        unread_keys=tuple(k for k in keys.unread() if not _WITHOUT_SIZE.match(k.removeprefix(keys.prefix))),
        notes=notes, origins=_origins(first, architecture),
    )  # fmt: skip


def _section(metadata: Mapping[str, object], architecture: str) -> dict[str, object]:
    start = f"{architecture}."
    return {key.removeprefix(start): value for key, value in metadata.items() if key.startswith(start)}


def _architecture(header: GgufHeader) -> str:
    name = header.metadata.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise MissingConfigKey("general.architecture", where=header.name)
    kind = header.metadata.get("general.type", "model")
    if kind not in ("model", ""):
        raise UnsupportedArchitecture(
            f"this file is of type {kind!r}, not a model", where=f"{header.name}#general.type"
        )
    if name in UNSUPPORTED:
        raise UnsupportedArchitecture(
            f"the architecture {name!r} is not read: {UNSUPPORTED[name]}",
            where=f"{header.name}#general.architecture",
        )
    if not header.tensors and header.metadata.get("split.count", 0) in (0, 1):
        raise MalformedGguf("there are no tensors in this file, only a header", where=header.name)
    return name


def _refuse_bad_split(headers: Sequence[GgufHeader]) -> None:
    """split.count, split.no and split.tensors.count must agree with what is there."""
    count = headers[0].metadata.get("split.count", 1) or 1
    if count != len(headers):
        raise MalformedGguf(
            f"the file says that it has {count} shards, {len(headers)} were found",
            where=f"{headers[0].name}#split.count",
            hint=_missing_hint(headers[0].name, len(headers), count),
        )
    for number, header in enumerate(headers):
        if len(headers) > 1 and header.metadata.get("split.no", number) != number:
            raise MalformedGguf(
                f"this is shard {header.metadata['split.no']}, not {number}", where=f"{header.name}#split.no"
            )
    total = headers[0].metadata.get("split.tensors.count")
    found = sum(len(header.tensors) for header in headers)
    if isinstance(total, int) and len(headers) > 1 and total != found:
        raise MalformedGguf(
            f"{total} tensors are promised, the shards hold {found}",
            where=f"{headers[0].name}#split.tensors.count",
        )


def _missing_hint(name: str, found: int, count: object) -> str:
    if found == 1 and isinstance(count, int) and _SHARD.fullmatch(name) is None:
        return "a shard keeps its name, such as model-00001-of-00003.gguf"
    return ""


def _refuse_twice(headers: Sequence[GgufHeader], rows: list[GgufTensor]) -> None:
    if len(headers) == 1:
        return
    name, times = Counter(row.name for row in rows).most_common(1)[0]
    if times > 1:
        raise MalformedGguf(f"the tensor {name} stands in {times} shards", where=headers[0].name)


def _refuse_other_blocks(
    header: GgufHeader, architecture: str, rows: list[GgufTensor], blocks: int, trunk: int
) -> None:
    """Blocks in the tensor names against block_count. Looped and draft blocks may have no tensors."""
    found = {block for row in rows if (block := block_of(row.name)) is not None}
    where = f"{header.name}#{architecture}.block_count"
    beyond = [block for block in found if block >= blocks]
    if beyond:
        raise MalformedGguf(
            f"{blocks} blocks are promised, but there is a tensor of block {max(beyond)}", where=where
        )
    missing = sorted(set(range(trunk)) - found)
    if missing and architecture != "hrm_text":
        raise MalformedGguf(
            f"{blocks} blocks are promised, but block {missing[0]} has no tensors", where=where
        )


def _vocab_size(header: GgufHeader, keys: Keys, rows: list[GgufTensor]) -> int:
    """Rows of token_embd, which must agree with the tokenizer's list and the embedding length."""
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    count = tokens.count if isinstance(tokens, FarArray) else None
    table = next((row for row in rows if row.name == "token_embd.weight"), None)
    if table is None:
        return count or keys.count("vocab_size", default=0)
    hidden = keys.count("embedding_length")
    if len(table.shape) != 2 or table.shape[1] != hidden:
        raise MalformedGguf(
            f"{hidden}, but token_embd.weight has the shape {list(table.shape)}",
            where=f"{header.name}#{keys.prefix}embedding_length",
        )
    if count is not None and count != table.shape[0]:
        raise MalformedGguf(
            f"{count} tokens, but token_embd.weight has {table.shape[0]} rows",
            where=f"{header.name}#tokenizer.ggml.tokens",
        )
    return table.shape[0]


def _shapes(rows: list[GgufTensor]) -> Callable[[int], Shapes]:
    """The widths of each block's feed-forward part, from its tensors."""
    parts: dict[int, dict[str, tuple[int, ...]]] = {}
    for row in rows:
        block = block_of(row.name)
        if block is not None:
            parts.setdefault(block, {})[row.name.split(".", 2)[2]] = row.shape

    def of(block: int) -> Shapes:
        part = parts.get(block, {})
        down, shared = part.get("ffn_down_exps.weight"), part.get("ffn_down_shexp.weight")
        single = [shape for name, shape in part.items() if re.fullmatch(r"ffn_down\.\d+\.weight", name)]
        dense = part.get("ffn_down.weight")
        return Shapes(
            has_sinks=any(name.startswith("attn_sinks") for name in part),
            ffn_dim=dense[-1] if dense else 0,
            expert_dim=down[-1] if down else single[0][-1] if single else 0,
            experts_count=down[0] if down and len(down) == 3 else len(single),
            shared_expert_dim=shared[-1] if shared else 0,
        )

    return of


def _tensor(row: GgufTensor, trunk: int) -> TensorSpec:
    role = role_of(row.name, trunk)
    stacked = role == "expert" and "exps" in row.name and len(row.shape) >= 2
    return TensorSpec(
        name=row.name, shape=row.shape, format=row.format, size_bytes=row.size_bytes, role=role,
        layer=block_of(row.name), experts_count=row.shape[0] if stacked else 0, is_buffer=is_buffer(row.name),
    )  # fmt: skip


def _weight_format(header: GgufHeader, rows: list[GgufTensor]) -> str:
    """The recipe that general.file_type names, else the format that holds most bytes."""
    number = header.metadata.get("general.file_type")
    if isinstance(number, int) and number in RECIPE_NAMES:
        return RECIPE_NAMES[number]
    sizes: Counter[str] = Counter()
    for row in rows:
        sizes[row.format] += row.size_bytes
    return sizes.most_common(1)[0][0] if sizes else ""


def _rope(keys: Keys, rows: list[GgufTensor]) -> RopeSpec:
    kind = keys.text("rope.scaling.type", default="").removeprefix("none")
    if not kind and any(row.name.startswith("rope_factors_long") for row in rows):
        kind = "longrope"
    factor = keys.number("rope.scaling.factor", "rope.scale_linear", default=0.0)
    return RopeSpec(
        kind=kind or ("linear" if factor not in (0.0, 1.0) else "default"),
        theta=keys.number("rope.freq_base", default=10000.0), factor=factor or 1.0,
        original_context_tokens=keys.optional_count("rope.scaling.original_context_length"),
        rotated_share=_rotated_share(keys),
    )  # fmt: skip


def _rotated_share(keys: Keys) -> float:
    """rope.dimension_count over the width of a head; latent attention rotates a part of its own."""
    rotated, head = keys.optional_count("rope.dimension_count"), keys.optional_count("attention.key_length")
    if not rotated or not head or keys.has("attention.kv_lora_rank"):
        return 1.0
    return min(rotated / head, 1.0)


def _notes(
    headers: Sequence[GgufHeader], rows: list[GgufTensor], keys: Keys, layers: Sequence[object]
) -> tuple[str, ...]:
    notes = [note for header in headers for note in header.notes]
    ik = sorted({row.format for row in rows} & IK_TYPES)
    if ik:
        notes.append(f"formats only ik_llama.cpp can load: {', '.join(ik)}")
    window = keys.optional_count("attention.sliding_window")
    if window and not any(getattr(layer, "window_tokens", None) for layer in layers):
        notes.append(f"the file names a sliding window of {window} tokens, which llama.cpp does not use here")
    return tuple(notes)


def _origins(header: GgufHeader, architecture: str) -> dict[str, Origin]:
    sources = {
        "layers": f"{architecture}.block_count", "hidden_dim": f"{architecture}.embedding_length",
        "trained_context_tokens": f"{architecture}.context_length", "vocab_size": "token_embd.weight",
        "weight_format": "general.file_type", "tensors": "tensors", "config": "metadata",
    }  # fmt: skip
    return {field: Origin(kind="file", where=f"{header.name}#{key}") for field, key in sources.items()}
