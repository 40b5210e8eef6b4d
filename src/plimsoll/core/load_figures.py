"""What a simulated run amounts to: percentiles, throughput, and the load at which a server gives in.

Every run is made three times: with the step times and the KV cache that are expected, with both at the slow
end of their intervals, and with both at the fast end. The figures of the three make value and interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from plimsoll.core.load import StepSeconds, simulate
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.load import (
    Limits,
    LoadPoint,
    LoadResult,
    LoadTargets,
    Outcome,
    Server,
    Span,
)
from plimsoll.domain.traffic import Request

PERCENTILES = (50, 95, 99)
# Of each run the first tenth of the requests finds a server with nothing to do, and the last tenth one that
# nobody comes to any more.
_EDGE_SHARE = 0.1
# A server collapses where it meets its targets for a tenth fewer requests than at a smaller load, where the
# wait is ten times that of the smallest load, or where a fifth of all prompt tokens is computed again.
_LOST_SHARE, _TIMES_AS_LONG, _RECOMPUTED_SHARE = 0.1, 10.0, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """A server with its step times; clients see `ttft_factor` times the time to the first token from
    admission, and `tpot_factor` times the time per token (`core.load_steps`)."""

    server: Server
    steps: StepSeconds
    ttft_factor: float = 1.0
    tpot_factor: float = 1.0

    def ttft_s(self, outcome: Outcome) -> float:
        """Queueing, and what clients see of taking in and computing the prompt."""
        queued = outcome.admitted_s - outcome.entered_s
        return queued + self.ttft_factor * (outcome.ttft_s - queued)

    def tpot_s(self, outcome: Outcome) -> float:
        return self.tpot_factor * outcome.tpot_s

    def total_s(self, outcome: Outcome) -> float:
        return self.ttft_s(outcome) + (outcome.request.output_tokens - 1) * self.tpot_s(outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paces:
    """The server as expected, and at the slow and the fast end.

    What clients see of a prompt and of a token is missed by more than the steps are: `others` are the
    expected server as it may also look to them.
    """

    expected: Pace
    slow: Pace
    fast: Pace
    others: tuple[Pace, ...] = ()

    def each(self) -> tuple[Pace, Pace, Pace]:
        return self.expected, self.slow, self.fast


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Between the two nearest in proportion: at place percent/100 x (n - 1)."""
    if not ordered:
        return 0.0
    place = percent / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def digest(result: LoadResult, pace: Pace, targets: LoadTargets) -> dict[str, float]:
    """Every figure of one run by its name: seconds, shares, requests and tokens a second."""
    found: dict[str, float] = {}
    counted = _counted(result)
    waits = sorted(pace.ttft_s(o) for o in counted)
    each = sorted(pace.tpot_s(o) for o in counted if o.request.output_tokens > 1)
    whole = sorted(pace.total_s(o) for o in counted)
    for name, values in (("ttft", waits), ("tpot", each), ("total", whole)):
        found |= {f"{name}_p{p}": percentile(values, p) for p in PERCENTILES}
    requests, tokens, met = _rates(result, pace, targets)
    answered = len(result.answered)
    prompts = result.computed_tokens + result.cached_tokens - result.recomputed_tokens
    return found | {
        "requests_per_s": requests, "tokens_per_s": tokens, "goodput_per_s": met,
        "waiting_mean": result.waiting_mean, "waiting_most": float(result.waiting_most),
        "running_mean": result.running_mean, "running_most": float(result.running_most),
        "held_share_mean": result.held_share_mean, "held_share_most": result.held_share_most,
        "busy_share": result.busy_seconds / result.seconds if result.seconds else 0.0,
        "preemptions_per_100": 100 * result.preemptions_count / max(answered, 1),
        "recomputed_share": result.recomputed_tokens / max(result.computed_tokens, 1),
        "cached_share": result.cached_tokens / max(prompts, 1),
        "refused_share": 1 - answered / max(len(result.outcomes), 1),
    }  # fmt: skip


