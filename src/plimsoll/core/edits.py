"""Edits of a config.json: reading them as typed, finding the key they mean, and applying them to a copy."""

from __future__ import annotations

import copy
import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plimsoll.domain.whatif import Edit
from plimsoll.errors import BadSetting

Config = Mapping[str, Any]

_TEXT_SECTIONS = ("text_config", "llm_config", "language_config")
_ROPE_KEYS = ("rope_scaling", "rope_parameters")
_ROPE_KINDS = ("yarn", "linear", "dynamic")
# Rope types that other keys describe, and that a kind and a factor are not enough for.
_LARGEST_FACTOR = 4096.0
# Counts of which a model has at least one; of the others 0 may mean "none of these".
_AT_LEAST_ONE = frozenset({
    "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size",
    "vocab_size", "num_experts_per_tok", "max_position_embeddings", "num_experts_per_token", "top_k_experts",
})  # fmt: skip


def read_edit(text: str, config: Config, known_keys: Iterable[str] = ()) -> Edit:
    """`key=value` as an Edit of `config`; the value is JSON or a plain word, `rope_scaling` takes yarn:4.

    A key without a section is looked for at the top and in the text part. Raises BadSetting where there is
    no key or value, where the value cannot be, and for a key that neither the config nor `known_keys` has.
    """
    name, separator, value_text = text.partition("=")
    name, value_text = name.strip(), value_text.strip()
    if not separator or not name or not value_text:
        raise BadSetting(f"{text!r} is not an edit", hint="write KEY=VALUE, such as num_experts_per_tok=16")
    path = _path_of(name, config, known_keys)
    section, is_present = _section(config, path[:-1]), False
    if path[-1] in section:
        is_present = True
    before = section.get(path[-1])
    if path[-1] in _ROPE_KEYS and not value_text.startswith("{"):
        after: Any = _rope_value(value_text, before, config)
    else:
        after = _value(value_text)
    _refuse_impossible(".".join(path), before, after)
    return Edit(key=".".join(path), before=before, after=after, text=text, was_present=is_present)


def apply_edits(config: Config, edits: Sequence[Edit]) -> dict[str, Any]:
    """A copy of the config with the edits in it, the original untouched."""
    edited: dict[str, Any] = copy.deepcopy(dict(config))
    for edit in edits:
        *sections, leaf = edit.key.split(".")
        place = edited
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = copy.deepcopy(edit.after)
    return edited


def text_part(config: Config) -> Config:
    """The section that describes the text model: the config itself or its text_config."""
    for name in _TEXT_SECTIONS:
        if isinstance(config.get(name), Mapping):
            part: Config = config[name]
            return part
    return config


def leaf_of(key: str) -> str:
    """The key without the sections before it."""
    return key.rpartition(".")[2]


def topmost_of(key: str) -> str:
    """The first part of a key inside the text model: `rope_parameters` of rope_parameters.factor."""
    parts = key.split(".")
    return parts[1] if parts[0] in _TEXT_SECTIONS and len(parts) > 1 else parts[0]


def _path_of(name: str, config: Config, known_keys: Iterable[str]) -> tuple[str, ...]:
    """The key as a path; `rope_theta` of a config in the new style is in its rope_parameters."""
    parts = tuple(part for part in name.split(".") if part)
    known = frozenset(known_keys)
    if len(parts) > 1:
        _section(config, parts[:-1])
        if parts[-1] not in _section(config, parts[:-1]) and parts[-1] not in known:
            raise _no_such_key(name, config, known)
        return parts
    leaf = parts[0] if parts else name
    part = text_part(config)
    home = () if part is config else (next(s for s in _TEXT_SECTIONS if config.get(s) is part),)
    nested = part.get("rope_parameters")
    if leaf == "rope_scaling" and leaf not in part and isinstance(nested, Mapping):
        return (*home, "rope_parameters")
    if leaf == "rope_theta" and leaf not in part and isinstance(nested, Mapping) and leaf in nested:
        return (*home, "rope_parameters", leaf)
    if leaf in part:
        return (*home, leaf)
    if leaf in config:
        return (leaf,)
    if leaf not in known:
        raise _no_such_key(name, config, known)
    return (*home, leaf)


