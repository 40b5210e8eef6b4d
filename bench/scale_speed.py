"""How long `plimsoll scale` takes cold, beside planning every machine in full, and what its shortcut loses.

    python bench/scale_speed.py [--runs 3] [--skip-plans]

Scale tries a few formats in two runtimes per machine; `plimsoll plan` tries all. Printed per question: wall
and CPU seconds of a new process (best of the runs), the CPU seconds of planning the same machines one by one,
on how many of them both choose the same runtime and weights, and the least share of the tokens/s of plan's
first way that scale's reaches (at no less quality).
"""

from __future__ import annotations

import argparse
import sys
import time

from cold_start import cold

from plimsoll.ask.plan import plan
from plimsoll.ask.scale import scale
from plimsoll.ask.scale_question import ScaleQuestion, plan_question
from plimsoll.core.goals import quality_rank
from plimsoll.domain.plan import Part
from plimsoll.errors import PlimsollError

BAR_SECONDS = 3.0
CASES = (
    ScaleQuestion(models=("gpt-oss-120b",), on="rtx-pro-6000 + 128GiB ram", users_count=4, offline=True),
    ScaleQuestion(models=("qwen3-235b-a22b",), on="epyc-9554-12ch-ddr5-4800-1152gb", offline=True),
    ScaleQuestion(models=("llama-3.3-70b",), on="2x rtx-3090 + 64GiB ram", offline=True),
    ScaleQuestion(models=("qwen3-30b-a3b",), rent_for_hours=168.0, devices_count=4, offline=True),
)  # fmt: skip


def words_of(question: ScaleQuestion) -> list[str]:
    """What one types for the question."""
    words = ["scale", "--offline", "--for", question.models[0]]
    told = (
        ("--on", question.on), ("--users", question.users_count), ("--count", question.devices_count),
        ("--rent-for", f"{question.rent_for_hours:g}h" if question.rent_for_hours else None),
    )  # fmt: skip
    for flag, value in told:
        words += [flag, str(value)] if value else []
    return words


def in_full(question: ScaleQuestion) -> tuple[int, int, float]:
    """(machines, of them with plan's runtime and weights, the least share of plan's speed)."""
    answer = scale(question)
    found = [(w.machine, w.models[0].part) for w in (*answer.ways, *answer.rented)]
    same, least = 0, 1.0
    for machine, part in found:
        if part is None:
            continue
        asked = plan_question(question, question.models[0], machine, part.asked.get("vram_free_bytes"))
        try:
            choices = plan(asked).choices
        except PlimsollError:
            continue
        if choices:
            other = choices[0].parts[0]
            same += _name(other) == _name(part)
            least = min(least, _share(part, other))
    return sum(part is not None for _, part in found), same, least


def _name(part: Part) -> tuple[str, str]:
    return part.model.runtime, part.weight_format


def _share(mine: Part, other: Part) -> float:
    """My tokens/s of the other's; 1 where the other loses more quality or nobody measured one of them."""
    a, b = mine.figures.get("decode"), other.figures.get("decode")
    if a is None or b is None or not (a.is_measured and b.is_measured):
        return 1.0
    if quality_rank(other) > quality_rank(mine):
        return 1.0
    return min(a.estimate.value / b.estimate.value, 1.0)


def main() -> int:
    """Print the table; 1 where a question took more CPU than the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--skip-plans", action="store_true")
    args = parser.parse_args()
    slow = False
    for question in CASES:
        words = words_of(question)
        wall, cpu = cold(words, args.runs)
        slow |= cpu > BAR_SECONDS
        line = f"{' '.join(words[2:])}: wall {wall:.2f} s, CPU {cpu:.2f} s (bar {BAR_SECONDS:g} s)"
        if not args.skip_plans:
            start = time.process_time()
            machines, same, least = in_full(question)
            spent = time.process_time() - start
            line += (
                f"; planned in full: CPU {spent:.1f} s, {same} of {machines} the same way, least {least:.0%}"
            )
        print(line, flush=True)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
