"""From a model and a context to the graph's facts: blocks with their tensors, and the batch."""

from __future__ import annotations

import re

from plimsoll.domain.model import LayerSpec, TensorSpec
from plimsoll.formulas.formats import GGUF
from plimsoll.runtimes.llama_cpp.architecture import window_of
from plimsoll.runtimes.llama_cpp.attention import Batch, Block
from plimsoll.runtimes.llama_cpp.cache import value_row, windowed_cells
from plimsoll.runtimes.llama_cpp.settings import Context
from plimsoll.runtimes.llama_cpp.tensor import Dims

_NAME = re.compile(r"^blk\.(\d+)\.(.+?)(?:\.weight)?$")


def blocks_of(table: tuple[TensorSpec, ...], layers: tuple[LayerSpec, ...], architecture: str) -> tuple[Block, ...]:
    """Every block that the prompt runs through, with its tensors' shapes by short name."""
    shapes: list[dict[str, Dims]] = [{} for _ in layers]
    for tensor in table:
        match = _NAME.match(tensor.name)
        if match and int(match.group(1)) < len(layers):
            shapes[int(match.group(1))][match.group(2)] = tensor.shape
    return tuple(
        Block(layer, window_of(layer, architecture) is not None, named)
        for layer, named in zip(layers, shapes, strict=True)
    )


def batch_of(layers: tuple[LayerSpec, ...], architecture: str, context: Context) -> Batch:
    """The worst prompt batch that llama.cpp reserves for (llama_context::sched_reserve)."""
    sequences = context.sequences_count
    tokens = min(context.context_cells, context.ubatch_tokens)
    tokens = -(-tokens // sequences) * sequences
    outputs = sequences if context.rules.reserves_logits_for_slots else tokens
    windows = [w for w in (window_of(layer, architecture) for layer in layers) if w]
    window_cells = context.sequence_cells
    if windows and not context.is_window_full:
        window_cells = windowed_cells(max(windows), context)
    flash = context.has_flash_attention
    none: frozenset[str] = frozenset()
    rotates = context.rules.rotates_quantised_cache
    return Batch(
        tokens_count=tokens, sequences_count=sequences, streams_count=context.streams_count,
        outputs_count=min(tokens, outputs), cells_count=context.sequence_cells, window_cells_count=window_cells,
        has_flash_attention=flash, mask_width=context.rules.mask_value_bytes if flash else 4,
        casts_k=flash and context.format_k == "f32", casts_v=flash and context.format_v == "f32",
        turns_k=_rotated(layers, architecture, "key_dim") if rotates and _is_quantised(context.format_k) else none,
        turns_v=_rotated(layers, architecture, "value_dim") if rotates and _is_quantised(context.format_v) else none,
        value_indices_count=max((value_row(x, architecture, context) for x in layers), default=0),
        cache_width_k=2,
    )  # fmt: skip


def _is_quantised(format_name: str) -> bool:
    return GGUF[format_name][0] > 1


def _rotated(layers: tuple[LayerSpec, ...], architecture: str, name: str) -> frozenset[str]:
    """The caches whose quantised rows are rotated: all heads equal and a multiple of 64 wide."""
    dims: dict[str, set[int]] = {}
    for layer in layers:
        if layer.attention not in ("none", "latent") and layer.shares_kv_with is None:
            kind = "full" if window_of(layer, architecture) is None else "window"
            dims.setdefault(kind, set()).add(getattr(layer, name))
    return frozenset(kind for kind, found in dims.items() if len(found) == 1 and min(found) % 64 == 0)
