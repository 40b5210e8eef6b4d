"""Which features of a model's layers llama.cpp honours in its caches."""

from __future__ import annotations

from plimsoll.domain.model import LayerSpec

# Architectures whose sliding (or chunked) layers get a cache of window size; all others keep the whole
# context (Mistral 7B, Mixtral, Qwen2 and Phi-3 among them).
# Source: `hparams.swa_type =` in src/models/*.cpp of ggml-org/llama.cpp@0c1e57098 (phi3.cpp sets it to NONE).
WINDOWED = frozenset({
    "afmoe", "cohere2", "cohere2moe", "deepseek4", "dots3note", "exaone-moe", "exaone4", "gemma-embedding",
    "gemma2", "gemma3", "gemma3n", "gemma4", "gpt-oss", "granite_swa", "laguna", "lfm2", "lfm2moe", "llama4",
    "maple", "mellum", "mimo2", "modern-bert", "muse-glimmer", "olmo2", "plamo3", "smallthinker", "spark2_5",
    "step35",
})  # fmt: skip

# Latent attention that llama.cpp expands before it caches (full K and V per head).
# Source: src/models/minicpm3.cpp and plm.cpp of ggml-org/llama.cpp@0c1e57098.
EXPANDS_LATENT = frozenset({"minicpm3", "plm"})


def window_of(layer: LayerSpec, architecture: str) -> int | None:
    """The window llama.cpp gives this layer, or None for the whole context."""
    if layer.attention in ("sliding", "chunked") and architecture in WINDOWED:
        return layer.window_tokens
    return None
