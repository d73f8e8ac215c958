"""What makes a window no result is said, and what does not is not."""

from typing import Any

import msgspec
import pytest

from folkmoot.bench.disk import DiskTimes
from folkmoot.bench.figures import Histogram
from folkmoot.bench.jobs import Tally
from folkmoot.bench.usage import Usage
from folkmoot.bench.window import Window, by_second, curve_of, per_commit, refusals_of, times_of


def window(tally: Tally | None = None, **what: Any) -> Window:
    whole = Window(
        seconds=10.0,
        before=Usage(1.0, 2.0, 100, 2.9, 0.5),
        after=Usage(3.0, 5.0, 200, 7.9, 1.5),
        load_cpu_share=0.4,
        load_wait_share=0.1,
        tally=tally or Tally(sent=2, accepted=2, delivered=20, expected=20),
        disk=DiskTimes(0.2, 0.4, 100),
        load_average=0.5,
        counted={},
    )
    return msgspec.structs.replace(whole, **what)


def late(times_ms: float) -> Histogram:
    histogram = Histogram()
    histogram.add([int(times_ms * 1e6)])
    return histogram


def test_conditions_are_shares_of_the_window() -> None:
    conditions = window().conditions()
    assert conditions["server_cpu_share"] == pytest.approx(0.5)
    assert conditions["server_wait_share"] == pytest.approx(0.1)
    assert conditions["load_cpu_share"] == 0.4
    assert conditions["fdatasync_ms_p99"] == 0.4


def test_a_whole_count_is_a_result() -> None:
    assert refusals_of(window()) == []


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"load_cpu_share": 0.91, "load_wait_share": 0.0}, "saturated"),
        ({"load_cpu_share": 0.5, "load_wait_share": 0.45}, "saturated: it ran 50% of the time, and waited"),
        ({"tally": Tally(delivered=20, expected=20, late=late(80))}, "the load was late"),
        ({"tally": Tally(delivered=19, expected=20)}, "19 deliveries came where 20 were due"),
        ({"tally": Tally(delivered=21, expected=20)}, "21 deliveries came where 20 were due"),
        ({"tally": Tally(lost=3)}, "3 sockets were lost"),
        ({"tally": Tally(out_of_order=1)}, "1 entries were not the next"),
        ({"tally": Tally(failed={"rate_limited": 4})}, "4 requests were answered rate_limited"),
    ],
)
def test_anything_else_is_none(what: dict[str, Any], said: str) -> None:
    (reason,) = refusals_of(window(**what))
    assert said in reason


def test_plots_are_of_whole_seconds_and_of_what_was_seen() -> None:
    assert by_second(Tally(by_second=[5, 6, 1])) == [(0.0, 5.0), (1.0, 6.0)]
    assert curve_of(Histogram()) == []
    assert [share for share, _ in curve_of(late(5))][-1] == 0.999


def test_times_and_batches_are_named() -> None:
    assert times_of("answer", late(5)) == {
        "answer_ms_p50": pytest.approx(5, rel=0.02),
        "answer_ms_p99": pytest.approx(5, rel=0.02),
    }
    assert per_commit({"folkmoot_store_commits_total": 4, "folkmoot_router_appended_total": 10}) == 2.5
    assert per_commit({}) == 0.0


def test_a_load_that_shares_its_cores_may_be_late_and_busy_and_must_be_whole() -> None:
    busy = window(Tally(sent=2, accepted=2, delivered=19, expected=20, late=late(80)), load_cpu_share=0.95)
    assert len(refusals_of(busy)) == 3
    assert refusals_of(busy, shares_cores=True) == ["19 deliveries came where 20 were due: the server did not keep up"]
