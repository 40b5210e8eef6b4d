"""Nouns of training: what is trained, with what, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plimsoll.domain.answer import Verdict
from plimsoll.domain.bill import Bill, Line
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.origin import Source

Method = Literal["lora", "qlora", "dora", "full", "router-only"]
Optimizer = Literal["adamw", "adamw-8bit", "paged-adamw-8bit", "adafactor", "muon", "sgd"]
Attention = Literal["flash", "sdpa", "eager"]
Loss = Literal["plain", "chunked"]
Sharding = Literal["none", "ddp", "zero1", "zero2", "zero3", "fsdp", "megatron"]
Framework = Literal["peft", "trl", "axolotl", "unsloth", "llama-factory", "ms-swift", "megatron"]
Phase = Literal["loss", "backward", "step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkRule:
    """How a training program keeps its types, as read in its source (`sources`).

    `autocasts`: the forward pass runs under torch.autocast, as transformers.Trainer does with bf16=True.
    `adapter_bytes` is of LoRA's weights beside a 16-bit base, `quantised_adapter_bytes` beside a 4-bit one.
    `raised` is what becomes f32 beside a quantised base: 'none', 'norms' (and whatever else is not quantised,
    but embeddings and head) or 'all'. `quantises_experts`: stacks of experts are packed, too; bitsandbytes
    alone packs linear layers only. `packs_towers`: so are towers of vision and sound. `trains_in_f32`: full
    training raises 16-bit weights first. `dropout` is that of LoRA's inputs by default.
    """

    name: Framework
    version: str
    autocasts: bool = True
    adapter_bytes: int = 4
    quantised_adapter_bytes: int = 4
    raised: Literal["none", "norms", "all"] = "none"
    quantises_experts: bool = False
    packs_towers: bool = True
    loss: Loss = "plain"
    dropout: float = 0.0
    is_fused_optimizer: bool = True
    trains_in_f32: bool = False
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """One run, as a training program is told it. `targets` as for `TargetsOf`; () means the method's default.

    `longest_tokens` is the longest sequence the data holds, where shorter than `sequence_tokens`.
    `is_padded`: sequences of unlike lengths stand beside each other with a mask, which costs flash attention.
    `base_bits` below 16: the frozen matrices are packed (4: NF4, 8: LLM.int8). `freezes_towers`: towers of
    vision and sound do not train, and see no input here.
    """

    method: Method
    framework: FrameworkRule
    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = ()
    optimizer: Optimizer = "adamw"
    batch: int = 1
    accumulate: int = 1
    sequence_tokens: int = 2048
    longest_tokens: int = 0
    is_checkpointed: bool = True
    attention: Attention = "flash"
    loss: Loss = "plain"
    value_bytes: int = 2
    base_bits: int = 16
    dropout: float = 0.0
    sharding: Sharding = "none"
    devices_count: int = 1
    tensor_parallel: int = 1
    expert_parallel: int = 1
    pipeline_parallel: int = 1
    is_padded: bool = False
    freezes_towers: bool = True
    keeps_logits: bool = False
    offloads_optimizer: bool = False

    @property
    def tokens_per_pass(self) -> int:
        """Tokens of one forward pass on one device."""
        return self.batch * (self.longest_tokens or self.sequence_tokens)

    @property
    def data_parallel(self) -> int:
        """Copies of the model that share the batch."""
        return max(1, self.devices_count // (self.tensor_parallel * self.pipeline_parallel))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterPair:
    """A and B of one module: `layer` is None outside the text model's blocks. `experts_count` > 0: a
    stack."""

    module: str
    adapts: str
    layer: int | None
    inputs: int
    outputs: int
    rank: int
    experts_count: int = 0

    @property
    def values_count(self) -> int:
        """Values of both matrices."""
        return self.rank * max(1, self.experts_count) * (self.inputs + self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What of the model trains: LoRA's pairs, or whole parameters. `rows` are the shapes of what trains
    whole.

    `magnitudes_count` are DoRA's. `refusal` says why PEFT cannot attach there; '' where it can.
    """

    pairs: tuple[AdapterPair, ...] = ()
    whole_values_count: int = 0
    magnitudes_count: int = 0
    rows: tuple[tuple[int, int, int], ...] = ()
    names: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def adapter_values_count(self) -> int:
        """Values of all pairs and magnitudes."""
        return sum(p.values_count for p in self.pairs) + self.magnitudes_count

    @property
    def trained_values_count(self) -> int:
        """What an optimiser updates."""
        return self.adapter_values_count + self.whole_values_count


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseBytes:
    """The bytes alive at the peak of one phase of a step, on the fullest device."""

    phase: Phase
    value: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """The lines of the phase that needs most, and the sums of all three."""

    lines: tuple[Line, ...]
    phases: tuple[PhaseBytes, ...]
    peak: Phase
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLine:
    """Something a run writes; `count` times `size_bytes`."""

    label: str
    size_bytes: int
    count: int
    formula: str
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return self.size_bytes * self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A model that goes on answering during training: its bill on the same card, and whether both fit."""

    model: str
    verdict: Verdict
    inference_bytes: int
    left_bytes: int
    context_tokens: int
    sequences_count: int
    longest_context_tokens: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFile:
    """A configuration for a training program: `command` starts it."""

    name: str
    text: str
    command: str
    program: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMeasurement:
    """One published throughput of a training run, and what it was made of. 0 and '' mean: not told.

    `tokens_per_s` counts trained tokens of all devices together, padding left out.
    """

    source: str
    model: str
    device: str
    devices_count: int
    framework: str
    method: str
    rank: int
    targets: str
    batch: int
    sequence_tokens: int
    is_checkpointed: str
    tokens_per_s: float
    published_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCoefficients:
    """What was learnt from measured runs: (value, low, high, runs) each.

    `fragments` by group ('one card', 'several cards'): the share of what lives that is held besides.
    `filled_share` is how much of the longest allowed sequence the longest batch of measured runs filled where
    they did not pack: needed to read their rows, never to plan. `context_bytes` (value, low, high) is what
    other programs' logs show of a bare CUDA process. `utilisation` by group: the share of a card's 16-bit
    operations per second that training reached. `coverage` is the share of runs inside low … high.
    """

    memory_runs_count: int
    memory_digest: str
    time_runs_count: int
    filled_share: float
    coverage: float
    context_bytes: tuple[int, int, int]
    fragments: Mapping[str, tuple[float, float, float, int]]
    utilisation: Mapping[str, tuple[float, float, float, int]]

    def fragments_of(self, devices_count: int) -> tuple[float, float, float]:
        """The share for runs on so many cards."""
        value, low, high, _ = self.fragments["several cards" if devices_count > 1 else "one card"]
        return value, low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingAnswer:
    """The answer of `train-plan`."""

    question: str
    asked: Mapping[str, Any]
    verdict: Verdict
    reason: str
    missing_bytes: int
    headroom_bytes: int
    model: str
    machine: str
    setup: TrainingSetup
    attachment: Attachment
    trained_values_count: int
    parameters_count: int
    bill: Bill
    memory: TrainingMemory
    time: tuple[Estimate, ...]
    steps_count: int
    disk: tuple[DiskLine, ...]
    adapter_file_bytes: int
    beside: Beside | None
    files: tuple[TrainingFile, ...]
    remedies: tuple[str, ...]
    notes: tuple[str, ...]
    unknowns: tuple[str, ...]
    sources: tuple[Source, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 it fits, 1 it does not, 3 unknown."""
        return {"does_not_fit": 1, "unknown": 3}.get(self.verdict, 0)
