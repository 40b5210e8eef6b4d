"""Coefficients from measurements: a penalised, robust least-squares fit of log times.

Each coefficient is drawn towards 0 by a normal prior, whose width says how far things of that kind usually
differ: a device from its architecture, a format family from its runtime. What has no measurements stays at 0
and so inherits. Outliers (another build, a wrong label) are weighed down as a Student t with 4 degrees of
freedom does. Needs numpy (the `calibrate` extra).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from plimsoll.core import conformal
from plimsoll.core.speed import ceiling_seconds, here, pair, seconds
from plimsoll.domain.speed import Calibration, Phase, Spread, Terms

FOLDS_COUNT = 6

_FREEDOM = 4.0
_FAULT_SHARE = 0.7
_NOISE: dict[Phase, float] = {"decode": 0.12, "prefill": 0.20}
# Machines of one kind with one model; the rest of the noise is what the shared coefficients do not tell.
_PAIR_NOISE: dict[Phase, float] = {"decode": 0.1, "prefill": 0.15}
# Runs slower than expected by more than this (a logarithm) hardly count: a card that was not used, a slot
# with few lanes. Prompts differ by as much between kernels that are not at fault.
_FAULT: dict[Phase, float] = {"decode": 0.25, "prefill": 1.5}
_OLDER_BUILDS = r"\w+ (layers|routing) by era: .* before "
_STEPS = 20
_STEPS_BEFORE_FAULTS = 3
_INNER_STEPS = 25
_SMALLEST_STEP = 5e-3

# Widths of the priors by the kind of effect (the words between phase and colon).
WIDTHS: dict[str, float] = {
    "weights": 0.5, "weights by format": 0.08, "weights by kernel": 0.08, "weights by generation": 0.08,
    "weights by architecture": 0.08, "weights by era": 0.08, "weights by flavour": 0.08,
    "weights by memory": 0.15,
    "experts": 0.3, "experts by generation": 0.1, "experts by architecture": 0.1, "experts by era": 0.1,
    "experts by flavour": 0.1,
    "kv": 0.7, "kv by kind": 0.4, "kv by generation": 0.3, "kv by architecture": 0.4, "kv by flash": 0.4,
    "kv by format": 0.4, "kv by device": 0.4, "kv by flavour": 0.4, "state": 1.0,
    "products": 1.0, "products by unit": 0.4, "products by format": 0.4, "products by generation": 0.4,
    "products by architecture": 0.4, "products by kernel": 0.4, "products by memory": 0.4,
    "products by era": 0.2, "products by flavour": 0.2,
    "expert products": 1.0, "expert products by generation": 0.4, "expert products by architecture": 0.4,
    "attention": 1.0, "attention by kind": 0.5, "attention by generation": 0.5,
    "attention by architecture": 0.5,
    "attention by flash": 0.5,
    "arithmetic": 0.5, "arithmetic by format": 0.25, "arithmetic by generation": 0.15,
    "arithmetic by architecture": 0.15, "arithmetic by era": 0.15, "arithmetic by flavour": 0.15,
    "layers": 1.0, "layers by generation": 0.25, "layers by architecture": 0.25, "layers by era": 1.0,
    "layers by flavour": 1.0, "layers by cut": 0.4,
    "routing": 0.5, "routing by era": 0.4, "routing by flavour": 0.4, "state layers": 0.5, "pass": 0.5,
    "exchange": 1.0, "exchange by device": 0.5,
    "host": 0.6, "host by format": 0.3, "host by flavour": 0.3, "host at": 0.2, "host layers": 1.0,
    "model": 0.02, "model on runtime": 0.02, "size": 0.02, "device": 0.08, "device on runtime": 0.12,
    "pair": 0.2,
    "flavour": 0.5, "split": 0.4, "power": 0.3, "ram untold": 0.7,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A measured time with its parts; `groups` names what it belongs to ('device', 'model', 'cell', ...).

    `kind` is the kind of case whose residuals it is pooled with; `weight` how many rows of others it counts.
    """

    id: str
    kind: str
    terms: Terms
    seconds: float
    groups: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0


def prior_width(effect: str) -> float:
    """The standard deviation of a coefficient's prior, by the kind of its effect: the words between the
    phase and the colon. Raises KeyError for a kind that has none."""
    head = effect.partition(":")[0].partition(" ")[2] if effect != "ram untold" else effect
    return WIDTHS[head.removesuffix(" anywhere")]


