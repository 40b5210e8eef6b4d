"""How long a fleet takes to place, whether the optimum is proven, and what others would have chosen.

    python bench/fleet_speed.py [--fleets 10] [--highs]

Prints: the whole command on a file of 12 roles and 6 machines; the solver alone on fleets drawn at random
beside first fit by priority and size (what one does by hand); tiny fleets beside every choice tried. With
--highs (pip install highspy) the same rows are given to HiGHS, aim after aim, with as much time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plimsoll.ask.fleet import FleetQuestion, fleet
from plimsoll.core.fleet import AIMS, Problem, broken, score
from plimsoll.core.fleet_model import linear
from plimsoll.core.fleet_solver import solve
from tests.core.fleet_rivals import brute_force, drawn, first_fit

BAR_SECONDS = 10.0
FLEET = """
currency = "USD"
electricity = "0.20USD/kWh"
machine = [
  {name = "studio", is = "rtx-pro-6000 + 192GiB ddr5-6000 x2", busy = "30%"},
  {name = "attic", is = "2x rtx-3090 + 128GiB ddr4-3200 x4", busy = "30%"},
  {name = "desk", is = "rtx-5090 + 64GiB ddr5-6000 x2", busy = "30%"},
  {name = "mac", is = "mac-studio-m3-ultra-256gb", watts = 200, busy = "30%"},
  {name = "rack", is = "epyc-9554-12ch-ddr5-4800-384gb", watts = 400, busy = "50%"},
  {name = "cloud", is = "2x h100-sxm + 256GiB ram", rent = true, hours = 300},
]
[[role]]
name = "core"
model = "gpt-oss-120b"
context = "64k"
users = 4
min_tps = 40
busy = "40%"
private = true
[[role]]
name = "coder"
models = ["qwen3-coder-30b-a3b-instruct", "qwen2.5-coder-32b-instruct"]
context = "32k"
users = 2
min_tps = 30
busy = "30%"
private = true
replicas = 2
[[role]]
name = "vision"
model = "qwen3-vl-8b-instruct"
context = "16k"
min_tps = 20
priority = 2
busy = "10%"
[[role]]
name = "planner"
model = "qwen3-235b-a22b"
weights = ["q4_k_m"]
context = "16k"
min_tps = 10
priority = 2
needs = ["core"]
apart_from = ["core"]
[[role]]
name = "thinker"
models = ["llama-3.3-70b-instruct", "qwen3-32b"]
weights = ["fp8", "q8_0", "q4_k_m"]
context = "32k"
min_tps = 15
priority = 2
[[role]]
name = "translator"
model = "gemma-3-27b-it"
context = "16k"
min_tps = 15
priority = 3
busy = "20%"
[[role]]
name = "small"
model = "qwen3-4b"
context = "16k"
users = 8
min_tps = 30
priority = 3
busy = "30%"
[[role]]
name = "router"
model = "qwen3-1.7b"
min_tps = 60
busy = "10%"
together_with = ["core"]
[[role]]
name = "embedder"
memory = "3GiB"
busy = "5%"
private = true
needs = ["core"]
[[role]]
name = "reranker"
memory = "3GiB"
busy = "5%"
private = true
together_with = ["embedder"]
[[role]]
name = "speech-ru"
memory = "6GiB"
processor = "gpu"
priority = 3
busy = "10%"
private = true
[[role]]
name = "speech-en"
memory = "6GiB"
processor = "gpu"
priority = 3
busy = "10%"
alone = true
"""


def timed(made: Callable[[], Any]) -> tuple[Any, float, float]:
    """(what was made, seconds by the clock, seconds of the processor)."""
    clock, cpu = time.perf_counter(), time.process_time()
    found = made()
    return found, time.perf_counter() - clock, time.process_time() - cpu


def whole_command() -> bool:
    """The file above, from text to answer; whether it meets the bar."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.toml"
        path.write_text(FLEET, encoding="utf-8")
        answer, clock, cpu = timed(lambda: fleet(FleetQuestion(file=str(path), offline=True)))
        again = fleet(FleetQuestion(file=str(path), offline=True))
    proven = all(s.is_proven for s in answer.stages)
    gaps = ", ".join(f"{s.aim} gap {s.gap:.1%}" for s in answer.stages if not s.is_proven) or "none"
    print(f"whole command, 12 roles (13 copies) on 6 machines: {answer.verdict}, "
          f"{len(answer.placements)} placed, {answer.ways_count} ways, "
          f"{answer.cost_per_month:.2f} {answer.currency} a month")  # fmt: skip
    print(f"  {clock:.1f} s by the clock, {cpu:.1f} s of the processor (bar {BAR_SECONDS:.0f} s); "
          f"{'optimal, proven' if proven else 'gaps: ' + gaps}; a second run: "
          f"{'equal' if again == answer else 'DIFFERENT'}")  # fmt: skip
    return clock <= BAR_SECONDS and again == answer


