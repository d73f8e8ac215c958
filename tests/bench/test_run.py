"""What of a window goes into a run."""

import pytest

from folkmoot.bench.disk import DiskTimes
from folkmoot.bench.jobs import Tally
from folkmoot.bench.run import fanned_out, series_of
from folkmoot.bench.usage import Usage
from folkmoot.bench.window import Window


def window_of(tally: Tally) -> Window:
    return Window(
        seconds=2.0,
        before=Usage(1.0, 0.0, 1_000),
        after=Usage(1.5, 0.5, 3_000),
        load_cpu_share=0.1,
        load_wait_share=0.0,
        tally=tally,
        disk=DiskTimes(0.1, 0.2, 3),
        load_average=0.5,
        counted={},
    )


def test_deliveries_are_counted_by_time_and_by_what_they_cost() -> None:
    tally = Tally(sent=4, delivered=40, in_window=30, frame_bytes=300, by_second=[10, 20, 1])
    tally.deliveries.add([2_000_000] * 30)
    figures = fanned_out(window_of(tally))
    assert figures["deliveries_per_s"] == 15
    assert figures["deliveries_per_cpu_s"] == 30
    assert (figures["deliveries"], figures["messages"], figures["frame_bytes"]) == (40, 4, 300)
    assert figures["latency_ms_p50"] == pytest.approx(2, rel=0.02)
    series = series_of("server", window_of(tally))
    assert series["server_by_second"] == [(0.0, 10.0), (1.0, 20.0)]
    assert series["server_latency"]
