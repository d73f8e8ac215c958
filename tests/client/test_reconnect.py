"""Full jitter: anywhere below a ceiling that doubles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.client.reconnect import DELAY_S_MAX, reconnect_delay_s


@given(attempt=st.integers(0, 100_000), draw=st.floats(0, 1, exclude_max=True), delay_s_max=st.floats(0.1, 600))
def test_never_above_its_bound_and_never_negative(attempt: int, draw: float, delay_s_max: float) -> None:
    assert 0 <= reconnect_delay_s(attempt, draw, delay_s_max) <= delay_s_max


@pytest.mark.parametrize(("attempt", "ceiling"), [(0, 0.1), (1, 0.2), (4, 1.6), (8, 25.6), (9, 30.0), (50, 30.0)])
def test_the_ceiling_doubles_up_to_the_bound(attempt: int, ceiling: float) -> None:
    assert reconnect_delay_s(attempt, 0.5, DELAY_S_MAX) == pytest.approx(ceiling / 2)


def test_a_draw_of_nothing_comes_back_at_once() -> None:
    assert reconnect_delay_s(7, 0.0) == 0.0
