"""What a batch does to the parts of a pass, learnt on top of what a pass alone takes.

The coefficients of `core.calibrate` stay as they are: they set what each part of a step takes, and here the
effects named 'serving ...' are fitted to times measured with several requests in flight, by the same
penalised, robust least squares on logarithms. Needs numpy (the `calibrate` extra).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plimsoll.core import calibrate as passes
from plimsoll.core import conformal
from plimsoll.core.calibrate import Sample, known_as, residual
from plimsoll.domain.speed import Calibration, Phase, Spread

_FREEDOM = 4.0
_NOISE = {"ttft": 0.2, "tpot": 0.1, "throughput": 0.1}
_STEPS = 60
_SMALLEST_GAIN = 1e-5

# Widths of the priors by the second word: (of the runtime on its backend, of what refines it).
_WIDTHS: dict[str, tuple[float, float]] = {
    "weights": (0.1, 0.05), "experts": (0.3, 0.15), "cache": (0.4, 0.3), "state": (0.4, 0.2),
    "arithmetic": (0.2, 0.1),
    "products": (0.8, 0.4), "attention": (0.8, 0.3), "layers": (0.2, 0.1), "exchange": (0.5, 0.3),
    "expert products": (0.8, 0.4), "sequences": (0.7, 0.3), "prompt": (0.3, 0.2),
    "request": (1.0, 0.5), "requests": (1.0, 0.5),
    "host weights": (0.3, 0.1), "host": (0.3, 0.1), "ttft": (0.1, 0.1), "tpot": (0.05, 0.05),
    "throughput": (0.05, 0.05), "model": (0.05, 0.05), "device": (0.05, 0.05), "client": (0.05, 0.05),
    "early": (0.5, 0.2), "power": (0.2, 0.2), "exchanged": (1.5, 0.7),
}  # fmt: skip


def is_learnt(effect: str) -> bool:
    """Whether a batch's fit sets it; all others are those of a pass alone."""
    return effect.startswith("serving ")


def prior_width(effect: str) -> float:
    """The standard deviation of the coefficient's prior, by the kind of its effect."""
    words = effect.split(" ")[1:]
    name = "expert products" if words[:2] == ["expert", "products"] else words[0]
    return _WIDTHS[name][0 if len(words) - len(name.split(" ")) <= 1 else 1]


def fit(samples: Sequence[Sample], base: Mapping[str, float]) -> dict[str, float]:
    """The 'serving ...' coefficients for times whose passes take what `base` says.

    Minimises sum of w x rho((log measured - log predicted) / noise) + sum of (c / width)^2 by Gauss-Newton
    steps; rho is that of a Student t with 4 degrees of freedom, a cell counts as the square root of its rows.
    """
    import numpy as np

    design = _Design(samples, base)
    precision = np.array([prior_width(e) for e in design.effects]) ** -2.0
    noise = np.array([_NOISE[s.terms.phase] for s in samples])
    cells = Counter((s.groups.get("cell", s.id), s.terms.phase) for s in samples)
    weights = np.array([cells[s.groups.get("cell", s.id), s.terms.phase] ** -0.5 for s in samples])
    target = np.log([s.seconds for s in samples])
    beta = np.zeros(len(design.effects))
    last = math.inf
    for _ in range(_STEPS):
        predicted, slopes = design.predict(beta)
        missed = (target - predicted) / noise
        robust = weights * (_FREEDOM + 1) / (_FREEDOM + missed**2) / noise**2
        force = slopes.T @ (robust * missed * noise) - precision * beta
        step = np.linalg.solve((slopes.T * robust) @ slopes + np.diag(precision), force)
        beta = beta + step * min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-9))
        missed = (target - design.predict(beta)[0]) / noise
        loss = float(((_FREEDOM + 1) * weights * np.log1p(missed**2 / _FREEDOM)).sum())
        loss += float(precision @ beta**2)
        if abs(last - loss) < _SMALLEST_GAIN * max(loss, 1.0):
            break
        last = loss
    return {e: round(float(b), 5) for e, b in zip(design.effects, beta, strict=True) if abs(b) >= 5e-4}


