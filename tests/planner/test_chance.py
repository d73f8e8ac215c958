"""What is drawn has the shape that it is said to have, and a day has all of its messages."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.planner.chance import HOURS, SIZE_MOST, Drawn, Sizes, Skewed, hours_of, quantile_of


def test_times_have_their_median_and_tail() -> None:
    draw = Skewed(Random(1), 0.002, 0.01)
    times = [(draw(), 1.0) for _ in range(20_000)]
    assert quantile_of(times, 0.5) == pytest.approx(0.002, rel=0.05)
    assert quantile_of(times, 0.99) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("mean", [2.0, 130.0, 5_000.0])
def test_sizes_have_their_mean_and_a_heavy_tail(mean: float) -> None:
    sizes = Sizes(Random(1), mean)
    # By even steps instead of draws: the mean of a heavy tail takes very many of them.
    steps = 200_000
    exact = sum(sizes._at((n + 0.5) / steps) for n in range(steps)) / steps
    assert exact == pytest.approx(mean, rel=0.02)
    drawn = [sizes() for _ in range(20_000)]
    assert min(drawn) >= 1
    assert max(drawn) <= SIZE_MOST
    assert max(drawn) > 15 * mean


@given(st.floats(0.001, 1), st.floats(0.01, 24))
def test_a_day_has_all_its_messages_and_no_hour_above_the_peak(peak_share: float, peak_hours: float) -> None:
    hours = hours_of(peak_share, peak_hours)
    assert len(hours) == HOURS
    assert all(hour >= 0 for hour in hours)
    if peak_share / peak_hours >= 1 / HOURS and peak_share / peak_hours * -(-peak_hours // 1) <= 1:
        assert sum(hours) == pytest.approx(1, abs=1e-6)
        assert max(hours) == pytest.approx(min(peak_share / peak_hours, 1.0))


def test_the_seeds_day_falls_off_from_its_peak() -> None:
    hours = hours_of(0.10, 1)
    assert hours[0] == pytest.approx(0.10)
    assert sum(hours) == pytest.approx(1)
    assert hours == sorted(hours, reverse=True)


def test_the_largest_of_several_is_larger() -> None:
    drawn, draw = Drawn([float(n) for n in range(1_000)]), Random(1)
    ones = sum(drawn.largest_of(1, draw) for _ in range(2_000)) / 2_000
    tens = sum(drawn.largest_of(10, draw) for _ in range(2_000)) / 2_000
    assert ones == pytest.approx(500, rel=0.05)
    assert tens == pytest.approx(909, rel=0.02)
    assert Drawn([]).largest_of(3, draw) == 0.0


def test_quantiles_go_by_weight() -> None:
    assert quantile_of([(1.0, 1.0), (2.0, 98.0), (3.0, 1.0)], 0.5) == 2.0
    assert quantile_of([(3.0, 1.0), (1.0, 1.0)], 0.999) == 3.0
