"""A LoRA adapter as its files describe it, and what becomes of it on a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plimsoll.domain.answer import Answer
from plimsoll.domain.origin import Origin, Source

AdapterNaming = Literal["peft", "gguf"]
Part = Literal["a", "b", "magnitude", "bias", "whole"]
AdapterVerdict = Literal["works", "partly", "changes_nothing", "load_error", "unknown"]
Outcome = Literal["applied", "ignored", "no_effect", "untrained", "wrong_shape", "refused"]
RuntimeVerdict = Literal["supported", "penalty", "unsupported", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTensor:
    """One tensor of the file. `module` is what it adapts, `part` which half of the pair it is;
    'whole' is a tensor that replaces one of the model's. `shape` is in PyTorch order.

    `is_zero` is None where the values were not read.
    """

    name: str
    module: str
    part: Part
    shape: tuple[int, ...]
    format: str
    size_bytes: int
    is_embedding: bool = False
    is_zero: bool | None = None

    @property
    def elements_count(self) -> int:
        """Number of stored values."""
        count = 1
        for dim in self.shape:
            count *= dim
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraAdapter:
    """What an adapter's config and header say.

    `targets` are the names of modules (suffixes) it was trained on, `target_pattern` a regular
    expression or 'all-linear' instead; both empty means PEFT's default for the architecture.
    `target_parameters` name parameters that are no linear layer, such as stacked experts.
    `rank_pattern` and `alpha_pattern` override `rank` and `alpha` per module, in file order.
    `architecture` is set for GGUF adapters only.
    """

    id: str
    naming: AdapterNaming
    base: str
    rank: int
    alpha: float
    tensors: tuple[AdapterTensor, ...]
    file_bytes: int
    architecture: str = ""
    task: str = ""
    targets: tuple[str, ...] = ()
    target_pattern: str = ""
    target_parameters: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    excluded_pattern: str = ""
    layers: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] = ()
    rank_pattern: tuple[tuple[str, int], ...] = ()
    alpha_pattern: tuple[tuple[str, float], ...] = ()
    saved_modules: tuple[str, ...] = ()
    bias: str = "none"
    has_dora: bool = False
    has_rslora: bool = False
    has_lora_bias: bool = False
    other_methods: tuple[str, ...] = ()
    unread_keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)

    @property
    def ranks(self) -> dict[str, int]:
        """Module -> rows of its A (a fused stack of experts has rank x experts); embeddings likewise."""
        return {t.module: t.shape[0] for t in self.tensors if t.part == "a" and t.shape}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCheck:
    """What became of one module of the adapter or the model; shapes are [A, B] pairs, () where absent."""

    module: str
    outcome: Outcome
    reason: str
    found: tuple[tuple[int, ...], ...] = ()
    expected: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterCheck:
    """The verdict for one adapter on one model, with the engine that judges and its reasons."""

    model: str
    engine: str
    verdict: AdapterVerdict
    reason: str
    modules: tuple[ModuleCheck, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeUse:
    """The adapter in one runtime: whether it runs it, and what it keeps in memory for it.

    `resident_bytes` is for one adapter on one device, None where it is unknown; `formula` names the
    function that gave it with `inputs`. `fits_count` is how many fit beside the model, None if not asked.
    """

    runtime: str
    verdict: RuntimeVerdict
    reason: str
    resident_bytes: int | None = None
    formula: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    fits_count: int | None = None
    flags: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterAnswer:
    """The answer of `adapter`."""

    question: str
    asked: Mapping[str, Any]
    adapter: LoraAdapter
    parameters_count: int
    tensors_bytes: int
    check: AdapterCheck | None = None
    runtimes: tuple[RuntimeUse, ...] = ()
    machine: str = ""
    fit: Answer | None = None
    notes: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 nothing is wrong, 1 it does not work on the model, 3 unknown."""
        if self.check is None:
            return 0
        return {"load_error": 1, "changes_nothing": 1, "unknown": 3}.get(self.check.verdict, 0)