def fit(samples: Sequence[Sample], phase: Phase) -> dict[str, float]:
    """The coefficients of one phase: those that devices and models share, then those of measured pairs.

    Fitted together, the pairs would take from the others what these tell about what nobody measured: unseen
    models were then off by 8.0 instead of 6.8 %.
    """
    shared = _shared(samples, phase)
    return shared | _pairs(samples, phase, shared)


def _shared(samples: Sequence[Sample], phase: Phase) -> dict[str, float]:
    """Minimises sum of w x rho((log measured - log predicted) / noise) + sum of (c / width)^2 by Gauss-Newton
    steps with reweighting. A cell (same device, model and format) counts as the square root of its rows, so
    that one long sweep does not outvote ten machines.
    """
    import numpy as np

    effects = sorted({e for s in samples for e in s.terms.effects if e != pair(s.terms)} | {
        e for s in samples for part in s.terms.parts for e in part.effects
    })  # fmt: skip
    design = _Design(samples, effects)
    precision = 1.0 / np.array([prior_width(e) for e in effects]) ** 2
    cells = Counter(s.groups.get("cell", s.id) for s in samples)
    weights = np.array([s.weight * cells[s.groups.get("cell", s.id)] ** -0.5 for s in samples])
    target = np.log([s.seconds for s in samples])
    beta = np.zeros(len(effects))
    # Launches only became cheaper; what says otherwise are the machines that ran the newest builds.
    never_faster = [i for i, e in enumerate(effects) if re.match(_OLDER_BUILDS, e)]
    for number in range(_STEPS):
        predicted, slopes = design.predict(beta)
        missed = target - predicted
        robust = weights * (_FREEDOM + 1) / (_FREEDOM + (missed / _NOISE[phase]) ** 2) / _NOISE[phase] ** 2
        if number >= _STEPS_BEFORE_FAULTS:
            robust = robust / (1 + np.maximum(missed / _FAULT[phase], 0) ** 4)
        gradient = design.pulled(slopes, robust * missed) - precision * beta
        step = _solved(design, slopes, robust, precision, gradient)
        beta = beta + step * min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-9))
        beta[never_faster] = np.maximum(beta[never_faster], 0.0)
        if number > _STEPS_BEFORE_FAULTS and float(np.abs(step).max()) < _SMALLEST_STEP:
            break
    return {e: round(float(b), 5) for e, b in zip(effects, beta, strict=True) if abs(b) >= 5e-4}


def _pairs(samples: Sequence[Sample], phase: Phase, shared: Mapping[str, float]) -> dict[str, float]:
    """What the shared coefficients miss of each measured pair: b = sum of w r / (sum of w + 1 / width^2).

    The weights are those of the shared fit, so that each publisher counts in full and his further rows as a
    square root, and outliers and faults hardly. A pair keeps its coefficient even if it is 0: it tells that
    the pair was measured.
    """
    cells = Counter(s.groups.get("cell", s.id) for s in samples)
    missed: dict[str, list[tuple[float, float]]] = {}
    for s in samples:
        weight = s.weight * cells[s.groups.get("cell", s.id)] ** -0.5
        if pair(s.terms):
            missed.setdefault(pair(s.terms), []).append((weight, residual(s, shared)))
    return {name: round(_drawn(rows, phase), 5) for name, rows in missed.items()}


def _drawn(rows: Sequence[tuple[float, float]], phase: Phase) -> float:
    """The robust mean of (weight, residual), drawn towards 0."""
    noise, found = _PAIR_NOISE[phase], 0.0
    for _ in range(_STEPS):
        weights = [
            w * (_FREEDOM + 1) / (_FREEDOM + ((r - found) / noise) ** 2) / noise**2
            / (1 + max((r - found) / _FAULT[phase], 0) ** 4)
            for w, r in rows
        ]  # fmt: skip
        pulled = sum(w * r for w, (_, r) in zip(weights, rows, strict=True))
        found = pulled / (sum(weights) + WIDTHS["pair"] ** -2)
    return found


def _solved(design: _Design, slopes: Any, robust: Any, precision: Any, gradient: Any) -> Any:
    """(J' W J + P)^-1 g by conjugate gradients, preconditioned with the diagonal.

    J has some forty entries a row and a thousand columns: solved densely it would take most of the time.
    """
    import numpy as np

    diagonal = design.pulled(slopes**2, robust) + precision
    x = np.zeros_like(gradient)
    rest = gradient.copy()
    scaled = rest / diagonal
    direction, product = scaled.copy(), float(rest @ scaled)
    start = product
    for _ in range(_INNER_STEPS):
        if product <= 1e-5 * start or product == 0.0:
            break
        image = design.pulled(slopes, robust * design.pushed(slopes, direction)) + precision * direction
        length = product / float(direction @ image)
        x += length * direction
        rest -= length * image
        scaled = rest / diagonal
        product, before = float(rest @ scaled), product
        direction = scaled + product / before * direction
    return x


