"""What one may wait for: announced hardware from its data sheet, and what prices did so far."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.ask.measured import NoCeiling, work_in
from plimsoll.ask.scale_money import Prices
from plimsoll.ask.scale_ways import FULL_SHARE
from plimsoll.catalog import candidates as catalog
from plimsoll.catalog import devices
from plimsoll.core.scale import trend
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.model import Model
from plimsoll.domain.plan import Part
from plimsoll.domain.price import Price
from plimsoll.domain.scale import Announced, Trend, Way
from plimsoll.domain.speed import ModelWork
from plimsoll.errors import PlimsollError
from plimsoll.formulas.bandwidth import tokens_at_bandwidth


def announced(model: Model, ways: Sequence[Way]) -> list[Announced]:
    """Announced and reported hardware with the ceiling of its data sheet for the first model, in the format
    that the first way with one runs it in. Nothing here was measured, so nothing here is ranked."""
    part = next((w.first.part for w in ways if w.first.part), None)
    work = _work(model, part)
    out = []
    for entry in catalog.load_announced():
        record = devices.load(entry.device) if entry.device else None
        memory = record.memory_nominal_bytes if record else None
        rate = record.bandwidth_bytes_per_s if record else None
        out.append(
            Announced(
                name=entry.name, device=entry.device, status=entry.status, dated=entry.dated, says=entry.says,
                source=entry.source, memory_bytes=memory, bandwidth_bytes_per_s=rate,
                weight_format=part.weight_format if part and record else "",
                fits=_fits(part, memory), ceiling=_ceiling(work, rate),
            )
        )  # fmt: skip
    return out


def _work(model: Model, part: Part | None) -> ModelWork | None:
    if part is None:
        return None
    try:
        return work_in(model, part.model.runtime, str(part.asked.get("weights", "")))
    except (PlimsollError, NoCeiling):
        return None


def _fits(part: Part | None, memory_bytes: int | None) -> str:
    """Whether the weights alone would fit: nobody knows what its driver keeps."""
    if part is None or memory_bytes is None:
        return "unknown"
    return "weights fit" if part.weights_bytes <= FULL_SHARE * memory_bytes else "weights do not fit"


def _ceiling(work: ModelWork | None, bandwidth: int | None) -> Estimate | None:
    if work is None or not bandwidth:
        return None
    active = sum(g.size_bytes * g.active_experts_count / g.experts_count for g in work.experts)
    inputs = {
        "bandwidth_bytes_per_s": bandwidth, "bytes_per_token": work.block_bytes + work.output_bytes + active
    }  # fmt: skip
    value = tokens_at_bandwidth(**inputs)
    return Estimate(
        quantity="decode_ceiling", unit="tokens/s", value=value, low=0.0, high=value, basis="formula",
        formula="formulas.bandwidth:tokens_at_bandwidth", inputs=inputs,
    )  # fmt: skip


def trends(prices: Prices, ways: Sequence[Way]) -> list[Trend]:
    """What the dated prices of the shown cards and machines did, to buy and to rent, tier by tier."""
    shown = dict.fromkeys(w.device for w in ways if w.device)
    groups: dict[tuple[str, str, str], list[Price]] = {}
    for price in prices.every:
        if price.device in shown and price.devices_count == 1 and price not in prices.own:
            groups.setdefault((price.device, price.kind, price.tier), []).append(price)
    return [trend(*key, groups[key]) for key in sorted(groups, key=lambda k: list(shown).index(k[0]))]
