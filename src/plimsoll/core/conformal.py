"""Intervals that keep their word: quantiles of what the model missed on devices and models it had not seen.

Split-conformal prediction (Vovk et al. 2005; Lei et al. 2018, arXiv 1604.04173): with n residuals of cases
that took no part in the fit, the ceil((n + 1) q)-th smallest bounds a new one with probability q. Residuals
are log(measured / predicted time), kept apart by kind of case and by what was new to the fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from plimsoll.domain.speed import Calibration, SpeedCase, Spread

NEW = ("pair", "device", "model", "both")
# Nothing is new where own runs of this kind corrected the calibration.
HERE = "here"
# Below this many residuals a kind shares those of all kinds of its phase.
ENOUGH_COUNT = 25
FEW_GROUPS_COUNT = 6
# A device with n residuals counts as the square root of n, so that one long sweep does not set the interval.
GROUP_POWER = -0.5


def kind_of(case: SpeedCase) -> str:
    """'llama_cpp/cuda', with ' host' where part of the model lies in host memory, ' cards' for several."""
    kind = f"{case.runtime}/{case.backend}"
    if case.host_layers_count or case.host_expert_layers_count:
        return f"{kind} host"
    return f"{kind} cards" if case.devices_count > 1 else kind


def machine_of(case: SpeedCase) -> str:
    """What must have been measured for a case not to be new: the device, with its host if that works too."""
    if case.host_layers_count or case.host_expert_layers_count:
        return f"{case.device} + {case.host or 'a host'}"
    return case.device or case.host


def spread(
    residuals: Sequence[float], coverage: float, weights: Sequence[float] | None = None, groups_count: int = 0
) -> Spread:
    """The central interval of `coverage`: the quantiles at (1 - coverage) / 2 from either end.

    With weights those of the weighted residuals, the new case weighing as much as the mean (Tibshirani et al.
    2019, arXiv 1904.06019). A case of a new group weighs as much as a group, and may lie outside on either
    side (Dunn et al. 2018, arXiv 1809.07441); that bound is for the worst case, and half of it is taken.
    """
    shares = weights or [1.0] * len(residuals)
    ordered = sorted(zip(residuals, shares, strict=True))
    tail = (1 - coverage) / 2
    outside = (sum(shares) + sum(shares) / len(shares)) * tail
    if groups_count:
        outside = sum(shares) * max(tail - (1 - tail) / groups_count / 2, tail / 5)
    low, high = _reached(ordered, outside), _reached(ordered[::-1], outside)
    return Spread(low=round(low, 4), high=round(high, 4), samples_count=len(ordered))


def _reached(ordered: Sequence[tuple[float, float]], weight: float) -> float:
    """The last residual at which the weights summed so far do not exceed `weight`; at least the first."""
    total = 0.0
    found = ordered[0][0]
    for residual, share in ordered:
        total += share
        if total > weight + 1e-9:
            break
        found = residual
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """What a fit missed on a sample of a group (a device, a model) that took no part in it."""

    kind: str
    new: str
    group: str
    residual: float


def spreads(misses: Iterable[Miss], phase: str, coverage: float) -> dict[str, Spread]:
    """One spread per kind with enough residuals, and one for all kinds.

    Residuals of one group go together; where a kind has seen only a few groups, the next may lie anywhere
    among them, so that the spread then encloses each group's own.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for m in misses:
        runtime = m.kind.partition(" ")[0]
        for key in (f"{phase} {m.kind} {m.new}", f"{phase} {runtime} * {m.new}", f"{phase} * {m.new}"):
            found.setdefault(key.strip(), {}).setdefault(m.group, []).append(m.residual)
    out = {
        key: _of_groups(groups, coverage)
        for key, groups in found.items()
        if sum(map(len, groups.values())) >= ENOUGH_COUNT or key.startswith(f"{phase} *")
    }
    for key in [k for k in out if k.endswith(" device")]:
        other = key.removesuffix("device") + "model"
        if other in out:
            out[key.removesuffix("device") + "both"] = _hull(out[key], out[other])
    return out


def _of_groups(groups: Mapping[str, Sequence[float]], coverage: float) -> Spread:
    rows = [(r, len(values) ** GROUP_POWER) for values in groups.values() for r in values]
    pooled = spread([r for r, _ in rows], coverage, [w for _, w in rows], len(groups))
    if len(groups) >= FEW_GROUPS_COUNT:
        return pooled
    for values in groups.values():
        pooled = _hull(pooled, spread(values, coverage))
    return replace(pooled, samples_count=sum(map(len, groups.values())))


def _hull(one: Spread, other: Spread) -> Spread:
    """What encloses both: device and model new at once is at least as uncertain as either."""
    return Spread(
        low=min(one.low, other.low), high=max(one.high, other.high),
        samples_count=min(one.samples_count, other.samples_count),
    )  # fmt: skip


def whats_new(
    calibration: Calibration, phase: str, kind: str, machine: str, model: str, pair: str = ""
) -> str:
    """'', 'pair', 'device', 'model' or 'both': what the fit had not seen; a device counts with its runtime.

    `pair` is the effect of this model on this device (see `core.speed.pair`); '' where none is learnt, as of
    several requests: then nothing is new once device and model were seen.
    """
    if pair in calibration.coefficients:
        return ""
    has_device = f"{machine} {kind.partition(' ')[0]}" in calibration.devices.get(phase, ())
    has_model = model in calibration.models.get(phase, ())
    found = NEW[(not has_device) + 2 * (not has_model)]
    return "" if found == "pair" and not pair else found


def spread_for(found: Mapping[str, Spread], phase: str, kind: str, new: str) -> Spread:
    """The spread of the most specific kind that has enough samples."""
    for key in (f"{phase} {kind} {new}", f"{phase} {kind.partition(' ')[0]} * {new}", f"{phase} * {new}"):
        if key.strip() in found:
            return found[key.strip()]
    raise KeyError(f"{phase} * {new}")
