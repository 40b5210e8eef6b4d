"""The numbers of a model that an edit may change: parameters, bytes, operations."""

from __future__ import annotations

from collections.abc import Sequence

from plimsoll.domain.bill import Bill
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.model import Model, TensorSpec
from plimsoll.domain.whatif import Figure
from plimsoll.formulas import cache_growth, decode
from plimsoll.formulas.weights import active_parameters_count, parameters_count
from plimsoll.units import format_count

_STATE_VALUE_BYTES = 4
NO_SPEED = "needs a machine: --on MACHINE"
_RATES = (
    ("tokens_per_second", "predicted tokens/s"), ("tokens_per_second_low", "  80 % interval from"),
    ("tokens_per_second_high", "  to"),
)  # fmt: skip


def figures(
    model: Model,
    stored: Sequence[TensorSpec],
    context_tokens: int,
    kv_format: str,
    bill: Bill | None,
    rate: Estimate | None = None,
    no_rate: str = NO_SPEED,
) -> dict[str, Figure]:
    """Every figure of one model, under `before`; `stored` is its table in the format of the files, `rate` the
    generation speed at that context, or None because of `no_rate`."""
    layers = model.layers
    kv_bytes = cache_growth.cache_bytes(layers, context_tokens, kv_format)
    found = [
        _figure("parameters", "parameters", "parameters", parameters_count(model.tensors),
                "formulas.weights:parameters_count"),
        _figure("active_parameters", "active per token", "parameters",
                active_parameters_count(model.tensors, layers), "formulas.weights:active_parameters_count"),
        _figure("weight_bytes", "weights", "bytes", sum(t.size_bytes for t in stored),
                "formulas.weights:sum_bytes"),
        _figure("kv_bytes", f"KV cache at {format_count(context_tokens)} tokens", "bytes", kv_bytes,
                "formulas.cache_growth:cache_bytes"),
    ]  # fmt: skip
    if state := cache_growth.state_bytes(layers, _STATE_VALUE_BYTES):
        found.append(
            _figure("state_bytes", "recurrent state", "bytes", state, "formulas.cache_growth:state_bytes")
        )
    found += _on_devices(bill) if bill else []
    found += _per_token(model, stored, context_tokens, kv_format)
    found += _rates(rate, no_rate)
    return {figure.quantity: figure for figure in found}


def _rates(rate: Estimate | None, no_rate: str) -> list[Figure]:
    if rate is None:
        return [_figure(*_RATES[0], "tokens/s", None, note=no_rate)]
    values = (rate.value, rate.low, rate.high)
    return [
        _figure(*name, "tokens/s", value, rate.formula) for name, value in zip(_RATES, values, strict=True)
    ]


def _on_devices(bill: Bill) -> list[Figure]:
    compute = sum(line.size_bytes for line in bill.lines if line.component == "compute")
    found = [_figure("compute_bytes", "compute buffers, all devices", "bytes", compute, "core.fit:bill_of")]
    for total in bill.devices:
        at, used = total.id, total.used_bytes
        found.append(_figure(f"device_bytes {at}", f"{at} used", "bytes", used, "core.fit:bill_of"))
        if total.capacity_bytes > 0:
            left = total.headroom_bytes
            found.append(_figure(f"headroom_bytes {at}", f"{at} left", "bytes", left, "core.fit:bill_of"))
    return found


def _per_token(
    model: Model, stored: Sequence[TensorSpec], context_tokens: int, kv_format: str
) -> list[Figure]:
    layers, tied = model.layers, model.has_tied_embeddings
    labels = (
        ("flops_per_token", "FLOPs per token", "flop"),
        ("bytes_per_token", "bytes read per token", "bytes"),
    )
    if decode.is_sparse(layers):
        return [_figure(*label, None, note="its sparse attention is not described") for label in labels]
    flops = decode.matrix_flops(model.tensors, layers, has_tied_embeddings=tied)
    flops += decode.attention_flops(layers, context_tokens)
    moved = (
        decode.weight_bytes_read(stored, layers, has_tied_embeddings=tied)
        + decode.kv_bytes_read(layers, context_tokens, kv_format, kv_format)
        + decode.state_bytes_moved(layers, _STATE_VALUE_BYTES)
    )
    return [
        _figure(*labels[0], flops, "formulas.decode:matrix_flops + attention_flops"),
        _figure(*labels[1], moved, "formulas.decode:weight_bytes_read + kv_bytes_read + state_bytes_moved"),
    ]


def _figure(
    quantity: str, label: str, unit: str, value: float | int | None, formula: str = "", note: str = ""
) -> Figure:
    return Figure(
        quantity=quantity, label=label, unit=unit, before=value, after=None, formula=formula, note=note
    )
