"""Adapters: PEFT's adapter_config.json with the header of its safetensors, and GGUF adapters.

Sources: peft 0.21.2, tuners/lora/config.py (keys and their defaults), utils/save_and_load.py (names);
llama.cpp at 0c1e57098, src/llama-adapter.cpp (llama_adapter_lora_init_impl).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from plimsoll.domain.adapter import AdapterTensor, LoraAdapter, Part
from plimsoll.domain.origin import Origin
from plimsoll.errors import MalformedConfig, MalformedGguf, MissingConfigKey, UnsupportedArchitecture
from plimsoll.parse.gguf import GgufHeader
from plimsoll.parse.keys import Keys
from plimsoll.parse.safetensors import SafetensorsHeader

PREFIX = "base_model.model."
_PEFT_PART = re.compile(
    r"(?P<module>.+)\.(?:(?P<half>lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?P<leaf>\.\w+)?"
    r"|(?P<dora>lora_magnitude_vector)(?:\.weight)?)"
)
_GGUF_PART = re.compile(r"(?P<module>.+)\.lora_(?P<half>[ab])")
# Keys that PEFT writes and that change neither what is loaded nor its size.
_WITHOUT_EFFECT = (
    "auto_mapping", "inference_mode", "lora_dropout", "megatron_core", "peft_version", "revision",
    "qalora_group_size", "ensure_weight_tying", "loftq_config", "runtime_config",
)  # fmt: skip
# Methods beyond LoRA, DoRA and rsLoRA that change what is computed; null, false and empty mean off.
_METHODS = (
    "alora_invocation_tokens", "arrow_config", "corda_config", "eva_config", "kasa_config",
    "layer_replication",
    "lora_ga_config", "megatron_config", "monteclora_config", "trainable_token_indices", "use_bdlora",
    "use_qalora", "velora_config",
)  # fmt: skip
# Initialisations after which the saved pair is a plain LoRA (vllm/lora/peft_helper.py, _init_is_supported).
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")


def adapter_from_peft(
    config: Mapping[str, Any], header: SafetensorsHeader, *, id: str, where: str = "adapter_config.json",
    zero: Collection[str] = (), seen: Collection[str] = (),
) -> LoraAdapter:  # fmt: skip
    """The adapter of a PEFT folder; `seen` names the tensors whose values were read, `zero` those of
    them that hold nothing but zeros.

    Raises MalformedConfig for values that PEFT cannot take, UnsupportedArchitecture for a peft_type
    other than LoRA.
    """
    keys = Keys(config, where)
    kind = keys.text("peft_type", default="LORA").upper()
    if kind != "LORA":
        raise UnsupportedArchitecture(
            f"an adapter of type {kind}; only LoRA (with DoRA and rsLoRA) is read", where=f"{where}#peft_type"
        )
    targets, pattern = _names(keys, "target_modules")
    excluded, excluded_pattern = _names(keys, "exclude_modules")
    start = keys.raw("init_lora_weights")
    for name in _WITHOUT_EFFECT:
        keys.raw(name)
    layers = _layers(keys)
    if pattern and layers is not None:
        raise MalformedConfig(
            "layers_to_transform cannot stand beside target_modules that are a pattern", where=where
        )
    notes = []
    if "r" not in config:
        notes.append("adapter_config.json does not tell r: PEFT takes 8, vLLM refuses the adapter")
    if isinstance(start, str) and start.lower() not in _PLAIN_STARTS:
        notes.append(f"init_lora_weights {start!r}: PEFT changes the base weights when it loads this adapter")
    return LoraAdapter(
        id=id, naming="peft", base=keys.text("base_model_name_or_path", default=""),
        rank=keys.positive("r", default=8), alpha=keys.number("lora_alpha", default=8.0),
        tensors=tuple(_peft_tensor(row.name, row, seen, zero) for row in header.tensors),
        file_bytes=header.file_bytes, task=keys.text("task_type", default=""),
        targets=targets, target_pattern=pattern, target_parameters=_texts(keys, "target_parameters"),
        excluded=excluded, excluded_pattern=excluded_pattern, layers=layers,
        layers_pattern=_names(keys, "layers_pattern", is_pattern=False)[0],
        rank_pattern=tuple((k, _rank(k, v, where)) for k, v in _pattern(keys, "rank_pattern")),
        alpha_pattern=tuple((k, _alpha(k, v, where)) for k, v in _pattern(keys, "alpha_pattern")),
        saved_modules=_texts(keys, "modules_to_save"), bias=keys.text("bias", default="none"),
        has_dora=keys.flag("use_dora"), has_rslora=keys.flag("use_rslora"),
        has_lora_bias=keys.flag("lora_bias"), other_methods=_methods(keys, start),
        unread_keys=_unread(keys), notes=tuple(notes),
        origins={
            "config": Origin(kind="file", where=where), "tensors": Origin(kind="file", where=header.name),
        },
    )  # fmt: skip


def _peft_tensor(name: str, row: Any, seen: Collection[str], zero: Collection[str]) -> AdapterTensor:
    plain = name.removeprefix(PREFIX)
    match = _PEFT_PART.fullmatch(plain)
    module, part, is_embedding = plain, "whole", False
    if match:
        module = match["module"]
        half = match["half"] or ""
        part = "magnitude" if match["dora"] else "a" if half.endswith("A") else "b"
        is_embedding = half.startswith("lora_embedding")
        if match["leaf"] == ".bias":
            part = "bias"
    return AdapterTensor(
        name=name, module=module, part=part, shape=row.shape, format=row.format,  # type: ignore[arg-type]
        size_bytes=row.size_bytes, is_embedding=is_embedding,
        is_zero=name in zero if name in seen else None,
    )  # fmt: skip


def _names(keys: Keys, name: str, *, is_pattern: bool = True) -> tuple[tuple[str, ...], str]:
    """A list of names, or one text that is a pattern (target_modules) or a single name."""
    value = keys.raw(name)
    if isinstance(value, str):
        if not is_pattern:
            return (value,), ""
        _compile(value, f"{keys.where}#{name}")
        return (), value
    return _texts(keys, name), ""


def _texts(keys: Keys, name: str) -> tuple[str, ...]:
    found = keys.texts(name)
    return () if found is None else tuple(dict.fromkeys(found))


def _compile(pattern: str, where: str) -> None:
    if pattern.lower() == "all-linear":
        return
    if len(pattern) > 10_000:
        raise MalformedConfig(f"a pattern of {len(pattern)} characters is not read", where=where)
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise MalformedConfig(f"not a regular expression: {error}", where=where) from None


def _layers(keys: Keys) -> tuple[int, ...] | None:
    value = keys.raw("layers_to_transform")
    if value is None or value == []:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not all(type(n) is int and 0 <= n < 10_000 for n in numbers):
        raise MalformedConfig("layers_to_transform holds something that is no layer", where=keys.where)
    return tuple(numbers)


def _pattern(keys: Keys, name: str) -> list[tuple[str, Any]]:
    value = keys.raw(name)
    if value is None:
        return []
    if not isinstance(value, dict):
        raise MalformedConfig(f"{name} is not a map from patterns to numbers", where=keys.where)
    for pattern in value:
        _compile(pattern, f"{keys.where}#{name}")
    return list(value.items())


def _rank(pattern: str, value: Any, where: str) -> int:
    if type(value) is not int or value < 1:
        raise MalformedConfig(f"{pattern} has rank {value!r}, not at least 1", where=f"{where}#rank_pattern")
    return value


def _alpha(pattern: str, value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedConfig(f"{pattern} has alpha {value!r}, not a number", where=f"{where}#alpha_pattern")
    return float(value)


def _methods(keys: Keys, start: Any) -> tuple[str, ...]:
    on = [name for name in _METHODS if keys.raw(name) not in (None, False, {}, [])]
    if isinstance(start, str) and start.lower() not in _PLAIN_STARTS:
        on.append(f"init_lora_weights={start}")
    if keys.raw("fan_in_fan_out") is True:
        on.append("fan_in_fan_out")
    return tuple(on)


def _unread(keys: Keys) -> tuple[str, ...]:
    keys.raw("peft_type")
    return keys.unread()


def adapter_from_gguf(
    header: GgufHeader, *, id: str, zero: Collection[str] = (), seen: Collection[str] = ()
) -> LoraAdapter:
    """The adapter in a GGUF. Raises MalformedGguf and MissingConfigKey where llama.cpp would refuse the
    file, UnsupportedArchitecture when it is no LoRA adapter."""
    meta, where = header.metadata, header.name
    kind = meta.get("general.type")
    if kind != "adapter":
        raise UnsupportedArchitecture(
            f"general.type is {kind!r}, not 'adapter'", where=where, hint="`plimsoll model` reads models"
        )
    if meta.get("adapter.type") != "lora":
        raise UnsupportedArchitecture(
            f"adapter.type is {meta.get('adapter.type')!r}; llama.cpp loads only 'lora'", where=where
        )
    architecture = meta.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise MissingConfigKey("general.architecture", where=where)
    alpha = meta.get("adapter.lora.alpha", 0.0)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise MalformedGguf(f"adapter.lora.alpha is {alpha!r}, not a number", where=where)
    names: set[str] = set()
    tensors = []
    for row in header.tensors:
        if row.name in names:
            raise MalformedGguf(f"the tensor {row.name!r} stands twice", where=where)
        names.add(row.name)
        tensors.append(_gguf_tensor(row, where, seen, zero))
    ranks = [t.shape[0] for t in tensors if t.part == "b" and not t.shape] + [
        t.shape[-1] for t in tensors if t.part == "b" and t.shape
    ]
    base = meta.get("general.base_model.0.repo_url") or meta.get("general.base_model.0.name") or ""
    known = ("general.", "adapter.", "split.")
    return LoraAdapter(
        id=id, naming="gguf", base=base if isinstance(base, str) else "", architecture=architecture,
        rank=max(ranks, default=0), alpha=float(alpha), tensors=tuple(tensors), file_bytes=header.file_bytes,
        other_methods=("alora_invocation_tokens",) if "adapter.alora.invocation_tokens" in meta else (),
        unread_keys=tuple(sorted(k for k in meta if not k.startswith(known))), notes=header.notes,
        origins={"tensors": Origin(kind="file", where=where)},
    )  # fmt: skip


def _gguf_tensor(row: Any, where: str, seen: Collection[str], zero: Collection[str]) -> AdapterTensor:
    match = _GGUF_PART.fullmatch(row.name)
    part: Part = "whole"
    if match:
        part = "a" if match["half"] == "a" else "b"
    elif not row.name.endswith("_norm.weight"):
        raise MalformedGguf(
            f"{row.name!r} is neither a lora_a nor a lora_b; llama.cpp refuses it", where=where
        )
    module = match["module"] if match else row.name
    return AdapterTensor(
        name=row.name, module=module, part=part, shape=row.shape, format=row.format,
        size_bytes=row.size_bytes, is_embedding=module.endswith("token_embd.weight"),
        is_zero=row.name in zero if row.name in seen else None,
    )  # fmt: skip