def aims(problem: Problem) -> list[str]:
    """The names of a score's places, in order."""
    placed = [f"{what} of priority {p}" for p in problem.levels for what in ("roles", "copies")]
    return [*placed, *(name for name, _ in AIMS)]


def random_fleets(count: int) -> None:
    """The solver on hard fleets, each beside first fit."""
    print(f"\nsolver alone, 12 roles on 6 machines, {count} fleets drawn at random, crowded, with ties")
    lost: dict[str, int] = {}
    slowest = 0.0
    for seed in range(count):
        problem = drawn(seed, tasks=12, sites=6)
        found, clock, cpu = timed(lambda p=problem: solve(p))
        slowest = max(slowest, cpu)
        ours, theirs = score(problem, found.chosen).key, score(problem, first_fit(problem)).key
        assert not broken(problem, found.chosen)
        worse = [name for name, a, b in zip(aims(problem), ours, theirs, strict=True) if a != b]
        where = worse[0] if worse else "equal"
        lost[where] = lost.get(where, 0) + 1
        gaps = [f"{s.aim} {s.gap:.1%}" for s in found.stages if not s.is_proven]
        said = "optimal, proven" if found.is_proven else f"gap at most: {', '.join(gaps)}"
        print(f"  fleet {seed}: {len(problem.options)} ways, {clock:.1f} s by the clock, {cpu:.1f} s of the "
              f"processor; {said}; first fit is worse in: {where}")  # fmt: skip
    print(f"  slowest {slowest:.1f} s of the processor; first fit loses first in: {lost}")


def tiny_fleets(count: int) -> None:
    """Every choice tried on fleets of 3 roles on 2 machines."""
    equal = below = 0
    for seed in range(count):
        tiny = drawn(seed, tasks=3, sites=2, formats=2)
        tiny = replace(tiny, options=tiny.options[::2][:16]) if len(tiny.options) > 16 else tiny
        best = score(tiny, brute_force(tiny)).key
        equal += score(tiny, solve(tiny).chosen).key == best
        below += score(tiny, first_fit(tiny)).key < best
    print(f"\nevery choice tried, {count} tiny fleets: solver equal {equal} of {count}; "
          f"first fit below the optimum in {below}")  # fmt: skip


def by_highs(problem: Problem, seconds: float) -> tuple[int, int]:
    """(aims proven, aims) by HiGHS on the same rows with one thread, aim after aim."""
    import highspy
    import numpy as np

    rows, solver = linear(problem), highspy.Highs()
    for name, value in (("output_flag", False), ("threads", 1), ("random_seed", 7), ("mip_rel_gap", 0.0)):
        solver.setOptionValue(name, value)
    for upper in rows.uppers:
        solver.addVar(0, upper)
    count = len(rows.uppers)
    whole = np.array([highspy.HighsVarType.kInteger] * count)
    solver.changeColsIntegrality(count, np.arange(count, dtype=np.int32), whole)
    far = highspy.kHighsInf

    def add(terms: Any, low: float, high: float, scale: float = 1.0) -> None:
        values = np.array(list(terms.values()), dtype=float) * scale
        solver.addRow(low, high, len(terms), np.array(list(terms), dtype=np.int32), values)

    for row in rows.rows:
        add(row.terms, -far if row.low is None else row.low, far if row.high is None else row.high)
    proven, wanted = 0, [a for a in rows.aims if a.terms]
    until = time.perf_counter() + seconds
    for aim in wanted:
        scale = 1e-4 if aim.name == "cost" else 1.0
        for i in range(count):
            solver.changeColCost(i, aim.terms.get(i, 0) * scale)
        sense = highspy.ObjSense
        solver.changeObjectiveSense(sense.kMaximize if aim.is_more_better else sense.kMinimize)
        solver.setOptionValue("time_limit", solver.getRunTime() + max(until - time.perf_counter(), 0.1))
        solver.run()
        proven += solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
        value = solver.getInfo().objective_function_value
        low, high = (value - 1e-6, far) if aim.is_more_better else (-far, value + 1e-6)
        add(aim.terms, low, high, scale)
    return proven, len(wanted)


def beside_highs(count: int) -> None:
    """Both solvers on the same fleets."""
    print("\nbeside HiGHS, the same rows, one thread each")
    for seed in range(count):
        problem = drawn(seed, tasks=12, sites=6)
        found, _, cpu = timed(lambda p=problem: solve(p))
        ours = sum(s.is_proven for s in found.stages)
        (theirs, wanted), _, their_cpu = timed(lambda p=problem: by_highs(p, 30.0))
        print(f"  fleet {seed}: CP-SAT proved {ours} of {wanted} aims in {cpu:.1f} s of the processor, "
              f"HiGHS {theirs} in {their_cpu:.1f} s")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleets", type=int, default=10)
    parser.add_argument("--highs", action="store_true")
    asked = parser.parse_args()
    good = whole_command()
    random_fleets(asked.fleets)
    tiny_fleets(40)
    if asked.highs:
        beside_highs(asked.fleets)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
