"""How long plans take, beside a plain script that asks `fit` and `speed` once per way.

    python bench/plan_speed.py [--models 200] [--runs 3]

Prints wall time of a cold `plimsoll plan` (a new process each, best of the runs) and of the ranked catalog;
CPU time beside it tells what a busy machine adds. The plain script asks the same ways one by one; for the
catalog it plans every 20th model in full, and its time is scaled to all.
"""

from __future__ import annotations

import argparse
import os
import time

from cold_start import cold

BARS = {"one model, cold": 1.0, "catalog": 5.0}
CASES = (
    ("gpt-oss-120b", "rtx-pro-6000", "chat"), ("qwen3-30b-a3b", "rtx-pro-6000", "chat"),
    ("qwen3-30b-a3b", "rtx-pro-6000", "agents"), ("llama-3.3-70b", "2x rtx-3090", "chat"),
    ("qwen3-235b-a22b", "rtx-pro-6000 + 192GiB ram", "chat"),
)  # fmt: skip


def one_by_one(model: str, machine: str, goal: str) -> float:
    """CPU seconds of asking `fit` and `speed` about every way that `plan` looks at, each for itself."""
    from plimsoll.ask import machine as machines
    from plimsoll.ask import models
    from plimsoll.ask.fit import fit
    from plimsoll.ask.plan import search_for
    from plimsoll.ask.plan_candidates import ways
    from plimsoll.ask.plan_question import PlanQuestion
    from plimsoll.ask.speed import SpeedQuestion, speed
    from plimsoll.errors import PlimsollError

    start = time.process_time()
    asked = PlanQuestion(models=(model,), on=machine, goal=goal, offline=True)  # type: ignore[arg-type]
    search = search_for(asked, machines.resolve(machine), models.load(model, offline=True))
    for question in ways(search):
        try:
            if fit(question).verdict != "does_not_fit":
                speed(SpeedQuestion(fit=question))
        except PlimsollError:
            continue
    return time.process_time() - start


def catalog(count: int) -> tuple[float, float, int]:
    """(wall, CPU) seconds of ranking so many models of the catalog, and how many were ranked."""
    from plimsoll.ask.plan_catalog import plan_catalog
    from plimsoll.ask.plan_question import PlanQuestion
    from plimsoll.catalog import models

    ids = models.find_all()
    chosen = ids[:: max(1, len(ids) // count)][:count]
    models.find_all = lambda: chosen
    wall, cpu = time.perf_counter(), time.process_time()
    answer = plan_catalog(PlanQuestion(models=(), on="rtx-pro-6000", offline=True))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    models.find_all = lambda: ids
    return wall, cpu, answer.considered_count


def each_in_full(count: int) -> float:
    """CPU seconds of `plan` for so many models one by one, from every 20th of them."""
    from plimsoll.ask.plan import plan
    from plimsoll.ask.plan_question import PlanQuestion
    from plimsoll.catalog import models
    from plimsoll.errors import PlimsollError

    ids = models.find_all()
    chosen = ids[:: max(1, len(ids) // count)][:count:20]
    start = time.process_time()
    for name in chosen:
        try:
            plan(PlanQuestion(models=(name,), on="rtx-pro-6000", offline=True))
        except PlimsollError:
            continue
    return (time.process_time() - start) * count / len(chosen)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--models", type=int, default=200)
    options.add_argument("--runs", type=int, default=3)
    asked = options.parse_args()
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'what':<62} {'wall':>7} {'CPU':>7} {'bar':>5} {'one by one, CPU':>16}")
    for model, machine, goal in CASES:
        wall, cpu = cold(
            ["plan", model, "--on", machine, "--goal", goal, "--offline"], asked.runs, may_say_no=True
        )
        plain = one_by_one(model, machine, goal)
        name = f"plan {model} --on '{machine}' --goal {goal}"
        print(f"{name:<62} {wall:6.2f}s {cpu:6.2f}s {BARS['one model, cold']:4.0f}s {plain:15.2f}s")
    wall, cpu, count = catalog(asked.models)
    plain = each_in_full(asked.models)
    name = f"plan --all-models --on rtx-pro-6000 ({count} models)"
    print(f"{name:<62} {wall:6.2f}s {cpu:6.2f}s {BARS['catalog']:4.0f}s {plain:15.2f}s")


if __name__ == "__main__":
    main()
