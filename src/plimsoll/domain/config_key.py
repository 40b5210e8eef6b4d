"""What is known about one key of config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["text", "rope", "quantisation", "vision", "audio", "any"]
Change = Literal["shapes", "files", "code", "trained", "behaviour", "safe", "unused"]
MetadataType = Literal["int", "float", "bool", "str", "array"]

RETRAINING_NEEDED: frozenset[Change] = frozenset({"shapes", "files", "code", "trained"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """One key, whatever its value.

    `change` says what an edit without retraining does:

    * `shapes`: tensor shapes or counts follow from it; the weights no longer fit the model;
    * `files`: it describes how the files are stored; another value misreads them;
    * `code`: it selects the code that builds the model;
    * `trained`: the weights load, but they were trained with the old value, and the output degrades;
    * `behaviour`: meant to be set by the user; the output changes;
    * `safe`: read at inference, the output stays the same;
    * `unused`: nothing reads it at inference.

    `memory`, `speed` and `quality` are sentences, empty where the key has no such effect. `computed` names
    the function that puts this model's numbers in (`plimsoll.core.config_effects`), or is empty.
    `llama_cpp` is the GGUF metadata key ('{arch}.attention.head_count') that holds the same thing, and
    `llama_cpp_type` its type (`array`: --override-kv cannot set it); `flags` are dedicated flags or settings
    by runtime ('--max-model-len {value}'), which come before the general override; `none` there says that a
    runtime does not read the key. `is_opaque` marks an object whose inner keys are names of modules.
    """

    key: str
    scope: Scope
    means: str
    change: Change
    because: str
    aliases: tuple[str, ...] = ()
    memory: str = ""
    speed: str = ""
    quality: str = ""
    computed: str = ""
    llama_cpp: str = ""
    llama_cpp_type: MetadataType | Literal[""] = ""
    flags: tuple[tuple[str, str], ...] = ()
    is_opaque: bool = False
    sources: tuple[str, ...] = ()

    @property
    def changes_shapes(self) -> bool:
        """Whether tensor shapes or counts follow from this key."""
        return self.change == "shapes"

    @property
    def needs_retraining(self) -> bool:
        """Whether another value makes the published weights useless or wrong."""
        return self.change in RETRAINING_NEEDED
