"""Arithmetic of measures: times into quantiles that can be added up over processes, runs into a median and a spread."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

STEP: Final = 1.01
"""Each bucket of a histogram ends this much above where it begins: a quantile is right to 1 %."""

_STEP_LOG: Final = math.log(STEP)


class Histogram(msgspec.Struct):
    """How often which time was seen, in buckets of 1 %: by the bucket's number."""

    buckets: dict[int, int] = msgspec.field(default_factory=dict)

    def add(self, times_ns: Iterable[int]) -> None:
        """Count times in nanoseconds; what is under one microsecond counts as one."""
        buckets, log = self.buckets, math.log
        for time_ns in times_ns:
            number = int(log(time_ns / 1_000) / _STEP_LOG) if time_ns > 1_000 else 0
            buckets[number] = buckets.get(number, 0) + 1

    def merge(self, other: "Histogram") -> None:
        for number, count in other.buckets.items():
            self.buckets[number] = self.buckets.get(number, 0) + count

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def quantile_ms(self, share: float) -> float:
        """The time that `share` (0 to 1) of all are no longer than, in ms; 0.0 where nothing was counted."""
        wanted = share * self.count
        seen = 0
        for number in sorted(self.buckets):
            seen += self.buckets[number]
            if seen >= wanted:
                return float(STEP ** (number + 1)) / 1_000
        return 0.0


class Spread(msgspec.Struct, frozen=True):
    """One figure over several runs."""

    median: float
    least: float
    most: float


def spread_of(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(quantile(values, 0.5), min(values), max(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The value at `share` (0 to 1) of the sorted values, in between where it falls between two. Of at least one."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)