def _no_such_key(name: str, config: Config, known: frozenset[str]) -> BadSetting:
    leaf = leaf_of(name)
    pool = {*config, *text_part(config), *known}
    near = difflib.get_close_matches(leaf, sorted(pool), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "plimsoll model ID --config lists the keys"
    return BadSetting(f"neither this config nor Plimsoll knows a key {name!r}", hint=hint)


def _section(config: Config, path: Sequence[str]) -> Config:
    place = config
    for name in path:
        inner = place.get(name)
        if not isinstance(inner, Mapping):
            raise BadSetting(
                f"the config has no section {name!r}",
                hint=f"its sections: {', '.join(_sections(config)) or 'none'}",
            )
        place = inner
    return place


def _sections(config: Config) -> list[str]:
    return [key for key, value in config.items() if isinstance(value, Mapping)]


def _value(text: str) -> Any:
    """JSON, also written as Python or a shell would write it; anything else is a word."""
    spelled = {"True": True, "False": False, "None": None}
    if text in spelled:
        return spelled[text]
    try:
        return json.loads(text)
    except ValueError:
        if text[0] in '[{"' or text.lower() in ("nan", "infinity", "-infinity"):
            raise BadSetting(
                f"{text!r} is not valid JSON", hint="write numbers, true, false, null or JSON"
            ) from None
        return text


def _rope_value(text: str, before: Any, config: Config) -> Any:
    """none, or KIND:FACTOR[:ORIGINAL_CONTEXT] over what the config says already."""
    if text.lower() in ("none", "null", "default"):
        return None
    kind, _, rest = text.partition(":")
    factor_text, _, original_text = rest.partition(":")
    hint = "write yarn:4, yarn:4:32768, linear:2, dynamic:2, none or a JSON object"
    if kind.lower() not in _ROPE_KINDS:
        raise BadSetting(f"{kind!r} is not a way to extend positions that takes a factor", hint=hint)
    try:
        factor = float(factor_text)
    except ValueError:
        raise BadSetting(f"rope_scaling={text!r} lacks a factor", hint=hint) from None
    _check_factor(factor)
    present = before if isinstance(before, Mapping) else {}
    same = present.get("rope_type", present.get("type")) == kind.lower()
    kept = {k: v for k, v in present.items() if same or k in ("rope_theta", "partial_rotary_factor")}
    made = {**kept, "rope_type": kind.lower(), "factor": factor}
    made.pop("type", None)
    if original_text or (kind.lower() == "yarn" and "original_max_position_embeddings" not in made):
        made["original_max_position_embeddings"] = _original(original_text, config)
    return made


def _original(text: str, config: Config) -> int:
    if text:
        if not text.isdigit() or int(text) < 1:
            raise BadSetting(f"{text!r} is not a number of tokens", hint="write yarn:4:32768")
        return int(text)
    trained = text_part(config).get("max_position_embeddings")
    if not isinstance(trained, int):
        raise BadSetting("the config names no context to extend", hint="write yarn:4:32768")
    return trained


def _check_factor(factor: float) -> None:
    if not math.isfinite(factor) or factor < 1 or factor > _LARGEST_FACTOR:
        raise BadSetting(
            f"a factor of {factor:g} does not extend the context", hint="a factor is at least 1, such as 4"
        )


def _refuse_impossible(key: str, before: Any, after: Any) -> None:
    """Values that no model can have, whatever the architecture; BadSetting says why."""
    leaf = leaf_of(key)
    if isinstance(after, float) and not math.isfinite(after):
        raise BadSetting(f"{key} cannot be {after}", hint="write a finite number")
    is_number = isinstance(after, int | float) and not isinstance(after, bool)
    if leaf in _AT_LEAST_ONE and after is not None and (not is_number or after < 1 or after != int(after)):
        raise BadSetting(f"{key} cannot be {after!r}", hint="write a whole number of at least 1")
    if is_number and after < 0 and isinstance(before, int | float) and before > 0:
        raise BadSetting(f"{key} cannot be {after}", hint=f"it is {before} now")
    if leaf == "factor" and is_number:
        _check_factor(float(after))
    if isinstance(after, Mapping) and leaf in _ROPE_KEYS and "factor" in after:
        factor = after["factor"]
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            raise BadSetting(f"the factor {factor!r} is not a number", hint="write yarn:4")
        _check_factor(float(factor))
    is_other_kind = is_number != _is_number(before) and before is not None and after is not None
    if is_other_kind and not isinstance(before, list):
        raise BadSetting(f"{key} cannot be {after!r}", hint=f"it is {before!r} now")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
