"""What users wait for when they come when they come: a server under load, simulated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from plimsoll import __version__
from plimsoll.ask import fit as fits
from plimsoll.ask.load_pace import loads_around, paces_of
from plimsoll.ask.load_trace import REQUESTS_COUNT as TRACED_COUNT
from plimsoll.ask.load_trace import traffic_of_trace
from plimsoll.ask.load_traffic import Traffic, traffic_of
from plimsoll.ask.measured import NoCeiling
from plimsoll.ask.trace import TraceQuestion
from plimsoll.core.load_figures import Paces, estimates, limits_of, run, saturation, sweep
from plimsoll.core.load_server import NoScheduler
from plimsoll.domain.answer import Answer
from plimsoll.domain.load import LoadAnswer, LoadResult, LoadTargets, Server, Span
from plimsoll.domain.traffic import Request
from plimsoll.errors import BadSetting
from plimsoll.units import format_arrivals, format_count

REQUESTS_COUNT = 2000
_SWEPT_COUNT = 300
_MOST_REQUESTS = 1_000_000
# Requests of which saturation is judged: enough to fill the largest batch several times.
_FLOOD_COUNT = 2000
_SLOTS = 4  # llama-server's own number where -np was not told (tools/server/server.cpp of llama.cpp b11434)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadQuestion:
    """A fit question with one model, and who asks it: `users_count` people who think for `think_s` between an
    answer and the next question, or requests at `rate_per_s`.

    All send `prompt_tokens`, the first `shared_tokens` of them alike, and get `output_tokens`; or they ask
    as a `habit` of `core.habits` does. The run has `requests_count` requests, or lasts `seconds`. 95 of 100
    shall have their first token within `ttft_s` and each later one within `tpot_s`. `slots_count` is -np of
    llama-server (None: its own choice).
    """

    fit: fits.FitQuestion
    users_count: int | None = None
    rate_per_s: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    shared_tokens: int = 0
    think_s: float | None = None
    habit: str = ""
    requests_count: int | None = None
    seconds: float | None = None
    seed: int = 0
    ttft_s: float | None = None
    tpot_s: float | None = None
    slots_count: int | None = None
    trace: TraceQuestion | None = None


def load(question: LoadQuestion) -> LoadAnswer:
    """Place the model as `fit` does, then let the requests come; errors are typed, 'no' and 'unknown' are
    answers."""
    if question.trace:
        traced = _traced(question, question.trace)
        return loaded(replace(question, rate_per_s=traced.at), traced)
    traffic = traffic_of(
        users_count=question.users_count, rate_per_s=question.rate_per_s,
        prompt_tokens=question.prompt_tokens, output_tokens=question.output_tokens,
        shared_tokens=question.shared_tokens, think_s=question.think_s, habit=question.habit,
        seed=question.seed,
    )  # fmt: skip
    return loaded(question, traffic)


def _traced(question: LoadQuestion, asked: TraceQuestion) -> Traffic:
    told = {
        "--users": question.users_count, "--prompt": question.prompt_tokens,
        "--output": question.output_tokens, "--prefix-shared": question.shared_tokens,
        "--habit": question.habit, "--seconds": question.seconds,
    }  # fmt: skip
    for name, value in told.items():
        if value:
            raise BadSetting(f"a trace says itself who asks what: not {name} too", hint=f"leave out {name}")
    return traffic_of_trace(asked, count=question.requests_count, rate_per_s=question.rate_per_s)[0]


def loaded(question: LoadQuestion, traffic: Traffic) -> LoadAnswer:
    """The answer for any traffic."""
    requests = traffic.draw(traffic.at, _wanted(question, traffic))
    if not requests:
        raise BadSetting("there is no request to serve", hint="--requests 1 or more")
    fitted, notes = _fitted(question, requests)
    notes = [*traffic.notes, *notes]
    blank = _blank(question, fitted, traffic, notes)
    if fitted.verdict == "does_not_fit":
        why = f"the model does not fit: {fitted.reason or 'see plimsoll fit'}"
        return replace(blank, verdict="does_not_fit", reason=why)
    try:
        paces, calibration = paces_of(fitted.deployments[0])
        server = paces.expected.server
        blank = replace(blank, server=server)
        longest = max(requests, key=lambda r: r.prompt_tokens + r.output_tokens)
        is_even = not question.habit and not question.trace
        if is_even and longest.prompt_tokens + longest.output_tokens > server.most_tokens:
            return _too_long(blank, server, longest)
        inputs = {"calibration": calibration.version, "seed": question.seed, "requests": len(requests)}
        return _simulated(question, traffic, requests, paces, blank, inputs, calibration.coverage)
    except (NoCeiling, NoScheduler) as error:
        return replace(blank, verdict="unknown", reason=str(error), unknowns=(str(error),))


def _wanted(question: LoadQuestion, traffic: Traffic) -> int:
    """How many requests are drawn: as asked, or as many as may come in the time."""
    if question.requests_count is not None and question.seconds is not None:
        raise BadSetting("the run ends twice", hint="say --requests or --seconds")
    if question.seconds is None:
        return question.requests_count or (TRACED_COUNT if question.trace else REQUESTS_COUNT)
    if traffic.unit == "users":
        return min(_MOST_REQUESTS, max(REQUESTS_COUNT, round(traffic.at * (1 + question.seconds))))
    return min(_MOST_REQUESTS, math.ceil(1.2 * traffic.at * question.seconds) + 100)


def _fitted(question: LoadQuestion, requests: Sequence[Request]) -> tuple[Answer, list[str]]:
    """The deployment that serves them: its context holds the longest, its slots are what llama-server has."""
    wanted, notes = question.fit, []
    if len(wanted.models) != 1:
        raise BadSetting("load is of one model at a time", hint="name one model")
    longest = max(r.prompt_tokens + r.output_tokens for r in requests)
    if wanted.context_tokens is None:
        wanted = replace(wanted, context_tokens=longest)
        notes.append(f"context: {format_count(longest)} tokens, the longest request (--context N)")
    if question.slots_count:
        wanted = replace(wanted, parallel_sequences_count=question.slots_count)
    fitted = fits.judged(wanted)
    trained = fitted.model[0].trained_context_tokens
    if question.fit.context_tokens is None and trained and longest > trained:
        wanted = replace(wanted, context_tokens=trained)
        notes = [
            f"context: {format_count(trained)} tokens, all it was trained for; longer requests are refused"
        ]
        fitted = fits.judged(wanted)
    if fitted.deployments[0].runtime.id != "llama_cpp" or question.slots_count:
        return fitted, notes
    settings = {"kv_unified": True, **wanted.settings}
    slots = replace(wanted, parallel_sequences_count=_SLOTS, settings=settings)
    notes.append(f"slots: {_SLOTS} that share their context, llama-server's own choice (--parallel N)")
    return fits.judged(slots), notes


def _blank(question: LoadQuestion, fitted: Answer, traffic: Traffic, notes: Sequence[str]) -> LoadAnswer:
    kept = [n for n in fitted.notes if n.startswith(("runtime:", "split "))]
    return LoadAnswer(
        question="load", asked=_asked(question), verdict="unknown", reason="", model=fitted.model,
        machine=fitted.machine, placement=fitted.placement, at_unit=traffic.unit, notes=(*kept, *notes),
        sources=fitted.sources, versions={**fitted.versions, "plimsoll": __version__},
    )  # fmt: skip


def _asked(question: LoadQuestion) -> dict[str, object]:
    values = {name: getattr(question, name) for name in question.__slots__ if name != "fit"}
    values["trace"] = question.trace.path if question.trace else ""
    fit = {name: getattr(question.fit, name) for name in question.fit.__slots__}
    plain = {k: dict(v) if isinstance(v, Mapping) else v for k, v in {**fit, **values}.items()}
    return {k: v for k, v in plain.items() if v not in (None, "", (), {}, 0)}


def _too_long(blank: LoadAnswer, server: Server, request: Request) -> LoadAnswer:
    """No request of this length can ever be served: what could be."""
    whole = request.prompt_tokens + request.output_tokens
    limit = "its context" if server.context_tokens < whole else "the KV cache"
    why = (
        f"a prompt of {format_count(request.prompt_tokens)} and an answer of"
        f" {format_count(request.output_tokens)} tokens are longer than {limit} holds:"
        f" {format_count(server.most_tokens)} tokens"
    )
    prompt = server.most_tokens - request.output_tokens
    hint = f"--context {whole}" if limit == "its context" else f"--prompt {prompt}" if prompt > 0 else ""
    return replace(blank, verdict="does_not_fit", reason=why, hint=hint or "a machine with more memory")


def _simulated(
    question: LoadQuestion, traffic: Traffic, requests: Sequence[Request], paces: Paces, blank: LoadAnswer,
    inputs: Mapping[str, object], coverage: float,
) -> LoadAnswer:  # fmt: skip
    targets = LoadTargets(ttft_s=question.ttft_s, tpot_s=question.tpot_s)
    found, result = run(requests, paces, targets, until_s=question.seconds or math.inf)
    full = saturation(traffic.draw(traffic.at, _FLOOD_COUNT)[:_FLOOD_COUNT], paces)
    rate = full.rate
    is_users = traffic.unit == "users"
    users = full.users(traffic.think_s) if is_users else None
    swept = loads_around(rate.value, traffic.at, is_users=is_users, most=users.value if users else 0.0)
    points = sweep(lambda at: traffic.draw(at, _SWEPT_COUNT), swept, paces, targets)
    if not targets.is_set:
        found.pop("goodput_per_s")
    answer = replace(
        blank, requests_count=len(result.outcomes), seconds=result.seconds,
        figures=estimates(found, inputs, coverage=coverage), points=points,
        limits=limits_of(rate, users, points, inputs), refused=_refused(result),
    )  # fmt: skip
    verdict, reason = _judged(traffic, found, rate, targets, answer)
    notes, hint = answer.notes, ""
    if verdict == "saturated" and not is_users:
        hint = f"--arrivals {format_arrivals(0.9 * rate.value).replace(' requests', '').replace(',', '')}"
    elif verdict != "saturated" and traffic.at >= (users or rate).low:
        notes = (*notes, "at the slow end of the interval the server saturates")
    return replace(answer, verdict=verdict, reason=reason, notes=notes, hint=hint)


def _refused(result: LoadResult) -> dict[str, int]:
    return dict(sorted(Counter(o.refused for o in result.outcomes if o.refused).items()))


def _judged(
    traffic: Traffic, found: Mapping[str, Span], rate: Span, targets: LoadTargets, answer: LoadAnswer
) -> tuple[str, str]:
    """The verdict and its reason."""
    limits = answer.limits
    if traffic.unit == "requests/s" and traffic.at >= rate.value:
        asked, most = format_arrivals(traffic.at), format_arrivals(rate.value)
        return "saturated", f"{asked} come and at most {most} can be answered: the queue grows without end"
    if limits and limits.users and traffic.at > limits.users.value:
        most = f"{limits.users.value:.3g}"
        return "saturated", f"{most} users keep it full: each further one only waits longer"
    late = []
    for name, target, span in (
        ("first token", targets.ttft_s, found["ttft_p95"]), ("token", targets.tpot_s, found["tpot_p95"]),
    ):  # fmt: skip
        if target is not None and span.value > target:
            late.append(f"p95 of the {name} is {span.value:.3g} s, asked were {target:.3g} s")
    if late:
        return "misses_targets", "; ".join(late)
    if answer.refused:
        count = sum(answer.refused.values())
        return "misses_targets", f"{format_count(count)} requests were not answered"
    return "keeps_up", ""
