"""Score the speed model on published measurements: python bench/score_speed.py FILE.jsonl[.gz] [--json]

Without more it scores the shipped coefficients; rows that the calibration was fitted on are counted in
`seen_count`, since their error says little. `--cross-validate device|model|cell` fits anew, six times, each
time without a sixth of the devices (models, sweeps), and scores on those; its intervals come from the others.
`--anchors` leaves devices out in the same way, then corrects each machine by one dense and one mixture run of
its own, and scores on the rest; machines without such a run count as not expressed.
`hardware_median_error_percent` counts every device once: the median of the devices' medians.
The plain roofline beside it is bytes / peak bandwidth (decode) and operations / peak FLOPS (prefill); of
several requests the same steps at those peaks. `reference_...` are of a published model (speed_reference.py)
on the rows it was made for, `..._beside_reference_percent` ours on the same. `fault_count` rows are slower
than 0.7 of what is expected; `p90_error_without_faults_percent` leaves them out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import serving_rows
import speed_reference
import speed_rows
from memory_rows import NotExpressed

from plimsoll.ask import served
from plimsoll.ask.measured import sample_of
from plimsoll.catalog import calibration as shipped
from plimsoll.catalog import measurements
from plimsoll.core import calibrate, conformal, serving_fit
from plimsoll.core.predict import predict
from plimsoll.core.speed import NoCeiling, ceiling_seconds
from plimsoll.domain.measurement import Measurement
from plimsoll.domain.speed import Calibration, Phase
from plimsoll.errors import PlimsollError

# Slower than 0.7 of what is expected: by the project's rule a fault of the rig's configuration.
FAULT = -math.log(0.7)
METRICS = ("decode_tps", "prefill_tps", "throughput_tps", "tpot_ms", "ttft_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One row with what was predicted; `reason` is set instead where it could not be expressed."""

    row: dict[str, Any]
    backend: str = ""
    residual: float = 0.0
    roofline_residual: float = 0.0
    reference_residual: float | None = None
    is_fault: bool = False
    is_covered: bool = False
    is_seen: bool = False
    reason: str = ""