class _Design:
    """Which effects act on which part of which sample: flat lists of (sample, part, effect)."""

    def __init__(self, samples: Sequence[Sample], effects: Sequence[str]) -> None:
        import numpy as np

        at = {e: i for i, e in enumerate(effects)}
        base: list[float] = []
        owner: list[int] = []
        entries: list[tuple[int, int, int]] = []
        for row, sample in enumerate(samples):
            entries += [(row, -1, at[e]) for e in sample.terms.effects if e in at]
            for part in sample.terms.parts:
                entries += [(row, len(base), at[e]) for e in part.effects]
                base.append(part.seconds)
                owner.append(row)
        self.rows_count, self.effects_count = len(samples), len(effects)
        self.base, self.owner = np.array(base), np.array(owner)
        self.row, self.part, self.effect = np.array(entries).T
        self.is_part = self.part >= 0

    def predict(self, beta: Any) -> tuple[Any, Any]:
        """Log seconds of every sample, and of every entry the derivative by its effect."""
        import numpy as np

        values = beta[self.effect]
        inside = self.is_part
        power = np.bincount(self.part[inside], values[inside], minlength=len(self.base))
        times = self.base * np.exp(power)
        total = np.bincount(self.owner, times, minlength=self.rows_count)
        whole = np.bincount(self.row[~inside], values[~inside], minlength=self.rows_count)
        slopes = np.ones(len(self.row))
        slopes[inside] = (times / total[self.owner])[self.part[inside]]
        return np.log(total) + whole, slopes

    def pushed(self, slopes: Any, change: Any) -> Any:
        """J x: what a change of the coefficients does to every sample."""
        import numpy as np

        return np.bincount(self.row, slopes * change[self.effect], minlength=self.rows_count)

    def pulled(self, slopes: Any, force: Any) -> Any:
        """J' x: what the samples ask of every coefficient."""
        import numpy as np

        return np.bincount(self.effect, slopes * force[self.row], minlength=self.effects_count)


def is_configuration_fault(sample: Sample, coefficients: Mapping[str, float]) -> bool:
    """Below 0.7 of the expected speed: a slot with few lanes, no ReBAR, a fallback to the processor, a busy
    machine. Kept, but flagged."""
    return residual(sample, coefficients) > -math.log(_FAULT_SHARE)


# Repeated runs differ by 0.1, machines by 0.4: the share of a miss that one run counts.
_SHRINK = (0.1 / 0.4) ** 2
_ONE_RUN = 1 / (1 + _SHRINK)


def corrected(calibration: Calibration, anchors: Sequence[Sample]) -> Calibration:
    """The calibration for the machine that `anchors` were measured on.

    Per phase, and apart for mixtures of experts and dense models, the mean residual moves everything by
    n / (n + (0.1 / 0.4)^2) of itself: one run counts almost fully, since machines differ by 0.4 and repeated
    runs by 0.1. It enters as the coefficient of 'here' effects, see `core.speed.terms`; from then on the
    spreads for a machine with own runs hold.
    """
    found: dict[str, list[float]] = {}
    for s in anchors:
        found.setdefault(here(s.terms), []).append(residual(s, calibration.coefficients))
    moved = {key: round(sum(rs) / (len(rs) + _SHRINK), 5) for key, rs in found.items()}
    return replace(calibration, coefficients={**calibration.coefficients, **moved})


def after_anchors(missed: Sequence[tuple[Sample, float]]) -> list[tuple[Sample, float]]:
    """What is still missed after one dense and one mixture run on each machine, which are left out.

    Machines are the samples' 'rig' groups; the run is the one with the smallest digest of its id among those
    fit for it. Where none is, the machine's samples of that kind are left out.
    """
    machines: dict[tuple[str, str], list[tuple[Sample, float]]] = {}
    for s, r in missed:
        machines.setdefault((s.groups["rig"], here(s.terms)), []).append((s, r))
    out = []
    for rows in machines.values():
        fit_for_it = [(s, r) for s, r in rows if s.groups.get("anchor")]
        if fit_for_it:
            anchor, known = min(fit_for_it, key=lambda row: hashlib.sha256(row[0].id.encode()).digest())
            out += [(s, r - known * _ONE_RUN) for s, r in rows if s is not anchor]
    return out


