"""An edit of config.json as an edit of a GGUF's metadata.

Source: llama.cpp at 0c1e57098, conversion/base.py and the converters (which metadata a config key becomes),
src/llama-arch.cpp (names), common/arg.cpp (--override-kv KEY=TYPE:VALUE, --rope-scaling and its like).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from plimsoll.domain.config_key import KeyFacts
from plimsoll.domain.model import Model

_GATING = {"softmax": 1, "sigmoid": 2}  # gguf.ExpertGatingFuncType
_ROPE_KEYS = ("rope_scaling", "rope_parameters")


class Pair(NamedTuple):
    """One metadata entry: key, type as --override-kv names it, value."""

    key: str
    type: str
    value: int | float | bool | str

    @property
    def text(self) -> str:
        """As --override-kv takes it."""
        value = str(self.value).lower() if isinstance(self.value, bool) else str(self.value)
        return f"{self.key}={self.type}:{value}"


class Metadata(NamedTuple):
    """What an edit becomes; without pairs `reason` says why it cannot be set in a GGUF."""

    pairs: tuple[Pair, ...]
    reason: str = ""


def metadata_of(leaf: str, value: Any, facts: KeyFacts | None, architecture: str, model: Model) -> Metadata:
    """The metadata that the edit `leaf` = `value` stands for in a GGUF of this architecture."""
    if leaf in _ROPE_KEYS:
        return _rope(value, architecture)
    if _is_latent(model) and (latent := _latent(leaf, value, architecture, model)) is not None:
        return latent
    if leaf == "head_dim":
        return _head_dim(value, architecture, model)
    if leaf in ("vocab_size", "tie_word_embeddings"):
        held = "the list of tokens" if leaf == "vocab_size" else "whether the file holds output.weight"
        return Metadata((), f"a GGUF has no such key: {held} decides")
    if leaf == "scoring_func" and isinstance(value, str) and value in _GATING:
        return Metadata((Pair(f"{architecture}.expert_gating_func", "int", _GATING[value]),))
    if leaf == "intermediate_size" and architecture == "gpt-oss" and isinstance(value, int):
        keys = ("feed_forward_length", "expert_feed_forward_length")
        return Metadata(tuple(Pair(f"{architecture}.{key}", "int", value) for key in keys))
    if leaf == "full_attention_interval":
        return Metadata((), "the GGUF lists its recurrent layers one by one, which --override-kv cannot set")
    if leaf == "partial_rotary_factor" and isinstance(value, int | float) and model.layers:
        width = max(layer.key_dim for layer in model.layers)
        return Metadata((Pair(f"{architecture}.rope.dimension_count", "int", int(width * value)),))
    if facts is None or not facts.llama_cpp:
        return Metadata((), "a GGUF has no such key: llama.cpp's code for the architecture decides")
    if facts.llama_cpp_type == "array" or isinstance(value, list | Mapping):
        return Metadata((), "it is a list in the GGUF, which --override-kv cannot set")
    key = facts.llama_cpp.replace("{arch}", architecture)
    return _typed(key, facts.llama_cpp_type, value)


def _typed(key: str, kind: str, value: Any) -> Metadata:
    if value is None:
        return Metadata((), f"--override-kv cannot take {key} away")
    if kind == "float" and isinstance(value, int | float):
        return Metadata((Pair(key, "float", float(value)),))
    if kind == "int" and isinstance(value, int | float) and float(value).is_integer():
        return Metadata((Pair(key, "int", int(value)),))
    if kind == "bool" and isinstance(value, bool):
        return Metadata((Pair(key, "bool", value),))
    if kind == "str" and isinstance(value, str):
        return Metadata((Pair(key, "str", value),))
    return Metadata((), f"{value!r} does not fit {key}, which is of type {kind}")


def _rope(value: Any, architecture: str) -> Metadata:
    """Scaling type, factor and original context; a missing scaling is the type none."""
    at = f"{architecture}.rope.scaling"
    if value is None:
        return Metadata((Pair(f"{at}.type", "str", "none"),))
    kind = value.get("rope_type", value.get("type")) if isinstance(value, Mapping) else None
    if kind not in ("yarn", "linear"):
        return Metadata((), f"llama.cpp takes yarn and linear by flag, not {kind!r}")
    pairs = [Pair(f"{at}.type", "str", kind)]
    if "factor" in value:
        pairs.append(Pair(f"{at}.factor", "float", float(value["factor"])))
    if value.get("original_max_position_embeddings"):
        original = int(value["original_max_position_embeddings"])
        pairs.append(Pair(f"{at}.original_context_length", "int", original))
    return Metadata(tuple(pairs))


def rope_flags(value: Any) -> str:
    """The same as llama.cpp's own flags, or '' where it has none."""
    if value is None:
        return "--rope-scaling none"
    kind = value.get("rope_type", value.get("type"))
    if kind not in ("yarn", "linear") or "factor" not in value:
        return ""
    original = value.get("original_max_position_embeddings")
    text = f"--rope-scaling {kind} --rope-scale {value['factor']:g}"
    return f"{text} --yarn-orig-ctx {original}" if kind == "yarn" and original else text


def _head_dim(value: Any, architecture: str, model: Model) -> Metadata:
    """Key and value widths, and the rotated dimensions where the whole head is rotated."""
    if not isinstance(value, int):
        return Metadata((), f"{value!r} is not a width")
    at = f"{architecture}.attention"
    pairs = [Pair(f"{at}.key_length", "int", value), Pair(f"{at}.value_length", "int", value)]
    share = model.rope.rotated_share if model.rope else 1.0
    pairs.append(Pair(f"{architecture}.rope.dimension_count", "int", round(value * share)))
    return Metadata(tuple(pairs))


def _latent(leaf: str, value: Any, architecture: str, model: Model) -> Metadata | None:
    """Widths of latent attention: a GGUF keeps the compressed and the unfolded ones; None for other keys."""
    if leaf in ("num_key_value_heads", "head_dim"):
        return Metadata((), "the GGUF of a latent model holds one KV head of the compressed width")
    if leaf not in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"):
        return None
    if not isinstance(value, int):
        return Metadata((), f"{value!r} is not a width")
    layer = next(layer for layer in model.layers if layer.attention == "latent")
    rank = value if leaf == "kv_lora_rank" else layer.latent_dim
    rope = value if leaf == "qk_rope_head_dim" else layer.rope_dim
    nope = value if leaf == "qk_nope_head_dim" else layer.key_dim - layer.rope_dim
    widths = {
        "kv_lora_rank": {"attention.kv_lora_rank": rank, "attention.key_length": rank + rope,
                         "attention.value_length": rank},
        "qk_rope_head_dim": {"rope.dimension_count": rope, "attention.key_length": rank + rope,
                             "attention.key_length_mla": nope + rope},
        "qk_nope_head_dim": {"attention.key_length_mla": nope + rope},
        "v_head_dim": {"attention.value_length_mla": value},
    }  # fmt: skip
    return Metadata(tuple(Pair(f"{architecture}.{key}", "int", width) for key, width in widths[leaf].items()))


def _is_latent(model: Model) -> bool:
    return any(layer.attention == "latent" for layer in model.layers)