class _Design:
    """Parts of all samples with the seconds that the base gives them, and which effects act on which."""

    def __init__(self, samples: Sequence[Sample], base: Mapping[str, float]) -> None:
        import numpy as np

        self.effects = sorted(
            {e for s in samples for e in (*s.terms.effects, *(x for p in s.terms.parts for x in p.effects))
             if is_learnt(e)}
        )  # fmt: skip
        at = {e: i for i, e in enumerate(self.effects)}
        seconds: list[float] = []
        owner: list[int] = []
        inside: list[tuple[int, int]] = []
        whole: list[tuple[int, int]] = []
        for row, sample in enumerate(samples):
            whole += [(row, at[e]) for e in sample.terms.effects if e in at]
            for part in sample.terms.parts:
                inside += [(len(seconds), at[e]) for e in part.effects if e in at]
                seconds.append(part.seconds * math.exp(sum(base.get(e, 0.0) for e in part.effects)))
                owner.append(row)
        self.rows_count = len(samples)
        self.seconds, self.owner = np.array(seconds), np.array(owner)
        self.part, self.effect = np.array(inside).T
        self.whole = np.zeros((self.rows_count, len(self.effects)))
        for row, effect in whole:
            self.whole[row, effect] = 1.0

    def predict(self, beta: Any) -> tuple[Any, Any]:
        """Log seconds of every sample, and their derivatives by every effect."""
        import numpy as np

        power = np.bincount(self.part, beta[self.effect], minlength=len(self.seconds))
        times = self.seconds * np.exp(power)
        total = np.bincount(self.owner, times, minlength=self.rows_count)
        share = (times / total[self.owner])[self.part]
        at = self.owner[self.part] * len(beta) + self.effect
        slopes = np.bincount(at, share, minlength=self.whole.size).reshape(self.whole.shape)
        return np.log(total) + self.whole @ beta, slopes + self.whole


def held_out(
    samples: Sequence[Sample], base: Sequence[Sample], group: str, folds_count: int = passes.FOLDS_COUNT
) -> list[tuple[Sample, float]]:
    """Residuals of every sample under fits, of passes and of batches, that saw nothing of its group.

    'cell' leaves out a sweep, 'device' and 'model' also the passes alone of that device or model.
    """
    found: list[tuple[Sample, float]] = []
    whole = _alone(base) if group == "cell" else {}
    for fold in range(folds_count):
        inside = [s for s in samples if passes.fold(s.groups[group], folds_count) == fold]
        outside = [s for s in samples if passes.fold(s.groups[group], folds_count) != fold]
        if not inside or not outside:
            continue
        alone = whole or _alone([s for s in base if passes.fold(s.groups[group], folds_count) != fold])
        coefficients = alone | fit(outside, alone)
        found += [(s, residual(s, coefficients)) for s in inside]
    return found


def _alone(base: Sequence[Sample]) -> dict[str, float]:
    """The coefficients of passes alone."""
    phases: tuple[Phase, ...] = ("decode", "prefill")
    found: dict[str, float] = {}
    for phase in phases:
        found |= passes.fit([s for s in base if s.terms.phase == phase], phase)
    return found


def calibrate(
    samples: Sequence[Sample], base: Sequence[Sample], *, version: str, digest: str, coverage: float = 0.8,
    told: Callable[[str], None] = lambda text: None,
) -> Calibration:  # fmt: skip
    """Fit passes and batches, and take the spreads from fits that had not seen the device, model or cell.

    The result stands alone: it holds the coefficients of the passes that its batches are made of.
    """
    phases: tuple[Phase, ...] = ("ttft", "tpot", "throughput")
    usable = [s for s in samples if not passes.is_above_peak(s)]
    alone = [s for s in base if not passes.is_above_peak(s)]
    told(f"several requests: {len(usable)} measurements")
    coefficients = _alone(alone)
    coefficients |= fit(usable, coefficients)
    missed = {
        new: (group, held_out(usable, alone, group))
        for new, group in (("", "cell"), ("device", "device"), ("model", "model"))
    }
    spreads: dict[str, Spread] = {}
    seen: dict[str, dict[str, tuple[str, ...]]] = {"device": {}, "model": {}}
    for phase in phases:
        rows = []
        for new, (group, found) in missed.items():
            own = [(s, r) for s, r in found if s.terms.phase == phase]
            rows += [conformal.Miss(kind=s.kind, new=new, group=s.groups[group], residual=r) for s, r in own]
            middle = sorted(abs(math.expm1(r)) for _, r in own)[len(own) // 2]
            told(f"{phase}: unseen {group}: median error {100 * middle:.1f} %")
        spreads |= conformal.spreads(rows, phase, coverage)
        for name, table in seen.items():
            table[phase] = tuple(sorted({known_as(s, name) for s in usable if s.terms.phase == phase}))
    return Calibration(
        version=version, measurements_count=len(usable), measurements_digest=digest, coverage=coverage,
        coefficients=coefficients, spreads=spreads, devices=seen["device"], models=seen["model"],
    )  # fmt: skip
