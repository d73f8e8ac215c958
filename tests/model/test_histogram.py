"""Histograms: each value in the first bucket whose bound is not below it, sums that agree, nothing below zero."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from folkmoot.model.histogram import SECONDS, SIZES, Histogram


def test_a_value_counts_up_to_and_with_its_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.1, 99.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.cumulative() == [2, 4, 6]
    assert histogram.count == 6
    assert histogram.total == 0.5 + 1.0 + 1.5 + 2.0 + 2.1 + 99.0


def test_clocks_that_do_not_agree_count_as_nothing_rather_than_less() -> None:
    histogram = Histogram(SECONDS)
    histogram.observe(-3.0)
    assert (histogram.counts[0], histogram.total) == (1, 0.0)


@given(st.lists(st.floats(0, 1_000)))
def test_the_sums_are_what_counting_one_by_one_says(values: list[float]) -> None:
    histogram = Histogram(SIZES)
    for value in values:
        histogram.observe(value)
    expected = [sum(value <= bound for value in values) for bound in SIZES]
    assert histogram.cumulative() == [*expected, len(values)]
    assert all(bisect_left(SIZES, value) <= len(SIZES) for value in values)


def test_bounds_rise() -> None:
    for bounds in (SECONDS, SIZES):
        assert list(bounds) == sorted(set(bounds))
