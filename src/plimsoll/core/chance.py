"""Numbers by chance that are the same wherever and whenever they are drawn, for one seed."""

from __future__ import annotations

import math
from zlib import crc32

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
# z of the 95th percentile of a normal distribution.
Z95 = 1.6448536269514722


class Chance:
    """A stream of draws by SplitMix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators
    (OOPSLA 2014); the constants are those of Vigna's splitmix64.c (prng.di.unimi.it).

    The n-th draw is a function of seed and n alone. `name` gives each use its own stream, so that one more
    draw here changes nothing there.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int, name: str = "") -> None:
        self._state = seed & _MASK
        if name:
            self._state = self.bits() ^ (crc32(name.encode()) * _GAMMA & _MASK)

    def bits(self) -> int:
        """64 bits."""
        self._state = z = (self._state + _GAMMA) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def share(self) -> float:
        """Above 0 and below 1, all alike: the middle of one of 2^52 equal parts."""
        return ((self.bits() >> 12) + 0.5) * 2.0**-52

    def exponential(self, mean: float) -> float:
        """-mean ln(U): the waits between the events of a Poisson process."""
        return -mean * math.log(self.share())

    def normal(self) -> float:
        """Mean 0, deviation 1: sqrt(-2 ln U) cos(2 pi V) (Box and Muller 1958)."""
        return math.sqrt(-2.0 * math.log(self.share())) * math.cos(2.0 * math.pi * self.share())

    def gamma(self, shape: float) -> float:
        """Mean `shape`, variance `shape`: Marsaglia and Tsang, A simple method for generating gamma variables
        (ACM TOMS 26, 2000); below shape 1 by gamma(shape + 1) U^(1/shape), which they give."""
        if shape < 1:
            # By logarithms: U^(1/shape) may be smaller than any number there is.
            log = math.log(self.share()) / shape
            return math.exp(math.log(self.gamma(shape + 1)) + log) if log > -700 else 0.0
        d = shape - 1 / 3
        c = 1 / math.sqrt(9 * d)
        while True:
            x = self.normal()
            v = (1 + c * x) ** 3
            if v > 0 and math.log(self.share()) < x * x / 2 + d - d * v + d * math.log(v):
                return d * v

    def geometric(self, mean: float) -> int:
        """1 or more, each further one with the same chance: 1 + floor(ln U / ln(1 - 1/mean))."""
        if mean <= 1:
            return 1
        return 1 + int(math.log(self.share()) / math.log1p(-1 / mean))

    def lognormal(self, p50: float, p95: float) -> float:
        """p50 exp(z ln(p95/p50)/1.645): half are below p50, 95 of 100 below p95."""
        return p50 if p50 == p95 else p50 * math.exp(self.normal() * math.log(p95 / p50) / Z95)


def lognormal_mean(p50: float, p95: float) -> float:
    """The mean of a lognormal distribution through two percentiles: p50 exp(s^2/2), s = ln(p95/p50)/1.645."""
    return p50 * math.exp((math.log(p95 / p50) / Z95) ** 2 / 2)
