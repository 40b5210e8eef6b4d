"""config.json line by line: what each key is and what this value means for this model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from plimsoll.core.config_effects import EFFECTS, Scene
from plimsoll.core.config_overrides import overrides
from plimsoll.domain.config_key import KeyFacts
from plimsoll.domain.explanation import KeyExplanation
from plimsoll.domain.model import Model
from plimsoll.runtimes.llama_cpp.names import ARCHITECTURES

_ARCHITECTURE = "general.architecture"
Find = Callable[[str], KeyFacts | None]
_LONGEST_TEXT = 72
_DEEPEST = 8


def explain_config(model: Model, config: Mapping[str, Any], find: Find) -> tuple[KeyExplanation, ...]:
    """Each key of `config` in file order, nested sections after their own line; unknown keys have no facts.

    `find` gives the facts of a dotted path.
    """
    architecture = ARCHITECTURES.get(model.architecture, "")
    return tuple(_lines(model, config, config, (), find, architecture))


def explain_metadata(model: Model, metadata: Mapping[str, object], find: Find) -> tuple[KeyExplanation, ...]:
    """Each metadata key of a GGUF that belongs to its architecture, in file order.

    `find` gives the facts of a key in which the architecture is written '{arch}'.
    """
    architecture = str(metadata.get(_ARCHITECTURE, ""))
    start = f"{architecture}."
    own = {key: value for key, value in metadata.items() if key.startswith(start)}
    known = {key: find("{arch}." + key.removeprefix(start)) for key in own}
    # The effects look at sibling keys by their names in config.json.
    section = {facts.key: own[key] for key, facts in known.items() if facts}
    return tuple(_metadata_line(model, key, own[key], known[key], section, architecture) for key in own)


def _metadata_line(
    model: Model, key: str, value: object, facts: KeyFacts | None, section: Mapping[str, object],
    architecture: str,
) -> KeyExplanation:  # fmt: skip
    listed = list(value) if isinstance(value, tuple) else value
    if facts is None:
        return KeyExplanation(path=key, value=_said(listed), facts=None)
    scene = Scene(model=model, section=section, key=facts.key, value=value)
    effect = EFFECTS[facts.computed](scene) if facts.computed else ()
    said = (facts.memory, facts.speed, facts.quality)
    told = overrides((facts.key,), facts, listed, {facts.key: listed}, architecture)
    return KeyExplanation(
        path=key, value=_said(listed), facts=facts, effects=tuple(t for t in (*effect, *said) if t),
        overrides=tuple(o for o in told if o.runtime in ("llama_cpp", "ollama")),
    )  # fmt: skip


def _said(value: object) -> str:
    """A metadata value; long arrays stay in the file and only their length is known."""
    if isinstance(value, str | int | float | list):
        return shown(value)
    count = getattr(value, "count", None)
    return f"[{count:,} values]" if isinstance(count, int) else "{long text}"


def _lines(
    model: Model, config: Mapping[str, Any], section: Mapping[str, Any], above: tuple[str, ...], find: Find,
    architecture: str,
) -> Iterator[KeyExplanation]:  # fmt: skip
    for key, value in section.items():
        path = (*above, key)
        facts = find(".".join(path))
        scene = Scene(model=model, section=section, key=key, value=value)
        effect = EFFECTS[facts.computed](scene) if facts and facts.computed and value is not None else ()
        said = (facts.memory, facts.speed, facts.quality) if facts else ()
        yield KeyExplanation(
            path=".".join(path), value=shown(value), facts=facts,
            effects=tuple(text for text in (*effect, *said) if text),
            overrides=overrides(path, facts, value, config, architecture) if facts and above_is_flat(path)
            else (),
        )  # fmt: skip
        if isinstance(value, Mapping) and len(path) < _DEEPEST and not (facts and facts.is_opaque):
            yield from _lines(model, config, value, path, find, architecture)


def above_is_flat(path: tuple[str, ...]) -> bool:
    """Whether a path is one that a runtime could be told: quantisation describes files and is left out."""
    return not any(name in ("quantization_config", "compression_config", "quantization") for name in path)


def shown(value: object) -> str:
    """A value on one line: long lists as counts of their values, objects as the number of their keys."""
    if isinstance(value, Mapping):
        return f"{{{len(value):,} keys}}"
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= _LONGEST_TEXT:
        return text
    if isinstance(value, list):
        counts = Counter(json.dumps(item, ensure_ascii=False) for item in value)
        if len(counts) <= 4:
            parts = ", ".join(f"{times}x {item}" for item, times in counts.items())
            if len(parts) <= _LONGEST_TEXT:
                return f"[{len(value):,} values: {parts}]"
        return f"[{len(value):,} values]"
    return text[: _LONGEST_TEXT - 1] + "…"
