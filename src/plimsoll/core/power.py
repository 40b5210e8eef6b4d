"""What a lowered power limit leaves of the speed, from measured sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from statistics import fmean, median

from plimsoll.domain.measurement import Measurement
from plimsoll.domain.power import PowerFactor, Sweep
from plimsoll.domain.speed import Phase

_PHASES: dict[str, Phase] = {"decode_tps": "decode", "prefill_tps": "prefill"}
# A sweep says nothing below its lowest limit; this far below it still counts as reached.
_REACH = 0.02


def sweeps(rows: Iterable[Measurement]) -> tuple[Sweep, ...]:
    """Speed by power limit, per device and phase: medians over rows that differ in nothing but the limit.

    Both are shares of the highest limit's; a lower limit is never taken to be faster than a higher one.
    """
    alike: dict[tuple[object, ...], dict[int, float]] = {}
    for m in rows:
        if m.power_limit_watts and m.metric in _PHASES:
            key: tuple[object, ...] = (
                m.device, _PHASES[m.metric], m.source, m.runtime, m.version, m.backend, m.model,
                m.weight_format, m.kv_format, m.flash_attention, m.devices_count, m.prompt_tokens,
                m.depth_tokens, m.sequences_count, m.ubatch_tokens,
            )  # fmt: skip
            alike.setdefault(key, {})[m.power_limit_watts] = m.value
    ratios: dict[tuple[str, Phase], dict[float, list[float]]] = {}
    for key, values in alike.items():
        most = max(values)
        for watts, value in values.items() if len(values) > 1 else ():
            points = ratios.setdefault((str(key[0]), key[1]), {})  # type: ignore[arg-type]
            points.setdefault(round(watts / most, 4), []).append(value / values[most])
    return tuple(
        Sweep(device=device, phase=phase, points=_rising({s: median(v) for s, v in found.items()}))
        for (device, phase), found in sorted(ratios.items())
    )


def _rising(points: Mapping[float, float]) -> tuple[tuple[float, float], ...]:
    out: list[tuple[float, float]] = []
    for share, ratio in sorted(points.items()):
        out.append((share, min(1.0, max(ratio, out[-1][1] if out else 0.0))))
    return tuple(out)


def factor(found: Iterable[Sweep], device: str, phase: Phase, share: float) -> PowerFactor | None:
    """The speed at `share` of the power limit, as a share of that at the whole limit; None below every sweep.

    On a device with a sweep of its own it is read off the sweep, between its points in a straight line. On
    another device it is the mean of the sweeps, and anything from proportional to the power to no loss at all
    is possible: clocks fall with power, but less than it does, as voltage falls too.
    """
    if share >= 1:
        return PowerFactor(value=1.0, low=1.0, high=1.0, is_own=True)
    of_phase = [s for s in found if s.phase == phase and s.points[0][0] - _REACH <= share]
    own = [s for s in of_phase if s.device == device]
    if own:
        value = _at(own[0], share)
        return PowerFactor(value=value, low=value, high=value, is_own=True)
    if not of_phase:
        return None
    value = fmean(_at(s, share) for s in of_phase)
    return PowerFactor(value=value, low=min(share, value), high=1.0, is_own=False)


def _at(sweep: Sweep, share: float) -> float:
    points = sweep.points
    if share <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if share <= x1:
            return y0 + (y1 - y0) * (share - x0) / (x1 - x0)
    return 1.0
