"""A bucket gives what it holds, fills at its rate, and says how long to wait."""

from hypothesis import given
from hypothesis import strategies as st

from folkmoot.gateway.admission import TokenBucket


def test_a_burst_is_given_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(2.0, 3.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(100.0) == 0.5
    assert bucket.take(100.25) == 0.25
    assert bucket.take(100.5) == 0.0
    assert bucket.take(100.5) == 0.5


def test_what_is_not_given_is_not_taken() -> None:
    bucket = TokenBucket(1.0, 2.0)
    assert bucket.take(1.0, cost=3.0) == 1.0
    assert bucket.take(1.0, cost=2.0) == 0.0


def test_it_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(10.0, 2.0)
    assert bucket.take(1.0) == 0.0
    assert [bucket.take(1_000_000.0) == 0.0 for _ in range(3)] == [True, True, False]


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = TokenBucket(1.0, 1.0)
    assert bucket.take(50.0) == 0.0
    assert bucket.take(10.0) == 1.0
    assert bucket.take(51.0) == 0.0


@given(
    rate=st.floats(0.1, 1_000),
    burst=st.floats(1, 1_000),
    steps=st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_over_any_stretch_no_more_is_given_than_burst_and_rate_allow(
    rate: float, burst: float, steps: list[float]
) -> None:
    bucket = TokenBucket(rate, burst)
    now = start = 1_000.0
    given_out = 0
    for step in steps:
        now += step
        given_out += bucket.take(now) == 0.0
        assert given_out <= burst + rate * (now - start) + 1e-6


@given(rate=st.floats(0.1, 1_000), burst=st.floats(1, 100))
def test_after_the_wait_that_was_named_it_is_given(rate: float, burst: float) -> None:
    bucket = TokenBucket(rate, burst)
    now = 1_000.0
    while (wait := bucket.take(now)) == 0.0:
        pass
    assert bucket.take(now + wait + 1e-6) == 0.0


def test_another_rate_holds_from_then_on_and_a_smaller_burst_at_once() -> None:
    bucket = TokenBucket(1.0, 10.0)
    assert bucket.take(0.0, 5.0) == 0.0
    bucket.retune(2.0, 3.0)
    assert bucket.take(0.0, 3.0) == 0.0
    assert bucket.take(0.0, 1.0) == 0.5
    assert bucket.take(0.5, 1.0) == 0.0
