"""With which flag each runtime is told another value of a config key.

Sources: llama_model_loader::get_key (overrides reach scalars, not arrays), src/llama-model-loader.cpp of
ggml-org/llama.cpp@0c1e57098; ModelConfig._update_nested (vLLM merges into nested configs, replaces plain
objects), vllm/config/model.py of vLLM 0.33.0; get_config (SGLang replaces whole attributes),
srt/utils/hf_transformers_utils.py of SGLang 0.5.9; PreTrainedConfig (since version 5 rope_theta, rope_scaling
and partial_rotary_factor live in rope_parameters), configuration_utils.py of Transformers 5.23.0. SGLang
0.5.9 pins Transformers 4.57.1, so it still goes by the names in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from plimsoll.domain.config_key import KeyFacts
from plimsoll.domain.explanation import Override

RUNTIMES = ("llama_cpp", "vllm", "sglang", "transformers", "ollama")
_ROPE_SECTIONS = ("rope_parameters", "rope_scaling")
_ROPE_KEYS = ("rope_theta", "partial_rotary_factor", *_ROPE_SECTIONS)
_LONGEST_VALUE = 400
# Sections that are configs of their own to Transformers, not plain objects.
_CONFIGS = ("text_config", "vision_config", "audio_config")


def overrides(
    path: tuple[str, ...], facts: KeyFacts, value: object, config: Mapping[str, Any], gguf_architecture: str
) -> tuple[Override, ...]:
    """How each runtime is told `value` for the key at `path` of `config`, in the order of RUNTIMES.

    `gguf_architecture` is '' where llama.cpp has no name for the model. A flag of the runtime's own comes
    before the general one.
    """
    own = dict(facts.flags)
    found = []
    for runtime in RUNTIMES:
        if own.get(runtime) == "none":
            found.append(Override(runtime=runtime, how="", note="does not read this key"))
        elif runtime in own:
            how = own[runtime].replace("{value}", _plain(value))
            how = how.replace("{arch}", gguf_architecture or "ARCH")
            found.append(Override(runtime=runtime, how=how))
        elif runtime == "llama_cpp":
            found.append(_llama_cpp(facts, value, gguf_architecture))
        elif runtime == "ollama":
            note = "no PARAMETER: Ollama takes what the GGUF says"
            found.append(Override(runtime=runtime, how="", note=note))
        else:
            found.append(_by_object(runtime, path, value, config))
    return tuple(found)


def _llama_cpp(facts: KeyFacts, value: object, architecture: str) -> Override:
    """--override-kv KEY=TYPE:VALUE for scalars of the GGUF's metadata."""
    if not facts.llama_cpp:
        return Override(
            runtime="llama_cpp", how="", note="no metadata key: fixed at conversion or in the code"
        )
    if facts.llama_cpp_type == "array" or isinstance(value, list | Mapping):
        name = facts.llama_cpp.format(arch=architecture or "ARCH")
        note = f"{name} is an array, which --override-kv cannot set"
        return Override(runtime="llama_cpp", how="", note=note)
    if not architecture and "{arch}" in facts.llama_cpp:
        return Override(runtime="llama_cpp", how="", note="llama.cpp has no name for this architecture")
    key = facts.llama_cpp.format(arch=architecture)
    text = str(value).lower() if isinstance(value, bool) else _plain(value)
    return Override(runtime="llama_cpp", how=f"--override-kv {key}={facts.llama_cpp_type}:{text}")


def _by_object(runtime: str, path: tuple[str, ...], value: object, config: Mapping[str, Any]) -> Override:
    """The runtimes that take a piece of config.json."""
    if runtime != "sglang":
        path, value = _rope_object(path, value, config)
    if len(path) > 1 and path[0] not in _CONFIGS:
        path, value = path[:1], _changed(config[path[0]], path[1:], value)
    if runtime == "transformers":
        how = f"config.{'.'.join(path)} = {_python(value)}"
        return Override(runtime=runtime, how=how, note="then from_pretrained(..., config=config)")
    piece: object = value
    for name in reversed(path):
        piece = {name: piece}
    text = json.dumps(piece, ensure_ascii=False)
    if len(text) > _LONGEST_VALUE:
        return Override(runtime=runtime, how="", note="too long for a command line: edit config.json")
    if runtime == "vllm":
        return Override(runtime=runtime, how=f"--hf-overrides '{text}'")
    if len(path) > 1:
        note = f"its flag replaces {path[0]} as a whole: edit config.json"
        return Override(runtime=runtime, how="", note=note)
    return Override(runtime=runtime, how=f"--json-model-override-args '{text}'")


def _rope_object(
    path: tuple[str, ...], value: object, config: Mapping[str, Any]
) -> tuple[tuple[str, ...], object]:
    """A rotary key becomes the whole rope_parameters object: that is what the runtimes keep and replace."""
    place = next((i for i, name in enumerate(path) if name in _ROPE_KEYS), None)
    if place is None:
        return path, value
    section: Any = config
    for name in path[:place]:
        section = section.get(name, {})
    whole = {k: section[k] for k in ("rope_theta", "partial_rotary_factor") if section.get(k) is not None}
    for name in _ROPE_SECTIONS:
        inner = section.get(name)
        whole |= json.loads(json.dumps(inner)) if isinstance(inner, Mapping) else {}
    if "type" in whole:
        whole.setdefault("rope_type", whole.pop("type"))
    if not any(isinstance(inner, dict) for inner in whole.values()):
        whole.setdefault("rope_type", "default")
    inside = path[place + 1 :] if path[place] in _ROPE_SECTIONS else (path[place],)
    if not inside:
        whole |= dict(value) if isinstance(value, Mapping) else {}
    else:
        target = whole
        for name in inside[:-1]:
            target = target.setdefault(name, {})
        target["rope_type" if inside[-1] == "type" else inside[-1]] = value
    return (*path[:place], "rope_parameters"), whole


def _changed(section: Any, path: tuple[str, ...], value: object) -> object:
    """A copy of an object with one value inside it changed: plain objects are replaced as a whole."""
    whole = json.loads(json.dumps(section))
    target = whole
    for name in path[:-1]:
        target = target.setdefault(name, {})
    target[path[-1]] = value
    return whole


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _python(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else "..."
