"""Score the simulation of load on published measurements of vLLM: python bench/score_load.py FILE.jsonl[.gz]

The rows are those of `score_speed.py --several` (`serving_rows.py` says what each counts), of vLLM, with 1 to
128 requests in flight. Each is simulated as its client did it: all at once (wave), or a new request for
every one that is answered (closed), or as many as the server holds (queue). Beside the simulation stands the
counted schedule that `plimsoll speed` uses, on the same rows. `--leave-out cell|device|model` fits the
coefficients anew, six times, each time without a sixth of the sweeps, devices or models.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import score_speed
import serving_rows

from plimsoll.ask import served
from plimsoll.ask.measured import case_of
from plimsoll.catalog import calibration as shipped
from plimsoll.core import calibrate, serving_fit
from plimsoll.core.load import simulate
from plimsoll.core.load_steps import StepTimes
from plimsoll.core.speed import seconds
from plimsoll.domain.load import Outcome, Server
from plimsoll.domain.measurement import ServingMeasurement
from plimsoll.domain.serving import Load
from plimsoll.domain.speed import SpeedCase
from plimsoll.domain.traffic import Request

_BLOCK = 16
_ROUNDS = 4
# Between a request that fills the prefix cache and those that are measured.
_LATER_S = 1e6
MOST_REQUESTS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measured time, per token or of the run, and what is expected of it."""

    metric: str
    case: SpeedCase
    load: Load
    m: ServingMeasurement
    sample: calibrate.Sample


def rows_of(raw: Iterable[dict[str, Any]]) -> list[Row]:
    """The rows of vLLM that can be expressed, as `score_speed --several` takes them."""
    found = []
    for row in serving_rows.with_prompts(raw):
        if row["runtime"] != "vllm" or not serving_rows.is_serving(row):
            continue
        one = score_speed.expressed(row)
        if isinstance(one, str):
            continue
        m, sample = one
        assert isinstance(m, ServingMeasurement)
        if m.sequences_count > MOST_REQUESTS:
            continue
        case = case_of(m)
        found.append(Row(metric=row["metric"], case=case, load=served.load_of(case, m), m=m, sample=sample))
    return found


def simulated(row: Row, coefficients: Mapping[str, float]) -> float:
    """The seconds that the row measured, as the simulation has them."""
    m, load = row.m, row.load
    steps = StepTimes(row.case, coefficients, client=m.client)
    if _is_tpot(row) and m.counted == "gap":
        count = min(load.slots_count or load.concurrent_count, load.concurrent_count)
        return steps.tpot_factor * steps(count, load.prompt_tokens + load.output_tokens // 2, 0, 0.0)
    server = Server(
        scheduling="chunked", slots_count=max(load.slots_count or load.concurrent_count, 1),
        step_tokens=load.chunk_tokens, block_tokens=_BLOCK,
        pool_tokens=(load.prompt_tokens + load.output_tokens + 2 * _BLOCK) * load.concurrent_count * 2,
        context_tokens=load.prompt_tokens + load.output_tokens, intake_s=steps.intake_s,
        delay_s=steps.delay_s,
    )  # fmt: skip
    found = simulate([*_primer(load), *_first(load)], server, steps, then=_next(load))
    outcomes = [o for o in found.answered if o.arrived_s >= _LATER_S]
    if row.metric == "ttft_ms":
        return steps.ttft_factor * median(o.ttft_s for o in outcomes)
    if _is_tpot(row):
        return steps.tpot_factor * median(o.tpot_s for o in outcomes)
    return _run_seconds(outcomes, m)


def _is_tpot(row: Row) -> bool:
    return row.metric in ("tpot_ms", "decode_tps")


def _run_seconds(outcomes: list[Outcome], m: ServingMeasurement) -> float:
    start = _LATER_S
    if m.counted == "after the first":
        start = min(o.first_token_s for o in outcomes)
    return max(o.finished_s for o in outcomes) - start


def _request(load: Load, at_s: float, session: str) -> Request:
    return Request(
        arrival_s=at_s, prompt_tokens=load.prompt_tokens, output_tokens=load.output_tokens, session=session,
        prefix_blocks=tuple(range(load.cached_tokens // _BLOCK)), prefix_block_tokens=_BLOCK,
    )  # fmt: skip


def _primer(load: Load) -> list[Request]:
    return [_request(load, 0.0, "")] if load.cached_tokens else []


def _first(load: Load) -> list[Request]:
    return [_request(load, _LATER_S, str(n)) for n in range(load.concurrent_count)]


def _next(load: Load) -> Any:
    left = load.concurrent_count * (max(load.rounds_count, 1) - 1)

    def then(outcome: Outcome) -> Request | None:
        nonlocal left
        if not outcome.request.session or left <= 0:
            return None
        left -= 1
        return _request(load, 0.0, outcome.request.session)

    return then


def main() -> None:
    """Parse, simulate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--leave-out", choices=("cell", "device", "model"))
    parser.add_argument("--json", action="store_true")
    typed = parser.parse_args()
    raw = score_speed.read(typed.file)
    rows = rows_of(raw)
    found: list[tuple[Row, float, float]] = []
    for coefficients, group in _folds(raw, rows, typed.leave_out):
        for row in group:
            counted = seconds(row.sample.terms, coefficients)
            found.append(
                (row, simulated(row, coefficients) / row.sample.seconds, counted / row.sample.seconds)
            )
    report(found, as_json=typed.json)


def _folds(raw: Any, rows: list[Row], group: str | None) -> Iterable[tuple[Mapping[str, float], list[Row]]]:
    """Coefficients, and the rows to be scored by them."""
    if not group:
        yield shipped.load(shipped.SERVING_PATH).coefficients, rows
        return
    every = [
        one[1]
        for row in serving_rows.with_prompts(raw)
        if not isinstance(one := score_speed.expressed(row), str)
    ]
    alone = [s for s in every if s.terms.phase in ("decode", "prefill")]
    batches = [s for s in every if s.terms.phase not in ("decode", "prefill")]
    whole = serving_fit._alone(alone)
    for fold in range(calibrate.FOLDS_COUNT):
        mine = [r for r in rows if calibrate.fold(r.sample.groups[group], calibrate.FOLDS_COUNT) == fold]
        if mine:
            outside = [s for s in batches if calibrate.fold(s.groups[group], calibrate.FOLDS_COUNT) != fold]
            base = (
                whole
                if group == "cell"
                else serving_fit._alone(
                    [s for s in alone if calibrate.fold(s.groups[group], calibrate.FOLDS_COUNT) != fold]
                )
            )
            yield base | serving_fit.fit(outside, base), mine


def report(found: list[tuple[Row, float, float]], *, as_json: bool) -> None:
    names = {"throughput_tps": "throughput", "tpot_ms": "tpot", "decode_tps": "tpot", "ttft_ms": "ttft"}
    out = []
    for name in ("throughput", "tpot", "ttft"):
        own = [(s, c) for r, s, c in found if names.get(r.metric) == name]
        if own:
            errors = [sorted(100 * abs(x - 1) for x in column) for column in zip(*own, strict=True)]
            out.append(
                {
                    "metric": name,
                    "rows": len(own),
                    "simulated": _figures(errors[0]),
                    "counted": _figures(errors[1]),
                }
            )
    if as_json:
        json.dump(out, sys.stdout, indent=1)
        return
    for line in out:
        print(line)


def _figures(ordered: list[float]) -> dict[str, float]:
    return {"median": round(ordered[len(ordered) // 2], 1), "p90": round(ordered[int(0.9 * len(ordered))], 1)}


if __name__ == "__main__":
    main()
