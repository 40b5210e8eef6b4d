"""Draws: the published numbers, and the moments of each distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, median, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.core.chance import Chance, lognormal_mean

COUNT = 40_000


def test_splitmix64_gives_the_published_numbers() -> None:
    """Rosetta Code, Pseudo-random numbers/Splitmix64, from the reference implementation."""
    chance = Chance(1234567)
    assert [chance.bits() for _ in range(5)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip
    assert Chance(0).bits() == 0xE220A8397B1DCDAF
    assert Chance(1 << 64).bits() == Chance(0).bits()


@pytest.mark.parametrize(
    ("draw", "mean", "variance"),
    [
        (lambda c: c.share(), 0.5, 1 / 12),
        (lambda c: c.exponential(3.0), 3.0, 9.0),
        (lambda c: c.normal(), 0.0, 1.0),
        (lambda c: c.gamma(4.0), 4.0, 4.0),
        (lambda c: c.gamma(0.25), 0.25, 0.25),
        (lambda c: float(c.geometric(7.83)), 7.83, 7.83 * 6.83),
        (lambda c: math.log(c.lognormal(100, 300)), math.log(100), (math.log(3) / 1.6448536) ** 2),
    ],
)
def test_draws_have_the_mean_and_variance_of_their_distribution(
    draw: Callable[[Chance], float], mean: float, variance: float
) -> None:
    """Within five standard errors: sqrt(variance / n), variance sqrt((kurtosis - 1) / n), kurtosis < 30."""
    chance = Chance(42, "test")
    drawn = [draw(chance) for _ in range(COUNT)]
    assert fmean(drawn) == pytest.approx(mean, abs=5 * math.sqrt(variance / COUNT))
    assert pvariance(drawn) == pytest.approx(variance, rel=5 * math.sqrt(29 / COUNT))


def test_lognormal_goes_through_its_percentiles() -> None:
    chance = Chance(7)
    drawn = sorted(chance.lognormal(129, 451) for _ in range(COUNT))
    assert median(drawn) == pytest.approx(129, rel=0.02)
    assert drawn[int(0.95 * COUNT)] == pytest.approx(451, rel=0.03)
    assert fmean(drawn) == pytest.approx(lognormal_mean(129, 451), rel=0.02)
    assert Chance(1).lognormal(5, 5) == 5


def test_streams_of_one_seed_differ_by_name_and_not_by_run() -> None:
    drawn = {
        (seed, name): Chance(seed, name).bits() for seed in range(50) for name in ("", "a", "b", "waits")
    }
    assert len(set(drawn.values())) == len(drawn)
    assert drawn[3, "a"] == Chance(3, "a").bits()


@given(st.integers(), st.floats(1e-6, 1e6))
def test_shares_and_gammas_stay_where_they_belong(seed: int, shape: float) -> None:
    chance = Chance(seed)
    assert all(0 < chance.share() < 1 for _ in range(20))
    assert all(0 <= chance.gamma(shape) < math.inf for _ in range(20))
    assert chance.geometric(1.0) == 1
    assert chance.geometric(1 + shape) >= 1
