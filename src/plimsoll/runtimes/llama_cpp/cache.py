"""The caches llama.cpp keeps for a model's layers: whole context, window, indexer, recurrent state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from plimsoll.domain.model import LayerSpec
from plimsoll.formulas.kv_cache import window_cells
from plimsoll.runtimes.llama_cpp.architecture import EXPANDS_LATENT, window_of
from plimsoll.runtimes.llama_cpp.settings import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRow:
    """What one layer stores per token (`key_values`, `value_values`) in a cache of `cells` tokens."""

    layer: int
    kind: str  # 'full', 'window' or 'indexer'
    cells: int
    key_values: int
    value_values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """Values of recurrent state that one layer keeps per sequence."""

    layer: int
    conv_values: int
    ssm_values: int


def cache_rows(
    layers: Iterable[LayerSpec], architecture: str, context: Context, mla: int = -1
) -> list[CacheRow]:
    """The attention caches of all layers. Source: llama_model::create_memory, src/llama-model.cpp.

    `mla` >= 0 is ik_llama.cpp's -mla. Without flash attention V is stored transposed, for which every layer
    takes the largest V row of all.
    """
    layers = tuple(layers)
    widest = max((value_row(layer, architecture, context, mla) for layer in layers), default=0)
    rows = []
    for layer in layers:
        if layer.attention == "none" or layer.shares_kv_with is not None:
            continue
        window = window_of(layer, architecture)
        cells = context.sequence_cells
        if window is not None and not context.is_window_full:
            cells = windowed_cells(window, context)
        value = value_row(layer, architecture, context, mla)
        if value and not context.has_flash_attention:
            value = widest
        rows.append(
            CacheRow(
                layer=layer.index,
                kind="full" if window is None else "window",
                cells=cells,
                key_values=key_row(layer, architecture, context, mla),
                value_values=value,
            )
        )
        if layer.indexer_dim and context.rules.latent_cache == "keys" and mla < 0:
            rows.append(_indexer_row(layer, architecture, context))
    return rows


def _indexer_row(layer: LayerSpec, architecture: str, context: Context) -> CacheRow:
    # llama_kv_cache_msa reuses the plain cache for its indexer, which gives it a V row that nothing reads.
    value = layer.value_dim if layer.attention != "latent" else 0
    return CacheRow(
        layer=layer.index,
        kind="indexer",
        cells=context.sequence_cells,
        key_values=layer.indexer_dim,
        value_values=value,
    )


def windowed_cells(window_tokens: int, context: Context) -> int:
    """Cells of the window cache in this context."""
    extra = context.ubatch_tokens if context.rules.window_extra == "ubatch" else context.batch_tokens
    shared = context.sequences_count if context.is_unified else 1
    padding = max(context.padding_tokens, 256 if context.rules.context_padding_tokens == 256 else 0)
    return window_cells(context.sequence_cells, window_tokens, shared, extra, padding)


def is_latent(layer: LayerSpec, architecture: str, context: Context, mla: int = -1) -> bool:
    """Whether the layer's cache holds the latent vector instead of heads."""
    if layer.attention != "latent" or architecture in EXPANDS_LATENT:
        return False
    return mla > 0 if mla >= 0 else context.rules.latent_cache != "none"


def key_row(layer: LayerSpec, architecture: str, context: Context, mla: int = -1) -> int:
    """Values of K per token."""
    if is_latent(layer, architecture, context, mla):
        return layer.latent_dim + layer.rope_dim
    if layer.attention == "latent":
        return layer.query_heads_count * layer.key_dim
    return 0 if layer.attention == "none" else layer.kv_heads_count * layer.key_dim


def value_row(layer: LayerSpec, architecture: str, context: Context, mla: int = -1) -> int:
    """Values of V per token."""
    if is_latent(layer, architecture, context, mla):
        if mla >= 0:
            return layer.latent_dim if mla == 1 and not context.has_flash_attention else 0
        return layer.latent_dim if context.rules.latent_cache == "keys_and_values" else 0
    if layer.attention == "latent":
        return layer.query_heads_count * layer.value_dim
    return 0 if layer.attention == "none" else layer.kv_heads_count * layer.value_dim


def state_rows(layers: Iterable[LayerSpec]) -> list[StateRow]:
    """The recurrent states of all layers."""
    return [
        StateRow(
            layer=layer.index,
            conv_values=layer.state.conv_values_count,
            ssm_values=layer.state.ssm_values_count,
        )
        for layer in layers
        if layer.state is not None
    ]
