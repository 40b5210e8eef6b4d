"""The requests of a load question: by a rate or by users, of one shape or as people are known to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from plimsoll.core import arrivals as patterns
from plimsoll.core.habits import HABITS
from plimsoll.domain.traffic import Habit, Lengths, Request
from plimsoll.errors import BadSetting, choices_hint
from plimsoll.units import format_count

PROMPT_TOKENS, OUTPUT_TOKENS = 4096, 500
# Users who ask without end are simulated for so many questions each, at least.
_ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """`draw(at, count)` gives so many requests at a load of `at`; `at` is the asked one, in `unit`."""

    draw: Callable[[float, int], list[Request]]
    at: float
    unit: Literal["requests/s", "users"]
    think_s: float = 0.0
    notes: tuple[str, ...] = ()


def traffic_of(
    *, users_count: int | None, rate_per_s: float | None, prompt_tokens: int | None,
    output_tokens: int | None, shared_tokens: int = 0, think_s: float | None = None, habit: str = "",
    seed: int = 0,
) -> Traffic:  # fmt: skip
    """Raises BadSetting where nobody asks, or two kinds of load were asked for at once."""
    if (users_count is None) == (rate_per_s is None):
        what = "both by users and by a rate" if users_count else "by nobody"
        raise BadSetting(f"the requests come {what}", hint="say --users 8, or --arrivals 0.5/s")
    asked, notes = habit_of(habit, prompt_tokens, output_tokens, shared_tokens, think_s)
    if users_count is not None:
        return Traffic(
            draw=lambda at, count: list(
                patterns.by_users(asked, round(at), count=max(count, _ROUNDS * round(at)), seed=seed)
            ),
            at=float(users_count), unit="users", think_s=asked.wait_s, notes=notes,
        )  # fmt: skip
    assert rate_per_s is not None
    return Traffic(
        draw=lambda at, count: list(
            islice(patterns.requests(asked, patterns.Arrivals(rate_per_s=at), seed=seed), count)
        ),
        at=rate_per_s, unit="requests/s", notes=notes,
    )  # fmt: skip


def habit_of(
    name: str, prompt: int | None, output: int | None, shared: int, think_s: float | None
) -> tuple[Habit, tuple[str, ...]]:
    """The habit of that name, or of lengths as told, and what was assumed. Raises BadSetting."""
    if name:
        if name not in HABITS:
            raise BadSetting(
                f"what people do is not known under {name!r}", hint=choices_hint(name, HABITS, "--habit")
            )
        if prompt or output or shared:
            raise BadSetting(
                f"{name} has lengths of its own", hint="leave out --prompt, --output and --prefix-shared"
            )
        known = HABITS[name]
        found = known if think_s is None else replace(known, wait_s=think_s)
        return found, tuple(f"{name}: {source}" for source in found.sources)
    notes = []
    if prompt is None:
        notes.append(f"prompt: {format_count(PROMPT_TOKENS)} tokens, because none was asked for (--prompt N)")
    if output is None:
        notes.append(f"answer: {format_count(OUTPUT_TOKENS)} tokens, because none was asked for (--output N)")
    whole, answer = prompt or PROMPT_TOKENS, output or OUTPUT_TOKENS
    if shared >= whole:
        raise BadSetting(
            f"{format_count(shared)} shared tokens leave nothing of a prompt of {format_count(whole)}",
            hint=f"--prefix-shared below {whole}, or a longer --prompt",
        )
    new = Lengths(
        p50_tokens=whole - shared, p95_tokens=whole - shared, most_tokens=max(whole - shared, 1 << 20)
    )
    same = Lengths(p50_tokens=answer, p95_tokens=answer, most_tokens=max(answer, 1 << 20))
    return Habit(name="asked", new=new, output=same, shared_tokens=shared, wait_s=think_s or 0.0), tuple(
        notes
    )
