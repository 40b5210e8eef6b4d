"""All edits of a question as one override per runtime, without touching the files.

Sources: --override-kv and --rope-scaling in common/arg.cpp of ggml-org/llama.cpp@0c1e57098 (scalars only);
--hf-overrides in vllm/engine/arg_utils.py of vLLM 0.33.0 (nested configs are merged, other objects replaced);
--json-model-override-args in srt/server_args.py of SGLang 0.5.9 (whole attributes are replaced);
configuration_utils.py of Transformers 5.23.0 (rope_theta and rope_scaling live in rope_parameters);
parser/parser.go of Ollama (a Modelfile has FROM, PARAMETER, TEMPLATE, ADAPTER ..., nothing for metadata).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from plimsoll.core.edits import leaf_of, text_part, topmost_of
from plimsoll.domain.config_key import KeyFacts
from plimsoll.domain.model import Model
from plimsoll.domain.whatif import Edit, Override
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.runtimes.llama_cpp.metadata import Metadata, metadata_of, rope_flags
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture

_ROPE_KEYS = frozenset({"rope_scaling", "rope_parameters", "rope_theta", "partial_rotary_factor"})
_CONTEXT_KEY = "max_position_embeddings"


def in_gguf(
    edit: Edit, facts: KeyFacts | None, architecture: str, model: Model, read_keys: frozenset[str] | None
) -> Metadata:
    """What an edit becomes in a GGUF; nothing for a key that configs of this architecture do not have
    (`read_keys` are those Transformers reads)."""
    leaf = leaf_of(edit.key)
    if not edit.was_present and read_keys is not None and not {leaf, topmost_of(edit.key)} & read_keys:
        return Metadata((), f"a config of this architecture has no {leaf}")
    return metadata_of(leaf, edit.after, facts, architecture, model)


def overrides(
    edits: Sequence[Edit], facts: Mapping[str, KeyFacts | None], edited: Mapping[str, Any], model: Model,
    read_keys: frozenset[str] | None,
) -> tuple[Override, ...]:  # fmt: skip
    """One override per runtime for all edits; `edited` is the config with them in it."""
    if not edits:
        return ()
    pieces = _pieces(edits, edited)
    return (
        _llama_cpp(edits, facts, model, read_keys), _vllm(pieces), _sglang(pieces), _transformers(pieces),
        _ollama(edits),
    )  # fmt: skip


def _llama_cpp(
    edits: Sequence[Edit],
    facts: Mapping[str, KeyFacts | None],
    model: Model,
    read_keys: frozenset[str] | None,
) -> Override:
    try:
        architecture = gguf_architecture(model)
    except UnsupportedArchitecture as error:
        return Override(runtime="llama.cpp", kind="cannot", text="", note=error.message)
    pairs, flags, notes = [], [], []
    for edit in edits:
        leaf = leaf_of(edit.key)
        own = rope_flags(edit.after) if leaf in ("rope_scaling", "rope_parameters") else ""
        made = in_gguf(edit, facts.get(edit.key), architecture, model, read_keys)
        if own:
            flags.append(own)
        elif made.pairs:
            pairs += [pair.text for pair in made.pairs]
        else:
            notes.append(f"{leaf}: {made.reason}")
    if pairs:
        flags.insert(0, f"--override-kv {','.join(pairs)}")
    return Override(
        runtime="llama.cpp", kind="flag" if flags else "cannot", text=" ".join(flags), note="; ".join(notes)
    )


def _pieces(edits: Sequence[Edit], edited: Mapping[str, Any]) -> dict[str, Any]:
    """The edits as a piece of config.json; positions as the whole rope_parameters object."""
    piece: dict[str, Any] = {}
    for edit in edits:
        path, value = edit.key.split("."), edit.after
        at = next((i for i, name in enumerate(path) if name in _ROPE_KEYS), None)
        if at is not None:
            path, value = [*path[:at], "rope_parameters"], _rope_object(edited)
        place = piece
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return piece


def _rope_object(edited: Mapping[str, Any]) -> dict[str, Any]:
    """rope_theta, partial_rotary_factor and the scaling of the edited config in one object."""
    part = text_part(edited)
    whole: dict[str, Any] = {}
    for key in ("rope_theta", "partial_rotary_factor"):
        if part.get(key) is not None:
            whole[key] = part[key]
    for key in ("rope_parameters", "rope_scaling"):
        if isinstance(part.get(key), Mapping):
            whole |= part[key]
    if "type" in whole:
        whole.setdefault("rope_type", whole.pop("type"))
    whole.setdefault("rope_type", "default")
    return whole


def _vllm(pieces: Mapping[str, Any]) -> Override:
    return Override(runtime="vllm", kind="flag", text=f"--hf-overrides '{_json(pieces)}'")


def _sglang(pieces: Mapping[str, Any]) -> Override:
    nested = [
        name for name, value in pieces.items() if isinstance(value, Mapping) and name.endswith("_config")
    ]
    if nested:
        note = f"its flag replaces {nested[0]} as a whole: edit config.json"
        return Override(runtime="sglang", kind="cannot", text="", note=note)
    return Override(runtime="sglang", kind="flag", text=f"--json-model-override-args '{_json(pieces)}'")


def _transformers(pieces: Mapping[str, Any]) -> Override:
    lines = "; ".join(f"config.{path} = {value!r}" for path, value in _flat(pieces))
    return Override(
        runtime="transformers", kind="code", text=f"config = AutoConfig.from_pretrained(ID); {lines}",
        note="then AutoModelForCausalLM.from_pretrained(ID, config=config)",
    )  # fmt: skip


def _flat(pieces: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in pieces.items():
        if isinstance(value, Mapping) and name.endswith("_config"):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _ollama(edits: Sequence[Edit]) -> Override:
    if all(leaf_of(e.key) == _CONTEXT_KEY for e in edits):
        return Override(
            runtime="ollama", kind="file", text=f"PARAMETER num_ctx {edits[0].after}", note="in the Modelfile"
        )
    note = "a Modelfile cannot change metadata: write a GGUF with gguf_set_metadata.py and use FROM"
    return Override(runtime="ollama", kind="cannot", text="", note=note)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
