"""Does a training run fit: the bill of every card, beside what stays resident, and which changes help."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from plimsoll.core.fit import TIGHT_SHARE
from plimsoll.core.training_frameworks import FRAMEWORKS
from plimsoll.domain.answer import Verdict
from plimsoll.domain.bill import Bill, DeviceTotal, Line
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.training import TrainingSetup
from plimsoll.formulas.buffers import reserved_by_others


class Judged(NamedTuple):
    """A verdict with the fullest card's room; negative headroom is what lacks."""

    verdict: Verdict
    reason: str
    headroom_bytes: int
    bill: Bill


def judge(machine: Machine, devices: Sequence[str], lines: Sequence[Line]) -> Judged:
    """Fits when every card holds its lines at their high ends with 2 % to spare, tight at their values
    only."""
    every = [*lines, *_reserved(machine, devices)]
    totals = []
    for device in machine.devices:
        here = [x for x in every if x.device == device.id]
        if device.id not in devices:
            continue
        origin = device.origins.get("memory_bytes")
        totals.append(
            DeviceTotal(
                id=device.id,
                name=device.name,
                capacity_bytes=device.memory_bytes,
                used_bytes=sum(x.size_bytes for x in here),
                used_low_bytes=sum(x.low_bytes for x in here),
                used_high_bytes=sum(x.high_bytes for x in here),
                origins=(origin,) if origin else (),
            )
        )
    bill = Bill(lines=tuple(every), devices=tuple(totals))
    worst = min(totals, key=lambda t: t.headroom_bytes)
    if worst.headroom_bytes < 0:
        return Judged(
            "does_not_fit", f"on {worst.name}" if len(totals) > 1 else "", worst.headroom_bytes, bill
        )
    if any(t.capacity_bytes - t.used_high_bytes < TIGHT_SHARE * t.capacity_bytes for t in totals):
        return Judged(
            "tight",
            f"at the high end of the estimates it does not fit on {worst.name}",
            worst.headroom_bytes,
            bill,
        )
    return Judged("fits", "", worst.headroom_bytes, bill)


def _reserved(machine: Machine, devices: Sequence[str]) -> list[Line]:
    return [
        Line.of(
            reserved_by_others, {"reserved_bytes": d.reserved_bytes}, component="reserved",
            label="held by the driver and other programs", device=d.id, model="", basis="reported",
            origins=(d.origins["reserved_bytes"],) if "reserved_bytes" in d.origins else (),
        )
        for d in machine.devices
        if d.id in devices and d.reserved_bytes > 0
    ]  # fmt: skip


def changes(model: Model, setup: TrainingSetup) -> Iterator[tuple[str, str, dict[str, object]]]:
    """What to change, cheapest first: the words, the flags, the fields of the setup."""
    if not setup.is_checkpointed:
        yield "recompute activations", "--checkpointing", {"is_checkpointed": True}
    if setup.loss == "plain":
        yield "compute the loss in chunks", "--loss chunked", {"loss": "chunked"}
    if setup.attention == "eager":
        yield "use flash attention", "--flash", {"attention": "flash"}
    if setup.batch > 1:
        yield (
            "one sequence a pass, more of them gathered",
            f"--batch 1 --accumulate {setup.accumulate * setup.batch}",
            {"batch": 1, "accumulate": setup.accumulate * setup.batch},
        )
    if setup.optimizer == "adamw":
        yield "keep the optimiser in 8 bits", "--optimizer adamw-8bit", {"optimizer": "adamw-8bit"}
    if setup.sequence_tokens > 2048:
        half = setup.sequence_tokens // 2
        yield f"sequences of {half:,} tokens", f"--seq {half}", {"sequence_tokens": half}
        yield "sequences of 2,048 tokens", "--seq 2048", {"sequence_tokens": 2048}
    if setup.method in ("lora", "dora") and setup.base_bits == 16:
        yield "pack the frozen weights in 4 bits", "--method qlora", {"method": "qlora", "base_bits": 4}
    packs = FRAMEWORKS["axolotl"]
    if (
        setup.method in ("lora", "qlora")
        and any(x.experts_count for x in model.layers)
        and not setup.framework.quantises_experts
    ):
        yield "pack the experts in 4 bits, too", "--method qlora --framework axolotl", {
            "method": "qlora", "base_bits": 4, "framework": packs, "loss": packs.loss}  # fmt: skip
    if setup.devices_count > 1 and setup.sharding in ("none", "ddp", "zero1", "zero2"):
        yield "share the weights out over the cards", "--zero 3", {"sharding": "zero3"}
    if setup.method == "full":
        yield "train a LoRA instead", "--method lora", {"method": "lora"}
        yield "train a LoRA on 4-bit weights instead", "--method qlora", {"method": "qlora", "base_bits": 4}
