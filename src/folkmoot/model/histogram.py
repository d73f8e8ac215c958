"""A histogram: how often a figure fell below each of some bounds. Plain numbers, so counting costs next to nothing."""

from bisect import bisect_left
from typing import Final

SECONDS: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
"""From one sync of a good disk to the longest that a send is asked for."""

SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""Of batches, up to the most that one may hold."""


class Histogram:
    """Counts by bound: `counts[i]` is what was over the bound before and not over `bounds[i]`, the last is the rest.

    One thread observes; another that reads meanwhile may see one observation in `counts` and not yet in `total`.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; below 0, as between clocks that do not agree, it counts as 0."""
        if value < 0.0:
            value = 0.0
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """How many were not over each bound, and last how many there were."""
        sums, so_far = list[int](), 0
        for count in self.counts:
            so_far += count
            sums.append(so_far)
        return sums
