"""What a training run holds in memory: three moments of a step, line by line, on one device.

loss      weights, optimiser, what the forward pass keeps, the loss over all logits
backward  weights, optimiser, gradients, layer inputs, one layer computed anew and running backwards
step      weights, optimiser, gradients, what the optimiser builds besides

The device that holds most decides; ranks are taken as alike but for pipeline stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from plimsoll.core.training_saved import Saved, adapter_type_bytes, blocks
from plimsoll.core.training_weights import (
    largest_layer,
    largest_matrix,
    share_of_rank,
    shares,
)
from plimsoll.domain.bill import Component, Line
from plimsoll.domain.model import Model
from plimsoll.domain.training import (
    Attachment,
    Phase,
    PhaseBytes,
    TrainingCoefficients,
    TrainingMemory,
    TrainingSetup,
)
from plimsoll.formulas import training as formulas

PHASES: tuple[Phase, ...] = ("loss", "backward", "step")
_KEPT = {
    "nf4": "frozen weights, 4 bits (NF4)",
    "int8": "frozen weights, 8 bits",
    "f32": "weights raised to f32",
}
_PARTITIONED_GRADIENTS = ("zero2", "zero3", "fsdp")
_PARTITIONED_OPTIMIZER = ("zero1", "zero2", "zero3", "fsdp", "megatron")
_PARTITIONED_WEIGHTS = ("zero3", "fsdp")
_MASTERED = ("zero1", "zero2", "zero3", "megatron")


def memory(
    model: Model, setup: TrainingSetup, found: Attachment, device: str, learnt: TrainingCoefficients
) -> TrainingMemory:
    """The bill of one device at each moment; the largest is told line by line."""
    told = {
        phase: _with_overhead(phase_lines(model, setup, found, device, phase), model, setup, device, learnt)
        for phase in PHASES
    }
    sums = {
        p: tuple(sum(getattr(x, n) for x in told[p]) for n in ("size_bytes", "low_bytes", "high_bytes"))
        for p in PHASES
    }
    peak = max(PHASES, key=lambda p: sums[p][0])
    return TrainingMemory(
        lines=told[peak], peak=peak,
        phases=tuple(PhaseBytes(phase=p, value=sums[p][0], low=sums[p][1], high=sums[p][2]) for p in PHASES),
    )  # fmt: skip


class _Bill:
    """Lines of one model on one device."""

    def __init__(self, model: Model, device: str) -> None:
        self.model, self.device = model, device
        self.lines: list[Line] = []

    def add(
        self, component: Component, label: str, formula: Any, basis: Any = "exact", **inputs: Any
    ) -> None:
        line = Line.of(
            formula, inputs, component=component, label=label, device=self.device, model=self.model.id,
            basis=basis, origins=tuple(dict.fromkeys(self.model.origins.values())),
        )  # fmt: skip
        if line.size_bytes:
            self.lines.append(line)


def phase_lines(
    model: Model, setup: TrainingSetup, found: Attachment, device: str, phase: Phase
) -> tuple[Line, ...]:
    bill = _Bill(model, device)
    _weights(bill, model, setup)
    _trained(bill, model, setup, found, phase)
    kinds = blocks(model, setup, found)
    if phase != "step":
        _activations(bill, model, setup, kinds, phase)
        if setup.base_bits < 16:
            bill.add("activations", "matrix being unpacked", formulas.dequantised_bytes, "formula",
                     largest_values=largest_matrix(model), value_bytes=setup.value_bytes)  # fmt: skip
        if setup.sharding in _PARTITIONED_WEIGHTS:
            bill.add("weights", "layers gathered from the other cards", formulas.gathered_bytes, "formula",
                     values_count=largest_layer(model), value_bytes=setup.value_bytes)  # fmt: skip
    if phase == "loss":
        if trained_in_f32(setup) and setup.sharding not in _PARTITIONED_WEIGHTS:
            bill.add("weights", "16-bit copies for the forward pass", formulas.plain_bytes, "formula",
                     values_count=found.trained_values_count, value_bytes=setup.value_bytes)  # fmt: skip
        _loss(bill, model, setup)
    return tuple(bill.lines)


def trained_in_f32(setup: TrainingSetup) -> bool:
    """Whether full training keeps its weights in f32: LLaMA-Factory and Unsloth raise them, and accelerate
    does under FSDP (utils/fsdp_utils.py, fsdp2_prepare_model)."""
    raises = setup.framework.trains_in_f32 or setup.sharding == "fsdp"
    return setup.method == "full" and setup.framework.autocasts and raises


def _weights(bill: _Bill, model: Model, setup: TrainingSetup) -> None:
    parts = setup.devices_count if setup.sharding in _PARTITIONED_WEIGHTS else 1
    totals: dict[str, list[int]] = {}
    for share in shares(model, setup):
        entry = totals.setdefault(share.kept, [0, 0])
        entry[0] += share_of_rank(share, setup)
        entry[1] += share.rows_count
    for kept, (values, rows) in totals.items():
        label = _KEPT.get(kept, "weights")
        bill.add(
            "weights", label, formulas.kept_bytes, kept=kept, values_count=-(-values // parts),
            rows_count=-(-rows // parts), value_bytes=4 if trained_in_f32(setup) else setup.value_bytes,
        )  # fmt: skip


def trained_of_rank(model: Model, setup: TrainingSetup, found: Attachment) -> int:
    """Trained values that one model-parallel rank holds (before ZeRO or FSDP share them out)."""
    ways = setup.tensor_parallel * setup.pipeline_parallel
    whole = found.whole_values_count
    if setup.method == "full" and (ways > 1 or setup.expert_parallel > 1):
        whole = sum(share_of_rank(s, setup) for s in shares(model, setup))
    stacks = sum(p.values_count for p in found.pairs if p.experts_count)
    others = found.adapter_values_count - stacks
    return whole + others // ways + stacks // (setup.expert_parallel * setup.pipeline_parallel)


def trained_type_bytes(setup: TrainingSetup) -> int:
    """Of one trained value as the forward pass reads it."""
    if setup.method in ("lora", "qlora", "dora"):
        return adapter_type_bytes(setup)
    return 4 if trained_in_f32(setup) else setup.value_bytes


def _trained(bill: _Bill, model: Model, setup: TrainingSetup, found: Attachment, phase: Phase) -> None:
    """The adapter, gradients and what the optimiser keeps, shared out as ZeRO, FSDP or Megatron do."""
    values, size = trained_of_rank(model, setup, found), trained_type_bytes(setup)
    copies = setup.data_parallel if setup.sharding != "fsdp" else setup.devices_count
    mine = -(-values // copies) if setup.sharding in _PARTITIONED_OPTIMIZER else values
    if found.pairs:
        bill.add("adapters", "adapter", formulas.plain_bytes, values_count=values, value_bytes=size)
    _gradients(bill, setup, values, copies, size, phase)
    if setup.offloads_optimizer:
        return
    is_mastered = setup.sharding in _MASTERED and size < 4
    if is_mastered:
        bill.add(
            "optimizer", "f32 copies of what trains", formulas.master_bytes, values_count=mine, copies_bytes=4
        )
    _states(bill, setup, found, mine, 4 if is_mastered else size)
    builds = setup.optimizer == "adamw" and not setup.framework.is_fused_optimizer
    if phase == "step" and builds and setup.sharding not in _MASTERED:
        bill.add(
            "optimizer",
            "intermediates of the step",
            formulas.step_bytes,
            "formula",
            values_count=mine,
            value_bytes=size,
        )


def _gradients(bill: _Bill, setup: TrainingSetup, values: int, copies: int, size: int, phase: Phase) -> None:
    if setup.sharding == "megatron":
        bill.add(
            "gradients",
            "gradients (f32 buffers)",
            formulas.gradient_bytes,
            values_count=values,
            value_bytes=4,
        )
        return
    kept = -(-values // copies) if setup.sharding in _PARTITIONED_GRADIENTS else values
    if phase == "loss" and setup.accumulate == 1:
        return  # set to None after each step (optimizer.zero_grad)
    bill.add("gradients", "gradients", formulas.gradient_bytes, values_count=kept, value_bytes=size)
    if setup.sharding == "ddp":
        bill.add(
            "gradients",
            "buckets of DistributedDataParallel",
            formulas.gradient_bytes,
            values_count=values,
            value_bytes=size,
        )


def _states(bill: _Bill, setup: TrainingSetup, found: Attachment, mine: int, size: int) -> None:
    label = f"optimiser ({setup.optimizer})"
    if setup.optimizer == "adamw":
        bill.add("optimizer", label, formulas.adam_bytes, values_count=mine, value_bytes=size)
    elif setup.optimizer in ("adamw-8bit", "paged-adamw-8bit"):
        # CUDA may move paged moments to the host when the card is full; until then they count.
        paged = ", may move to host memory" if setup.optimizer.startswith("paged") else ""
        bill.add("optimizer", label + paged, formulas.adam8_bytes, values_count=mine)
    elif setup.optimizer in ("muon", "sgd"):
        bill.add("optimizer", label, formulas.momentum_bytes, values_count=mine, value_bytes=size)
    elif setup.optimizer == "adafactor":
        bill.add("optimizer", label, formulas.adafactor_bytes, rows=_rows(found))


def _rows(found: Attachment) -> list[list[int]]:
    pairs = [[1, p.rank, p.inputs] for p in found.pairs] + [[1, p.outputs, p.rank] for p in found.pairs]
    return pairs or [list(row) for row in found.rows]


def _activations(
    bill: _Bill, model: Model, setup: TrainingSetup, kinds: Sequence[Saved], phase: Phase
) -> None:
    """What the forward pass keeps; with checkpointing the layers' inputs, and one layer while it is
    redone."""
    tokens, tp, pp = setup.tokens_per_pass, setup.tensor_parallel, setup.pipeline_parallel
    if not setup.is_checkpointed:
        rows = [[k.layers_count, k.token_bytes // tp] for k in kinds]
        held = sum(k.layers_count * k.held_bytes for k in kinds)
        bill.add(
            "activations",
            "activations of all layers",
            formulas.saved_bytes,
            "formula",
            tokens_count=tokens,
            rows=rows,
            held_bytes=held,
        )
    else:
        # The first pipeline stage holds as many batches as there are stages, the last one its own.
        layers = len(model.layers) // (pp if phase == "loss" else 1)
        bill.add("activations", "inputs of the layers", formulas.layer_inputs_bytes, "formula",
                 tokens_count=tokens // tp, layers_count=layers, hidden_dim=model.hidden_dim,
                 value_bytes=setup.value_bytes)  # fmt: skip
    if phase == "backward":
        worst = max(kinds, key=lambda k: tokens * k.token_bytes + k.held_bytes)
        if setup.is_checkpointed:
            bill.add(
                "activations",
                "one layer, computed anew",
                formulas.saved_bytes,
                "formula",
                tokens_count=tokens,
                rows=[[1, worst.token_bytes // tp]],
                held_bytes=worst.held_bytes,
            )
        value = 4 if adapter_type_bytes(setup) > 2 and not setup.framework.autocasts else setup.value_bytes
        bill.add("activations", "gradients of one layer's results", formulas.backward_bytes, "formula",
                 tokens_count=tokens, widest_values=worst.widest_values // tp, value_bytes=value)  # fmt: skip


def _loss(bill: _Bill, model: Model, setup: TrainingSetup) -> None:
    tokens, vocab = setup.tokens_per_pass, model.vocab_size // setup.tensor_parallel
    if setup.sharding == "megatron":
        bill.add(
            "logits",
            "logits and loss",
            formulas.vocab_parallel_loss_bytes,
            "formula",
            tokens_count=tokens,
            vocab_size=vocab,
        )
    elif setup.loss == "chunked":
        bill.add("logits", "loss in chunks", formulas.chunked_loss_bytes, "formula",
                 tokens_count=tokens, hidden_dim=model.hidden_dim, value_bytes=setup.value_bytes)  # fmt: skip
    else:
        bill.add(
            "logits",
            "loss over all logits, f32",
            formulas.loss_bytes,
            "formula",
            tokens_count=tokens,
            vocab_size=vocab,
        )
        if setup.keeps_logits:
            bill.add("logits", "logits that the loop still holds", formulas.kept_logits_bytes, "formula",
                     tokens_count=tokens, vocab_size=vocab, value_bytes=setup.value_bytes)  # fmt: skip


def _with_overhead(
    lines: tuple[Line, ...], model: Model, setup: TrainingSetup, device: str, learnt: TrainingCoefficients
) -> tuple[Line, ...]:
    bill = _Bill(model, device)
    alive = sum(line.size_bytes for line in lines)
    share, low, high = learnt.fragments_of(setup.devices_count)
    bill.add("overhead", "held by PyTorch's allocator besides", formulas.fragments_bytes, "calibrated",
             allocated_bytes=alive, share=share, low=low, high=high)  # fmt: skip
    typical, least, most = learnt.context_bytes
    bill.add("overhead", "CUDA context and libraries", formulas.context_bytes, "calibrated",
             typical_bytes=typical, low_bytes=least, high_bytes=most)  # fmt: skip
    return (*lines, *bill.lines)


def allocated_bytes(found: TrainingMemory) -> int:
    """What lives at the peak, without the allocator's rest and the context."""
    return sum(x.size_bytes for x in found.lines if x.component != "overhead")


def component_bytes(lines: Sequence[Line]) -> Mapping[Component, int]:
    """Bytes per component, in order of first appearance."""
    totals: dict[Component, int] = {}
    for line in lines:
        totals[line.component] = totals.get(line.component, 0) + line.size_bytes
    return totals


def with_setup(setup: TrainingSetup, **changes: Any) -> TrainingSetup:
    """The same run with something changed."""
    return replace(setup, **changes)