def read(path: str) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, compressed or not."""
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")  # noqa: SIM115
    with opened as file:
        return [json.loads(line) for line in file if line.strip()]


def expressed(row: dict[str, Any]) -> tuple[Measurement, calibrate.Sample] | str:
    """The row as a measurement and sample, or the reason why not."""
    try:
        m: Measurement
        if serving_rows.is_serving(row):
            m = serving = serving_rows.express(row)
            sample = served.sample_of(serving)
        else:
            m = speed_rows.express(row)
            sample = sample_of(m)
        if reason := measure_only(m):
            return f"measure only: {reason}"
    except (NotExpressed, NoCeiling, PlimsollError) as error:
        return str(error)
    if calibrate.is_above_peak(sample):
        return "refused: faster than the device's peak, so the label is wrong"
    return m, sample


def measure_only(m: Measurement) -> str:
    """Where no model holds."""
    from plimsoll.ask.measured import case_of
    from plimsoll.core.speed import measure_only as of_case

    return of_case(case_of(m))


def score_shipped(rows: Iterable[dict[str, Any]], passes: Calibration, batches: Calibration) -> list[Scored]:
    """Each row under the shipped coefficients."""
    seen = {m.id for m in (*measurements.load(), *measurements.load_serving())}
    out = []
    for row in rows:
        one = expressed(row)
        if isinstance(one, str):
            out.append(Scored(row=row, reason=one))
            continue
        m, s = one
        found = passes if s.terms.phase in ("decode", "prefill") else batches
        p = predict(s.terms, found, kind=s.kind, machine=s.groups["machine"], model=s.groups["model"])
        out.append(
            Scored(
                row=row, backend=m.backend, residual=math.log(s.seconds / p.seconds),
                roofline_residual=_roofline(s), reference_residual=_reference(row, m, s),
                is_fault=math.log(s.seconds / p.seconds) > FAULT,
                is_covered=p.low_seconds <= s.seconds <= p.high_seconds,
                is_seen=row["id"] in seen,
            )
        )  # fmt: skip
    return out


def score_unseen(
    rows: Iterable[dict[str, Any]], group: str, *, is_of_several_only: bool = False,
    has_anchors: bool = False, folds_count: int = calibrate.FOLDS_COUNT,
) -> list[Scored]:  # fmt: skip
    """Each row under a fit that saw nothing of its device (or model); spreads from the other folds.

    With anchors, after each machine's own two runs.
    """
    out, samples, by_id = [], [], {}
    for row in rows:
        one = expressed(row)
        if isinstance(one, str):
            out.append(Scored(row=row, reason=one))
        else:
            samples.append(one[1])
            by_id[row["id"]] = (row, one[0])
    alone = [s for s in samples if s.terms.phase in ("decode", "prefill")]
    batches = [s for s in samples if s.terms.phase not in ("decode", "prefill")]
    phases: tuple[Phase, ...] = ("decode", "prefill")
    missed: dict[Phase, list[tuple[calibrate.Sample, float]]] = {}
    if not is_of_several_only:
        missed = {
            p: calibrate.held_out(
                calibrate.with_pairs([s for s in alone if s.terms.phase == p]), p, group, folds_count
            )
            for p in phases
        }
    held = serving_fit.held_out(batches, alone, group) if batches and group not in ("pair", "part") else []
    later: tuple[Phase, ...] = ("ttft", "tpot", "throughput")
    missed |= {p: [(s, r) for s, r in held if s.terms.phase == p] for p in later}
    if has_anchors:
        missed = {p: calibrate.after_anchors(missed[p]) for p in phases}
        left = {s.id for found in missed.values() for s, _ in found}
        out += [
            Scored(row=by_id[s.id][0], reason="an anchor, of a machine without one, or of several requests")
            for s in samples
            if s.id not in left
        ]
    for phase, found in missed.items():
        out += _covered(found, phase, group, by_id, new=conformal.HERE if has_anchors else group)
    return out


def _covered(
    missed: list[tuple[calibrate.Sample, float]],
    phase: Phase,
    group: str,
    by_id: Mapping[str, Any],
    *,
    new: str,
) -> list[Scored]:
    """Whether the spread of all other folds covers each residual."""
    out = []
    fold = {s.groups[group]: calibrate.fold(s.groups[group], calibrate.FOLDS_COUNT) for s, _ in missed}
    for k in sorted(set(fold.values())):
        others = [
            conformal.Miss(kind=s.kind, new=new, group=s.groups[group], residual=r)
            for s, r in missed
            if fold[s.groups[group]] != k
        ]
        spreads = conformal.spreads(others, phase, 0.8)
        for s, r in missed:
            if fold[s.groups[group]] != k:
                continue
            around = conformal.spread_for(spreads, phase, s.kind, new) if spreads else None
            row, m = by_id[s.id]
            out.append(
                Scored(
                    row=row, backend=m.backend, residual=r, roofline_residual=_roofline(s),
                    reference_residual=_reference(row, m, s), is_fault=r > FAULT,
                    is_covered=around is not None and min(around.low, 0) <= r <= max(around.high, 0),
                )
            )  # fmt: skip
    return out


def _reference(row: dict[str, Any], m: Measurement, sample: calibrate.Sample) -> float | None:
    """What the published model beside it misses; None where it was not made for the row."""
    from plimsoll.ask.measured import case_of

    if not speed_reference.is_comparable(row, m):
        return None
    predicted = speed_reference.seconds(case_of(m), m.depth_tokens + m.generated_tokens // 2)
    return math.log(sample.seconds / predicted) if predicted else None


def _roofline(sample: calibrate.Sample) -> float:
    return math.log(sample.seconds / ceiling_seconds(sample.terms))


def table(scored: list[Scored]) -> list[dict[str, Any]]:
    """Figures per metric; per metric and runtime, backend, hardware."""
    groups: dict[tuple[str, str, str, str], list[Scored]] = defaultdict(list)
    for s in scored:
        metric, runtime, hardware = s.row["metric"], s.row["runtime"], s.row["hardware"]
        groups[metric, "*", "*", "*"].append(s)
        groups[metric, runtime, "*", "*"].append(s)
        groups[metric, "*", "*", hardware].append(s)
        groups[metric, runtime, "*", hardware].append(s)
        if s.backend:
            groups[metric, "*", s.backend, "*"].append(s)
    order = {m: i for i, m in enumerate(METRICS)}
    keys = sorted(groups, key=lambda k: (order[k[0]], k[3] != "*", k[2] != "*", k[1] != "*", -len(groups[k])))
    return [
        {**dict(zip(("metric", "runtime", "backend", "hardware"), k, strict=True)), **_figures(groups[k])}
        for k in keys
    ]


def _figures(rows: list[Scored]) -> dict[str, Any]:
    good = [r for r in rows if not r.reason]
    errors = sorted(100 * abs(math.expm1(r.residual)) for r in good)
    plain = sorted(100 * abs(math.expm1(r.roofline_residual)) for r in good)
    covered = sum(r.is_covered for r in good)
    by_device: dict[str, list[float]] = defaultdict(list)
    for r in good:
        by_device[r.row["hardware"]].append(100 * abs(math.expm1(r.residual)))
    middles = sorted(_at(sorted(found), 0.5) or 0.0 for found in by_device.values())
    beside = [r for r in good if r.reference_residual is not None]
    theirs = sorted(100 * abs(math.expm1(r.reference_residual or 0.0)) for r in beside)
    ours = sorted(100 * abs(math.expm1(r.residual)) for r in beside)
    sound = sorted(100 * abs(math.expm1(r.residual)) for r in good if not r.is_fault)
    return {
        "n": len(good), "not_expressed_count": len(rows) - len(good),
        "seen_count": sum(r.is_seen for r in good),
        "median_error_percent": _at(errors, 0.5), "p90_error_percent": _at(errors, 0.9),
        "coverage_percent": round(100 * covered / len(good), 1) if good else None,
        "hardware_median_error_percent": _at(middles, 0.5),
        "roofline_median_error_percent": _at(plain, 0.5), "roofline_p90_error_percent": _at(plain, 0.9),
        "reference_n": len(beside), "reference_median_error_percent": _at(theirs, 0.5),
        "reference_p90_error_percent": _at(theirs, 0.9),
        "median_error_beside_reference_percent": _at(ours, 0.5),
        "p90_error_beside_reference_percent": _at(ours, 0.9),
        "fault_count": len(good) - len(sound), "p90_error_without_faults_percent": _at(sound, 0.9),
    }  # fmt: skip


def _at(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else None


def main() -> None:
    """Parse, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")
    parser.add_argument(
        "--anchors", action="store_true", help="unseen devices after one dense and one mixture run on each"
    )
    parser.add_argument("--core", action="store_true", help="only rows marked in_core")
    parser.add_argument(
        "--cross-validate", choices=("device", "model", "pair", "part", "cell"),
        help="fit anew without each device, model, pair of them, or part of a pair",
    )  # fmt: skip
    parser.add_argument(
        "--folds", type=int, default=calibrate.FOLDS_COUNT, help="so many fits; 97: nearly each device alone"
    )
    parser.add_argument("--several", action="store_true", help="only what several requests at a time do")
    typed = parser.parse_args()
    rows = [r for r in serving_rows.with_prompts(read(typed.file)) if r.get("in_core") or not typed.core]
    scored = (
        score_unseen(
            rows,
            typed.cross_validate or "device",
            is_of_several_only=typed.several,
            has_anchors=typed.anchors,
            folds_count=typed.folds,
        )
        if typed.cross_validate or typed.anchors
        else score_shipped(rows, shipped.load(), shipped.load(shipped.SERVING_PATH))
    )
    found = table([s for s in scored if not typed.several or serving_rows.is_serving(s.row)])
    if typed.json:
        print(json.dumps(found, indent=1))
        return
    heads = (*_NAMES, *_HEADS)
    print(_line(heads))
    for r in found:
        if r["n"] or r["hardware"] == "*":
            print(_line([r[name] for name in (*_NAMES, *_FIGURES)]))
    reasons = Counter(s.reason for s in scored if s.reason)
    print("\nnot expressed:")
    for reason, count in reasons.most_common(25):
        print(f"{count:6}  {reason}")


_NAMES = ("metric", "runtime", "backend", "hardware")
_FIGURES = (
    "n", "not_expressed_count", "seen_count", "median_error_percent", "p90_error_percent", "coverage_percent",
    "hardware_median_error_percent", "roofline_median_error_percent", "roofline_p90_error_percent",
    "reference_n", "reference_median_error_percent", "median_error_beside_reference_percent", "fault_count",
    "p90_error_without_faults_percent",
)  # fmt: skip
_HEADS = (
    "n", "not", "seen", "median%", "p90%", "cover%", "per-hw%", "roof%", "roof p90", "ref n", "ref%", "ours%",
    "faults", "p90-f",
)  # fmt: skip
_WIDTHS = (14, 18, 7, 26)


def _line(cells: Sequence[object]) -> str:
    left = [str(cell)[:width].ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
    return " ".join([*left, *(f"{'-' if cell is None else cell!s:>8}" for cell in cells[len(_WIDTHS) :])])


if __name__ == "__main__":
    main()
