"""What a simulation draws at random, seeded by its caller: sizes of groups, times of a disk; and a day's curve."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final

HOURS: Final = 24
TAIL: Final = 1.6
"""Exponent of the tail of group sizes: twice as large is a third as frequent."""

SIZE_MOST: Final = 100_000
NORMAL_P99: Final = 2.326
"""Of the normal distribution, in standard deviations."""


class Skewed:
    """Times with a long tail: log-normal, by their median and their 99th percentile."""

    def __init__(self, draw: Random, p50: float, p99: float) -> None:
        self._draw = draw
        self._mean = math.log(max(p50, 1e-9))
        self._deviation = max(0.0, math.log(max(p99, p50, 1e-9)) - self._mean) / NORMAL_P99

    def __call__(self) -> float:
        return self._draw.lognormvariate(self._mean, self._deviation)


class Sizes:
    """Members of the group that a message goes to: a heavy tail up to SIZE_MOST, with the given mean."""

    def __init__(self, draw: Random, mean: float) -> None:
        self._draw = draw
        self.most = max(float(SIZE_MOST), mean)
        self.least = self._least_for(mean)

    def __call__(self) -> int:
        return max(1, round(self._at(self._draw.random())))

    def _at(self, share: float) -> float:
        cut = 1 - (self.least / self.most) ** TAIL
        return float(self.least / (1 - share * cut) ** (1 / TAIL))

    def _least_for(self, mean: float) -> float:
        low, high = 1e-6, mean
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _mean_of(middle, self.most) < mean else (low, middle)
        return high


def _mean_of(least: float, most: float) -> float:
    """Of the tail between these two."""
    if least >= most:
        return least
    ratio = least / most
    return float(TAIL / (TAIL - 1) * least * (1 - ratio ** (TAIL - 1)) / (1 - ratio**TAIL))


def hours_of(peak_share: float, peak_hours: float) -> list[float]:
    """The share of a day's messages in each of its hours, the busiest first: one hump, as sharp as the peak asks for.

    A peak of over an hour is so many equal hours at the top; the shares come to 1.
    """
    tops = max(1, math.ceil(peak_hours))
    top = min(peak_share / peak_hours, 1.0)
    rest = max(0.0, 1 - top * tops)
    count = HOURS - tops
    if count <= 0:
        return [1 / HOURS] * HOURS
    low, high = 0.0, 64.0
    # The rest falls off from the peak: as steeply as it takes for the shares to come to one.
    for _ in range(60):
        steep = (low + high) / 2
        low, high = (steep, high) if sum(_falling(count, steep)) * top > rest else (low, steep)
    falling = [share * top for share in _falling(count, high)]
    scale = rest / sum(falling) if sum(falling) else 0.0
    return [top] * tops + [share * scale for share in falling]


def _falling(count: int, steep: float) -> list[float]:
    return [((1 + math.cos(math.pi * (hour + 1) / (count + 1))) / 2) ** steep for hour in range(count)]


class Drawn:
    """Values seen, from which others are drawn as they came: by weight, and as the largest of several."""

    def __init__(self, values: Sequence[float]) -> None:
        self._ordered = sorted(values)

    def largest_of(self, count: float, draw: Random) -> float:
        """The largest of `count` draws, in one."""
        if not self._ordered:
            return 0.0
        share = draw.random() ** (1 / max(count, 1.0))
        return self._ordered[min(int(share * len(self._ordered)), len(self._ordered) - 1)]


def quantile_of(pairs: Sequence[tuple[float, float]], share: float) -> float:
    """The value at `share` of (value, weight) pairs."""
    ordered = sorted(pairs)
    sums = list(accumulate(weight for _, weight in ordered))
    return ordered[min(bisect_left(sums, share * sums[-1]), len(ordered) - 1)][0]
