"""The memory of a long run is looked at all along, and its slope is that of the line through it."""

import threading
from collections.abc import Callable

import pytest

from folkmoot.bench.lasting import MemoryCurve, settled, slope_of
from folkmoot.bench.plan import Plan
from folkmoot.bench.process import ChildFailed
from folkmoot.bench.run import Run


def test_the_slope_is_that_of_the_line() -> None:
    assert slope_of([(1.0, 10.0), (2.0, 13.0), (3.0, 16.0)]) == pytest.approx(3)
    assert slope_of([(0.0, 5.0), (1.0, 7.0), (2.0, 5.0)]) == 0
    assert slope_of([(1.0, 10.0)]) == slope_of([(1.0, 1.0), (1.0, 2.0)]) == 0


def test_the_first_while_is_left_out() -> None:
    points = [(float(n), 0.0) for n in range(8)]
    assert settled(points) == points[2:]


def test_it_looks_until_it_is_left() -> None:
    looked = threading.Event()

    def look() -> int:
        looked.set()
        return 7

    with MemoryCurve(look, every_s=0.001) as curve:
        assert looked.wait(10)
    assert {rss for _, rss in curve.points} == {7.0}


def test_a_process_that_has_ended_ends_it() -> None:
    asked = threading.Event()

    def look() -> int:
        asked.set()
        raise ChildFailed("gone")

    with MemoryCurve(look, every_s=0.001) as curve:
        assert asked.wait(10)
    assert curve.points == []


def test_a_sustained_load_has_a_curve(ran: Callable[[Plan], Run]) -> None:
    run = ran(Plan(scenario="sustained", sockets=10, members=5, rate_per_s=10, seconds=2.5, warm_s=0.2))
    assert len(run.series["rss_mib_by_second"]) >= 2
    assert run.figures["server_rss_bytes"] > 0
    assert "rss_bytes_per_minute" in run.figures