def _counted(result: LoadResult) -> list[Outcome]:
    """Those that did not come first."""
    ordered = sorted(result.answered, key=lambda o: o.arrived_s)
    return ordered[int(len(ordered) * _EDGE_SHARE) :]


def _rates(result: LoadResult, pace: Pace, targets: LoadTargets) -> tuple[float, float, float]:
    """(requests, output tokens, requests within the targets) a second, between the first and last tenth."""
    ordered = sorted(result.answered, key=lambda o: o.finished_s)
    edge = int(len(ordered) * _EDGE_SHARE)
    inside = ordered[edge : len(ordered) - edge] if len(ordered) > 2 * edge + 1 else ordered
    if not inside:
        return 0.0, 0.0, 0.0
    start = inside[0].finished_s if edge else min(o.arrived_s for o in inside)
    if edge:
        inside = inside[1:]  # n intervals lie between n + 1 finishes
    seconds = inside[-1].finished_s - start
    if seconds <= 0:
        return 0.0, 0.0, 0.0
    met = sum(1 for o in inside if _meets(o, pace, targets))
    return len(inside) / seconds, sum(o.request.output_tokens for o in inside) / seconds, met / seconds


def _meets(outcome: Outcome, pace: Pace, targets: LoadTargets) -> bool:
    in_time = targets.ttft_s is None or pace.ttft_s(outcome) <= targets.ttft_s
    return in_time and (targets.tpot_s is None or pace.tpot_s(outcome) <= targets.tpot_s)


def spans(found: Sequence[Mapping[str, float]]) -> dict[str, Span]:
    """Value and interval of every figure; the expected one comes first."""
    out = {}
    for name, value in found[0].items():
        values = [f[name] for f in found]
        out[name] = Span(low=min(values), value=value, high=max(values))
    return out