def known_as(sample: Sample, group: str) -> str:
    """The name under which a calibration lists what it has seen: a machine with its runtime, or a model."""
    if group == "device":
        return f"{sample.groups.get('machine', sample.groups['device'])} {sample.kind.partition(' ')[0]}"
    return sample.groups[group]


def residual(sample: Sample, coefficients: Mapping[str, float]) -> float:
    """log(measured / predicted time)."""
    return math.log(sample.seconds / seconds(sample.terms, coefficients))


def is_above_peak(sample: Sample) -> bool:
    """Faster than bandwidth, products or host allow at their peaks: the label must be wrong.

    2 % are left for rounded peaks.
    """
    return sample.seconds < ceiling_seconds(sample.terms) * 0.98


def held_out(
    samples: Sequence[Sample], phase: Phase, group: str, folds_count: int = FOLDS_COUNT
) -> list[tuple[Sample, float]]:
    """Residuals of every sample under a fit that saw no sample of the same group (a device, a model).

    Of parts of a pair only those are told whose pair the fit still saw something of.
    """
    found: list[tuple[Sample, float]] = []
    for number in range(folds_count):
        inside = [s for s in samples if fold(s.groups[group], folds_count) == number]
        outside = [s for s in samples if fold(s.groups[group], folds_count) != number]
        if inside and outside:
            coefficients = fit(outside, phase)
            if group == "part":
                inside = [s for s in inside if pair(s.terms) in coefficients]
            found += [(s, residual(s, coefficients)) for s in inside]
    return found


def with_pairs(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with what else a pair of model and device can be held out by.

    'pair' is the whole of it. 'part' is what of it tells least about the rest: one of its publishers where
    there are several, else one of its formats, else a single row.
    """
    publishers: dict[str, set[str]] = {}
    formats: dict[str, set[str]] = {}
    for s in samples:
        publishers.setdefault(pair(s.terms), set()).add(s.groups.get("rig", ""))
        formats.setdefault(pair(s.terms), set()).add(s.groups.get("cell", ""))
    out = []
    for s in samples:
        name = pair(s.terms)
        part = s.id
        if len(publishers[name]) > 1:
            part = s.groups["rig"]
        elif len(formats[name]) > 1:
            part = s.groups["cell"]
        out.append(replace(s, groups={**s.groups, "pair": name, "part": f"{name} {part}"}))
    return out


def fold(name: str, folds_count: int) -> int:
    """The fold that a group falls in, the same in every run."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % folds_count


def calibrate(
    samples: Sequence[Sample], *, version: str, digest: str, coverage: float = 0.8,
    told: Callable[[str], None] = lambda text: None,
) -> Calibration:  # fmt: skip
    """Fit both phases, and take the spreads from fits that had not seen the device, the model or the cell."""
    coefficients: dict[str, float] = {}
    spreads: dict[str, Spread] = {}
    seen: dict[str, dict[str, tuple[str, ...]]] = {"device": {}, "model": {}}
    phases: tuple[Phase, ...] = ("decode", "prefill")
    usable = [s for s in samples if not is_above_peak(s)]
    told(f"{len(samples) - len(usable)} refused: faster than the device's peak, so the label is wrong")
    for phase in phases:
        own = with_pairs([s for s in usable if s.terms.phase == phase])
        told(f"{phase}: {len(own)} measurements")
        coefficients |= fit(own, phase)
        rows = []
        for new, group in (("", "part"), ("pair", "pair"), ("device", "device"), ("model", "model")):
            missed = held_out(own, phase, group)
            rows += [
                conformal.Miss(kind=s.kind, new=new, group=s.groups[group], residual=r) for s, r in missed
            ]
            if group == "device":
                rows += [
                    conformal.Miss(kind=s.kind, new="here", group=s.groups["rig"], residual=r)
                    for s, r in after_anchors(missed)
                ]
            middle = sorted(abs(math.expm1(r)) for _, r in missed)[len(missed) // 2]
            told(f"{phase}: unseen {group}: median error {100 * middle:.1f} %")
        spreads |= conformal.spreads(rows, phase, coverage)
        for name, table in seen.items():
            table[phase] = tuple(sorted({known_as(s, name) for s in own}))
        slow = sum(is_configuration_fault(s, coefficients) for s in own)
        told(f"{phase}: {slow} below 0.7 of what is expected: configuration faults, kept but hardly counted")
    return Calibration(
        version=version, measurements_count=len(usable), measurements_digest=digest, coverage=coverage,
        coefficients=coefficients, spreads=spreads, devices=seen["device"], models=seen["model"],
    )  # fmt: skip
