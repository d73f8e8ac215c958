"""Quantiles are right to a percent, and the same whether counted together or apart."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.bench.figures import STEP, Histogram, quantile, spread_of


@given(st.lists(st.integers(2_000, 10**11), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_right_to_a_bucket(times: list[int], share: float) -> None:
    histogram = Histogram()
    histogram.add(times)
    rank = next(n for n in range(1, len(times) + 1) if n >= share * len(times))
    exact_ms = sorted(times)[rank - 1] / 1e6
    assert exact_ms / STEP**1.01 <= histogram.quantile_ms(share) <= exact_ms * STEP**1.01


def test_parts_add_up() -> None:
    chance = random.Random(3)
    times = [int(chance.lognormvariate(14, 2)) for _ in range(1_000)]
    whole, left, right = Histogram(), Histogram(), Histogram()
    whole.add(times)
    left.add(times[:300])
    right.add(times[300:])
    left.merge(right)
    assert left == whole
    assert left.count == 1_000


def test_nothing_counted_is_zero() -> None:
    assert Histogram().quantile_ms(0.5) == 0.0


def test_times_too_short_to_tell_are_a_microsecond() -> None:
    histogram = Histogram()
    histogram.add([0, -5, 999])
    assert histogram.quantile_ms(1.0) == pytest.approx(0.001, rel=0.02)


def test_a_spread_is_median_least_and_most() -> None:
    spread = spread_of([5.0, 1.0, 9.0, 2.0])
    assert (spread.median, spread.least, spread.most) == (3.5, 1.0, 9.0)


def test_a_quantile_lies_between_two_values() -> None:
    assert quantile([10.0], 0.99) == 10.0
    assert quantile([0.0, 10.0], 0.25) == 2.5
    assert quantile([3.0, 1.0, 2.0], 1.0) == 3.0