def run(
    requests: Sequence[Request], paces: Paces, targets: LoadTargets, *, until_s: float = math.inf
) -> tuple[dict[str, Span], LoadResult]:
    """The figures of a load, and the run that is expected."""
    results = [simulate(requests, p.server, p.steps, until_s=until_s) for p in paces.each()]
    digests = [digest(r, p, targets) for r, p in zip(results, paces.each(), strict=True)]
    digests += [digest(results[0], other, targets) for other in paces.others]
    return spans(digests), results[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """A server that never runs dry, once for each of the three paces: requests it answers a second, and
    seconds that each of them is served, after waiting."""

    rates: tuple[float, ...]
    served_s: tuple[float, ...]

    @property
    def rate(self) -> Span:
        """Requests a second at which queues cease to be stable."""
        return Span(low=min(self.rates), value=self.rates[0], high=max(self.rates))

    def users(self, think_s: float) -> Span:
        """As many as keep it full with nobody waiting: rate x (served + thinking), by Little's law."""
        counts = [r * (s + think_s) for r, s in zip(self.rates, self.served_s, strict=True)]
        return Span(low=min(counts), value=counts[0], high=max(counts))


def saturation(requests: Sequence[Request], paces: Paces) -> Full:
    """What the server does when it never runs dry.

    A queue is stable below the throughput of the same system with infinitely many in front of it (the
    saturation rule of Baccelli and Foss 1995), so all requests come at once, and those count that are
    answered between the third and the eighth tenth.
    """
    flood = [replace(r, arrival_s=0.0, after_s=None, session="") for r in requests]
    rates, served = [], []
    for pace in paces.each():
        done = simulate(flood, pace.server, pace.steps).answered
        first, last = int(len(done) * 0.3), int(len(done) * 0.8)
        seconds = done[last].finished_s - done[first].finished_s if len(done) > 1 else 0.0
        if seconds <= 0:  # fewer than fill a batch twice
            first, last, seconds = 0, len(done), done[-1].finished_s if done else math.inf
        rates.append((last - first) / seconds)
        inside = done[first:last] or done
        served.append(sum(o.finished_s - o.admitted_s for o in inside) / max(len(inside), 1))
    return Full(rates=tuple(rates), served_s=tuple(served))


def sweep(
    draw: Callable[[float], Sequence[Request]], loads: Sequence[float], paces: Paces, targets: LoadTargets
) -> tuple[LoadPoint, ...]:
    """The same traffic at other loads: `draw` gives the requests of a load."""
    return tuple(_point(load, run(draw(load), paces, targets)[0], targets) for load in loads)


def _point(at: float, found: Mapping[str, Span], targets: LoadTargets) -> LoadPoint:
    return LoadPoint(
        at=at, ttft_p50_s=found["ttft_p50"], ttft_p95_s=found["ttft_p95"], tpot_p95_s=found["tpot_p95"],
        requests_per_s=found["requests_per_s"], tokens_per_s=found["tokens_per_s"],
        goodput_per_s=found["goodput_per_s"] if targets.is_set else None,
        waiting_mean=found["waiting_mean"], recomputed_share=found["recomputed_share"].value,
        refused_share=found["refused_share"].value,
    )  # fmt: skip


def collapse(points: Sequence[LoadPoint]) -> tuple[float | None, str]:
    """The first load that breaks down, and how; (None, '') where none of them does."""
    best = 0.0
    for point in points:
        good = point.goodput_per_s.value if point.goodput_per_s else 0.0
        if good < (1 - _LOST_SHARE) * best:
            return point.at, f"goodput falls to {good:.3g} requests/s from {best:.3g}"
        if point.recomputed_share > _RECOMPUTED_SHARE:
            share = f"{point.recomputed_share:.0%}"
            return point.at, f"preemption: {share} of all prompt tokens are computed again"
        if point.refused_share > 0:
            return point.at, f"{point.refused_share:.0%} of the requests end with an error"
        first = points[0].ttft_p95_s.value
        if point.ttft_p95_s.value > _TIMES_AS_LONG * first:
            return point.at, f"p95 of the first token is {point.ttft_p95_s.value / first:.0f} times as long"
        best = max(best, good)
    return None, ""


def limits_of(
    rate: Span, users: Span | None, points: Sequence[LoadPoint], inputs: Mapping[str, object]
) -> Limits:
    """The limits as an answer tells them."""
    at, reason = collapse(points)
    told = (
        _estimate("saturation_users", "users", users, "core.load_figures:Full.users", inputs)
        if users
        else None
    )
    return Limits(
        rate_per_s=_estimate("saturation", "requests/s", rate, "core.load_figures:saturation", inputs),
        users=told, collapse_at=at, collapse_reason=reason,
    )  # fmt: skip


_UNITS = {
    "requests_per_s": "requests/s", "tokens_per_s": "tokens/s", "goodput_per_s": "requests/s",
    "waiting_mean": "requests", "waiting_most": "requests", "running_mean": "requests",
    "running_most": "requests", "preemptions_per_100": "per 100 requests",
}  # fmt: skip


def estimates(
    found: Mapping[str, Span], inputs: Mapping[str, object], *, coverage: float
) -> tuple[Estimate, ...]:
    """The figures as an answer tells them; times in seconds, shares from 0 to 1."""
    return tuple(
        replace(
            _estimate(name, _unit(name), span, "core.load:simulate", inputs), coverage=coverage
        )
        for name, span in found.items()
    )  # fmt: skip


def _unit(name: str) -> str:
    return "s" if name.startswith(("ttft_", "tpot_", "total_")) else _UNITS.get(name, "share")


def _estimate(name: str, unit: str, span: Span, formula: str, inputs: Mapping[str, object]) -> Estimate:
    return Estimate(
        quantity=name, unit=unit, value=span.value, low=span.low, high=span.high, basis="calibrated",
        formula=formula, inputs=dict(inputs),
    )  # fmt: skip
