"""What a step of a continuous batch takes, from a table that is filled where it is needed.

The parts of a step add up (`core.serving.step_terms`), so a step of n sequences at depth d beside c prompt
tokens that look back on s tokens each takes

    t(n, d, 0, -) = D(n, d)                 t(n, d, c, s) = A(c, s) + B(n, d)

and each of D, A, B is a table of two columns, computed exactly at its knots and interpolated in between.
Time grows nearly linearly along either axis between neighbouring knots; how far it is off stands in
`tests/core/test_load_steps.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping

from plimsoll.core.serving import request_terms, step_terms, whole_effects
from plimsoll.core.speed import ceiling_seconds, seconds
from plimsoll.domain.speed import Phase, SpeedCase, Terms

_SOME_TOKENS = 64  # any number of prompt tokens will do to see what decoding adds beside them


class StepTimes:
    """Seconds of a step: a `core.load.StepSeconds`.

    `intake_s` and `delay_s` are those of `domain.load.Server`. The clock is that of measured throughput;
    clients of the same runs publish times per token and to the first token that differ from it by
    `tpot_factor` and `ttft_factor`. Raises NoCeiling, like `core.speed.terms`, when it is first asked about
    what has no model.
    """

    def __init__(
        self, case: SpeedCase, coefficients: Mapping[str, float], *, client: str = "",
        factor: float = 1.0, tables: tuple[_Table, _Table, _Table] | None = None,
    ) -> None:  # fmt: skip
        self._case, self._coefficients, self._client = case, coefficients, client
        self._factor = factor
        self._whole = factor * self._of("throughput")
        self._tables = tables or (
            _Table(self._decode, _COUNTS, _TOKENS), _Table(self._prompt, _TOKENS, _TOKENS),
            _Table(self._beside, _COUNTS, _TOKENS),
        )  # fmt: skip
        self.tpot_factor = self._of("tpot") / self._of("throughput")
        self.ttft_factor = self._of("ttft") / self._of("throughput")
        none, one = (seconds(request_terms(case, n), coefficients) for n in (0.0, 1.0))
        self.intake_s, self.delay_s = factor * (one - none), factor * none

    def _of(self, phase: Phase) -> float:
        """What lengthens all steps alike, as measurements of the phase show it."""
        effects = whole_effects(self._case, phase, client=self._client)
        return math.exp(sum(self._coefficients.get(e, 0.0) for e in effects))

    def scaled(self, factor: float) -> StepTimes:
        """The same, all so many times as long."""
        return StepTimes(
            self._case, self._coefficients, client=self._client, factor=self._factor * factor,
            tables=self._tables,
        )  # fmt: skip

    def __call__(self, count: int, depth: float, tokens: int, seen: float) -> float:
        decode, prompt, beside = self._tables
        if not tokens:
            return self._whole * decode(count, depth)
        found = prompt(tokens, 2 * seen)
        if count:
            found += beside(count, depth)
        return self._whole * found

    def exact(self, count: int, depth: int, tokens: int, seen: float) -> float:
        """The same without a table."""
        if not tokens:
            return self._whole * self._decode(count, depth)
        return self._whole * (self._prompt(tokens, round(2 * seen)) + self._beside(count, depth))

    def _decode(self, count: int, depth: int) -> float:
        return self._seconds(step_terms(self._case, decode_sequences=count, depth_tokens=depth))

    def _prompt(self, tokens: int, twice_seen: int) -> float:
        """Tokens of prompts whose middle token looks back on half of `twice_seen`: whole prompts of that
        length, or the middle of one."""
        return self._seconds(
            step_terms(
                self._case, decode_sequences=0, depth_tokens=0, prefill_tokens=max(tokens, 1),
                prompt_tokens=max(twice_seen, 1),
            )
        )  # fmt: skip

    def _beside(self, count: int, depth: int) -> float:
        if not count:
            return 0.0
        both = step_terms(
            self._case, decode_sequences=count, depth_tokens=depth, prefill_tokens=_SOME_TOKENS,
            prompt_tokens=_SOME_TOKENS,
        )  # fmt: skip
        alone = step_terms(
            self._case, decode_sequences=0, depth_tokens=0, prefill_tokens=_SOME_TOKENS,
            prompt_tokens=_SOME_TOKENS,
        )  # fmt: skip
        return seconds(both, self._coefficients) - seconds(alone, self._coefficients)

    def _seconds(self, found: Terms) -> float:
        return max(seconds(found, self._coefficients), ceiling_seconds(found))


class _Table:
    """A function of two numbers, between whose knots it is taken for linear."""

    def __init__(
        self, function: Callable[[int, int], float], rows: tuple[int, ...], columns: tuple[int, ...]
    ) -> None:
        self._function, self._rows, self._columns = function, rows, columns
        self._cells: dict[int, tuple[float, float, float, float]] = {}
        self._knots: dict[tuple[int, int], float] = {}

    def __call__(self, x: float, y: float) -> float:
        i = bisect_right(self._rows, x) - 1
        j = bisect_right(self._columns, y) - 1
        cell = self._cells.get(i << 12 | j) or self._cell(i, j)
        u = (x - self._rows[i]) / (self._rows[i + 1] - self._rows[i])
        v = (y - self._columns[j]) / (self._columns[j + 1] - self._columns[j])
        a, b, c, d = cell
        return a + u * b + v * (c + u * d)

    def _cell(self, i: int, j: int) -> tuple[float, float, float, float]:
        """Value at the corner, slopes along both sides, and how much one changes along the other."""
        a, b, c, d = (self._knot(i + di, j + dj) for dj in (0, 1) for di in (0, 1))
        found = (a, b - a, c - a, d - c - b + a)
        self._cells[i << 12 | j] = found
        return found

    def _knot(self, i: int, j: int) -> float:
        known = self._knots.get((i, j))
        if known is None:
            known = self._knots[i, j] = self._function(self._rows[i], self._columns[j])
        return known


def _growing(first: int, until: int, ratio: float) -> tuple[int, ...]:
    """Whole numbers from `first` on, the next one at least one more and `ratio` times as large."""
    found = [first]
    while found[-1] < until:
        found.append(max(found[-1] + 1, round(found[-1] * ratio)))
    return tuple(found)


_COUNTS = (0, *_growing(1, 1 << 14, 1.08))
_TOKENS = (0, 1, *_growing(2, 64, 2.0), *_growing(80, 1 << 24, 1.2))
