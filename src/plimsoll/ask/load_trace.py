"""The requests of a trace file as the traffic of a load question, at its own rate or another."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from plimsoll.ask.load_traffic import Traffic
from plimsoll.ask.trace import TraceQuestion, trace
from plimsoll.core import arrivals as patterns
from plimsoll.domain.traffic import Request
from plimsoll.errors import BadSetting
from plimsoll.units import format_arrivals, format_count

REQUESTS_COUNT = 20_000


def traffic_of_trace(
    question: TraceQuestion, *, count: int | None = None, rate_per_s: float | None = None
) -> tuple[Traffic, list[Request]]:
    """The first `count` requests, as many a second as the trace has or as are asked for; and the requests.

    Conversations have no times: of them `rate_per_s` begin a second. Raises BadSetting, MalformedTrace.
    """
    opened = trace(replace(question, conversations_per_s=rate_per_s or 0.0))
    found = list(islice(opened.requests, count or REQUESTS_COUNT))
    span = found[-1].arrival_s
    if span <= 0:
        raise BadSetting(
            f"all requests of {question.path} come at once",
            hint="a trace needs times, and requests at two of them",
        )
    own = len(found) / span
    notes = [*opened.notes, f"the trace's own load: {format_arrivals(own)} on average"]
    if next(opened.requests, None) is not None:
        notes.append(f"of it the first {format_count(len(found))} requests (--requests N)")
    timed = opened.format != "sharegpt"
    traffic = Traffic(
        draw=lambda at, most: list(islice(patterns.faster(found, at / own), most)),
        at=rate_per_s if timed and rate_per_s else own, unit="requests/s", notes=tuple(notes),
    )  # fmt: skip
    return traffic, found
