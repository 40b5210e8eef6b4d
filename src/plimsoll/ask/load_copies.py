"""One model over all cards, copies of it, or a hybrid: which serves this load best, and why?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from plimsoll import __version__
from plimsoll.ask import fit as fits
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.load_pace import paces_of
from plimsoll.ask.load_trace import traffic_of_trace
from plimsoll.ask.load_traffic import habit_of
from plimsoll.ask.measured import NoCeiling
from plimsoll.ask.rig import rig_of
from plimsoll.ask.trace import TraceQuestion
from plimsoll.core import arrivals as patterns
from plimsoll.core import copies as core
from plimsoll.core import fit as memory
from plimsoll.core.load_copies import Engine, simulate_copies
from plimsoll.core.load_server import NoScheduler
from plimsoll.core.load_steps import StepTimes
from plimsoll.core.router import ROUTINGS
from plimsoll.core.serving import step_terms
from plimsoll.domain.copies import (
    CopiesAnswer,
    Copy,
    Kind,
    Layout,
    LayoutResult,
    Point,
    Routing,
    Winner,
)
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.machine import Machine
from plimsoll.domain.speed import Terms
from plimsoll.domain.traffic import Request
from plimsoll.errors import BadSetting, choices_hint
from plimsoll.parse import layout_text
from plimsoll.units import format_bytes

REQUESTS = 1000
_MOST_POINTS = 14
_POINTS_AROUND = 3
_MOST_REQUESTS = 20_000  # at one load, where more were not asked for
_SEQUENCES = 32  # in flight over all cards, where a step of many is told
_MOST_CONTEXT = 131_072
_QUICKER = 0.25  # times as long as expected: would the order be another if cards waited less for each other?


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiesQuestion:
    """What was asked, as typed. With `rate_per_s` the loads are those around it, else from one request in
    flight on; with a trace its own times are brought together or apart. 0 and '' leave it to us."""

    fit: FitQuestion
    layouts: tuple[str, ...]
    habit: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    shared_tokens: int = 0
    think_s: float | None = None
    trace: TraceQuestion | None = None
    rate_per_s: float = 0.0
    burstiness: float = 1.0
    routing: str = "session"
    requests_count: int = REQUESTS
    slower: float = core.SLOWER
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A layout whose copies fit, with the engines to simulate."""

    result: LayoutResult
    engines: tuple[Engine, ...] = ()
    quicker: tuple[Engine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """One kind of copy, as expected and with cards that wait less for each other."""

    kind: Kind
    engine: Engine
    quicker: Engine


def copies(question: CopiesQuestion) -> CopiesAnswer:
    """Answer a CopiesQuestion; errors are typed, 'does not fit' and 'unknown' are answers."""
    machine = machines.resolve(
        question.fit.on, vram_free_bytes=question.fit.vram_free_bytes, ram_bytes=question.fit.ram_bytes,
        desktop_bytes=question.fit.desktop_bytes,
    )  # fmt: skip
    routing = _routing(question.routing)
    layouts = _layouts(question.layouts, machine)
    load = _Load(question)
    ready, deployments, notes = _prepared(question, machine, layouts, load)
    answer = CopiesAnswer(
        question="load copies", asked=_asked(question), verdict="compared", machine=machine.name,
        model=(fits._facts(deployments[0]),), habit=load.name, routing=routing,
        layouts=tuple(one.result for one in ready),
        notes=(*notes, *load.notes, "waits are the expected ones; the interval of what each layout keeps up"
               " with comes from theirs"),
        sources=tuple(dict.fromkeys(s for d in deployments for s in (*d.model.sources, *d.machine.sources))),
        versions={"plimsoll": __version__},
    )  # fmt: skip
    return _judged(answer, question, ready, load, routing)


def _judged(
    answer: CopiesAnswer, question: CopiesQuestion, ready: Sequence[_Ready], load: _Load, routing: Routing
) -> CopiesAnswer:
    able = [one for one in ready if one.engines]
    if not able:
        unknown = next((one.result for one in ready if one.result.verdict == "unknown"), None)
        if unknown:
            return replace(answer, verdict="unknown", reason=unknown.reason, unknowns=(unknown.reason,))
        return replace(answer, verdict="does_not_fit", reason="none of the layouts fits")
    points, slow_s = _swept(question, able, load, routing)
    done = tuple(
        core.with_most(replace(one.result, points=points[id(one)]))
        if one.engines else one.result
        for one in ready
    )  # fmt: skip
    won = core.winners(done)
    reasons = (*core.reasons(done, won), *_if_quicker(able, done, won, load, routing, slow_s))
    return replace(
        answer, layouts=done, winners=won, slow_s=slow_s, reasons=reasons,
    )  # fmt: skip


def _swept(
    question: CopiesQuestion, able: Sequence[_Ready], load: _Load, routing: Routing
) -> tuple[dict[int, tuple[Point, ...]], float]:
    """Each layout at each load until none keeps up; and what slow means: a multiple of the least p95 with one
    request in flight."""
    start = core.nice_rate(1 / load.alone(able[0].engines[:1]))
    rates = _rates(question, start, load)
    light = _points(able, load, routing, min(start, rates[0]), 0.0)
    if not any(light.values()):
        longest = load.longest_tokens
        raise BadSetting(
            "no request can be served: all are longer than the context or the KV cache",
            hint=f"the longest has {longest:,} tokens: --context {longest}, or shorter ones",
        )
    slow_s = question.slower * min(point.total_p95_s for point in light.values() if point)
    found: dict[int, list[Point]] = {id(one): [] for one in able}
    for rate in rates:
        at = light if rate <= start and rate == rates[0] else _points(able, load, routing, rate, slow_s)
        kept = False
        for key, point in at.items():
            if point:
                keeps = point.total_p95_s <= slow_s
                kept = kept or keeps
                found[key].append(replace(point, is_kept_up=keeps))
        if not kept and not question.rate_per_s:
            break
    return {key: tuple(points) for key, points in found.items()}, slow_s


def _points(
    able: Sequence[_Ready], load: _Load, routing: Routing, rate: float, slow_s: float
) -> dict[int, Point | None]:
    requests, since_s = load.at(rate, slow_s)
    return {id(one): _point(requests, one.engines, routing, rate, since_s) for one in able}


def _point(
    requests: Sequence[Request], engines: Sequence[Engine], routing: Routing, rate: float, since_s: float
) -> Point | None:
    results = simulate_copies(requests, engines, routing)
    return core.point(results, [engine.pace for engine in engines], rate, since_s=since_s)


def _if_quicker(
    able: Sequence[_Ready], done: Sequence[LayoutResult], won: Sequence[Winner], load: _Load,
    routing: Routing, slow_s: float,
) -> list[str]:  # fmt: skip
    """Who would be best where cards waited less for each other, at the least and at the most load kept up."""
    waiting = [k for one in done for k in one.kinds if k.exchange_share >= core.TOLD_SHARE]
    kept = [w for w in won if w.text]
    if not waiting or not kept:
        return []
    told = []
    for winner in dict.fromkeys((kept[0], kept[-1])):
        requests, since_s = load.at(winner.rate_per_s, slow_s)
        found = {}
        for one in able:
            point = next(
                (p for r in done if r.layout == one.result.layout for p in r.points
                 if p.rate_per_s == winner.rate_per_s), None,
            )  # fmt: skip
            if one.quicker != one.engines:
                point = _point(requests, one.quicker, routing, winner.rate_per_s, since_s)
            if point:
                found[one.result.layout.text] = point.total_p95_s
        best = min(found, key=lambda text: found[text])
        is_same = found[winner.text] <= (1 + core.ALIKE) * found[best]
        told.append(f"{f'still {winner.text}' if is_same else best} at {core.rate(winner.rate_per_s)}")
    is_known = all(kind.is_exchange_measured for kind in waiting)
    who = "" if is_known else "how long these cards wait was not measured, but learnt from others; "
    return [f"{who}were it a quarter, best would be {' and '.join(told)}"]


def _rates(question: CopiesQuestion, start: float, load: _Load) -> list[float]:
    """The loads to try: around what was asked or what a trace has, or from one request in flight on."""
    middle, more = question.rate_per_s or load.own_rate, 0 if question.rate_per_s else 1
    if middle:
        return [middle * 2.0**k for k in range(-_POINTS_AROUND, _POINTS_AROUND + 1 + more)]
    rates = [start]
    while len(rates) < _MOST_POINTS:
        rates.append(core.next_rate(rates[-1]))
    return rates


class _Load:
    """The requests of the question at any rate, the same ones each time."""

    def __init__(self, question: CopiesQuestion) -> None:
        self._question = question
        self.own_rate = self._alone_s = 0.0
        if question.trace:
            self._read(question)
            return
        self.habit, self.notes = habit_of(
            question.habit, question.prompt_tokens, question.output_tokens, question.shared_tokens,
            question.think_s,
        )  # fmt: skip
        self.name = self.habit.name

    def _read(self, question: CopiesQuestion) -> None:
        assert question.trace is not None
        traffic, self._requests = traffic_of_trace(
            question.trace, count=question.requests_count, rate_per_s=question.rate_per_s or None
        )
        self.name = f"trace {question.trace.path}"
        self.own_rate = len(self._requests) / self._requests[-1].arrival_s
        self.notes = traffic.notes

    def alone(self, engines: Sequence[Engine]) -> float:
        """Seconds of the median request on an idle engine."""
        if not self._alone_s:
            some = (replace(r, arrival_s=1e4 * n, after_s=None) for n, r in enumerate(self._some(40)))
            found = _point(list(some), engines, "round robin", 0.0, 0.0)
            self._alone_s = found.total_p50_s if found else 10.0
        return self._alone_s

    def at(self, rate: float, slow_s: float) -> tuple[list[Request], float]:
        """Requests at that load, and from when on they count: long enough to see what cannot keep up."""
        question = self._question
        if question.trace:
            return list(patterns.faster(self._requests, rate / self.own_rate)), 0.0
        return patterns.steady(
            self.habit, patterns.Arrivals(rate_per_s=rate, burstiness=question.burstiness),
            count=max(question.requests_count, min(math.ceil(2 * slow_s * rate), _MOST_REQUESTS)),
            answer_s=self._alone_s or 1.0, seed=question.seed,
        )  # fmt: skip

    def _some(self, count: int) -> list[Request]:
        if self._question.trace:
            return self._requests[:count]
        arrivals = patterns.Arrivals(rate_per_s=1.0)
        return list(islice(patterns.requests(self.habit, arrivals, seed=self._question.seed), count))

    @property
    def longest_tokens(self) -> int:
        """Prompt and answer of the longest of some."""
        return max(r.prompt_tokens + r.output_tokens for r in self._some(400))

    @property
    def middle_tokens(self) -> int:
        """A request's tokens in the cache on average."""
        some = self._some(400)
        return round(sum(r.prompt_tokens + r.output_tokens / 2 for r in some) / len(some))


def _routing(text: str) -> Routing:
    for known in ROUTINGS:
        if text.lower().replace("-", " ").replace("_", " ") == known:
            return known
    raise BadSetting(f"there is no routing {text!r}", hint=choices_hint(text, ROUTINGS, "--routing"))


def _layouts(texts: Sequence[str], machine: Machine) -> tuple[Layout, ...]:
    if not machine.devices:
        raise BadSetting(f"{machine.name} has no cards to share out", hint="--on '8x rtx-pro-6000'")
    if not texts:
        raise BadSetting("nothing to compare", hint="--compare 'tp8' '8x tp1'")
    found = [layout_text.layout(text, cards_count=len(machine.devices)) for text in texts]
    if len({one.copies for one in found}) < len(found):
        raise BadSetting("a layout is named twice", hint="name each once")
    return tuple(found)


def _prepared(
    question: CopiesQuestion, machine: Machine, layouts: Sequence[Layout], load: _Load
) -> tuple[list[_Ready], list[Deployment], list[str]]:
    if len(question.fit.models) != 1:
        raise BadSetting("copies are of one model", hint="name one model")
    model = models.load(question.fit.models[0], offline=question.fit.offline)
    asked = question.fit
    notes: list[str] = []
    if asked.context_tokens is None:
        context = min(model.trained_context_tokens or _MOST_CONTEXT, _MOST_CONTEXT)
        asked = replace(asked, context_tokens=context)
        notes.append(f"context: {context:,} tokens, because none was asked for (--context N)")
    made: dict[tuple[str, int], _Made] = {}
    known: dict[tuple[Copy, tuple[str, ...]], Deployment] = {}
    ready, first = [], []
    for layout in layouts:
        deployments, start = [], 0
        for copy in layout.copies:
            cards = machine.devices[start : start + copy.cards_count]
            start += copy.cards_count
            key = (copy, tuple(d.catalog_id or d.name for d in cards))
            if key not in known:
                part = _part(machine, start - copy.cards_count, copy.cards_count)
                known[key], said = fits.deploy(model, part, replace(asked, split=copy.split))
                notes += [note for note in said if not note.startswith("split over")]
            deployments.append(known[key])
        first += deployments[:1]
        ready.append(_fitted(layout, deployments, len(machine.devices), made, load.middle_tokens))
    return ready, first, list(dict.fromkeys(notes))


def _part(machine: Machine, start: int, count: int) -> Machine:
    """So many cards of a machine, with their share of its host memory."""
    share = count / len(machine.devices)
    return replace(
        machine, devices=machine.devices[start : start + count],
        ram_bytes=None if machine.ram_bytes is None else int(machine.ram_bytes * share),
        ram_reserved_bytes=int(machine.ram_reserved_bytes * share),
    )  # fmt: skip


def _fitted(
    layout: Layout, deployments: Sequence[Deployment], cards_count: int,
    made: dict[tuple[str, int], _Made], tokens: int,
) -> _Ready:  # fmt: skip
    """The layout's engines, or why it cannot be served."""
    idle = cards_count - layout.cards_count
    result = LayoutResult(layout=layout, verdict="fits", idle_cards_count=idle)
    for copy, deployment in zip(layout.copies, deployments, strict=True):
        key = (deployment.fingerprint, layout.cards_count)
        if key in made:
            continue
        problems = memory.problems_of([deployment])
        judgement = None if problems else memory.judge([deployment])
        if problems or (judgement and judgement.verdict == "does_not_fit"):
            missing = format_bytes(judgement.missing_bytes) if judgement else ""
            reason = "; ".join(problems) or f"a copy on {copy.cards_count} of the cards lacks {missing}"
            return _Ready(result=replace(result, verdict="does_not_fit", reason=reason))
        try:
            made[key] = _engine(copy, deployment, layout.cards_count, tokens)
        except (NoCeiling, NoScheduler) as error:
            return _Ready(result=replace(result, verdict="unknown", reason=str(error)))
    found = [made[d.fingerprint, layout.cards_count] for d in deployments]
    kinds = tuple(replace(kind, count=count) for kind, count in Counter(one.kind for one in found).items())
    result = replace(
        result, kinds=kinds, weights_bytes=sum(k.weights_bytes * k.count for k in kinds),
        pool_tokens=sum(k.pool_tokens * k.count for k in kinds),
    )  # fmt: skip
    return _Ready(
        result=result, engines=tuple(one.engine for one in found),
        quicker=tuple(one.quicker for one in found),
    )  # fmt: skip


def _engine(copy: Copy, deployment: Deployment, cards_count: int, tokens: int) -> _Made:
    paces, calibration = paces_of(deployment)
    case, pace = rig_of(deployment).case, paces.expected
    server, times = pace.server, pace.steps
    busy = max(round(_SEQUENCES * copy.cards_count / cards_count), 1)
    step = step_terms(case, decode_sequences=busy, depth_tokens=tokens)
    weights = sum(
        line.size_bytes for line in memory.judge([deployment]).bill.lines if line.component == "weights"
    )
    kind = Kind(
        count=1, cards_count=copy.cards_count, split=copy.split, weights_bytes=weights,
        pool_tokens=server.pool_tokens, slots_count=server.slots_count, step_seconds=times(1, tokens, 0, 0.0),
        busy_count=busy, busy_step_seconds=times(busy, tokens, 0, 0.0),
        exchange_share=core.exchange_share(step, calibration.coefficients),
        slow_times=paces.slow.steps(busy, tokens, 0, 0.0) / times(busy, tokens, 0, 0.0),
        fast_times=paces.fast.steps(busy, tokens, 0, 0.0) / times(busy, tokens, 0, 0.0),
    )  # fmt: skip
    quicker = None
    if kind.exchange_share:
        both = step_terms(
            case, decode_sequences=busy, depth_tokens=tokens, prefill_tokens=64, prompt_tokens=64
        )
        every = Terms(phase="decode", parts=(*step.parts, *both.parts), effects=())
        altered = core.with_exchange(every, calibration.coefficients, _QUICKER)
        quicker = replace(pace, steps=StepTimes(case, altered))
        if not core.is_exchange_known(every, calibration.coefficients, case.device):
            kind = replace(kind, is_exchange_measured=False)
    return _Made(
        kind=kind, engine=Engine(pace=pace, weight=float(copy.cards_count)),
        quicker=Engine(pace=quicker or pace, weight=float(copy.cards_count)),
    )  # fmt: skip


def _asked(question: CopiesQuestion) -> dict[str, object]:
    told: dict[str, object] = {
        "models": question.fit.models, "on": question.fit.on, "layouts": question.layouts,
        "habit": question.habit, "prompt_tokens": question.prompt_tokens, "routing": question.routing,
        "output_tokens": question.output_tokens, "rate_per_s": question.rate_per_s,
        "trace": question.trace.path if question.trace else "", "seed": question.seed,
        "requests_count": question.requests_count, "slower": question.slower,
    }  # fmt: skip
    return {key: value for key, value in told.items() if value not in (None, "", 0, 0.0)}
