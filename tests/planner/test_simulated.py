"""Fleets of every size are planned and simulated; runs that were made stand beside what is predicted for them."""

from collections.abc import Callable
from typing import Any

import pytest

from folkmoot.planner import fleet
from folkmoot.planner.capacity import MACHINES
from folkmoot.planner.demand import USERS
from folkmoot.planner.measurements import Measured, Result, measured_of, results_in
from folkmoot.planner.simulated import NotMeasured, checked, rows_of

GIVEN = {one.name: float(one.default) for one in (*USERS, *MACHINES)}
LATENCY = {
    "deliveries_per_cpu_s": 100_000.0,
    "latency_ms_p50": 3.0, "latency_ms_p99": 9.0, "last_ms_p50": 3.5, "last_ms_p99": 9.9,
    "fdatasync_ms_p50": 0.5, "fdatasync_ms_p99": 2.0, "load_cpu_share": 0.3, "load_average": 1.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "JOBS", 1_000)


def test_larger_fleets_are_larger_and_hold(measured: dict[str, Measured]) -> None:
    rows = rows_of(GIVEN, measured, users=[1e6, 10e6])
    assert rows[0].gateway_processes < rows[1].gateway_processes
    for row in rows:
        assert row.peak.gateway_busy < 1
        assert row.breaks_at > 1
        assert 0 < row.peak.p50 < row.peak.p99
        assert row.lost.gateway_busy > row.peak.gateway_busy
    assert rows_of(GIVEN, measured, users=[1e6]) == rows[:1]


def test_clients_of_a_lost_machine_come_back_by_what_a_connection_costs(
    results: Callable[..., list[Result]], report: Callable[..., dict[str, Any]], file: Callable[..., bytes]
) -> None:
    (row,) = rows_of(GIVEN, measured_of(results()), users=[1e6])
    assert row.back_s is not None
    assert row.back_s > 10
    untold = report("idle", runs=[{"figures": {"rss_bytes_per_socket": 8_000.0}}])
    others = [result for result in results() if result.scenario != "idle"]
    (unknown,) = rows_of(GIVEN, measured_of([*others, *results_in(file(untold), "a file")]), users=[1e6])
    assert unknown.back_s is None


def test_without_costs_it_says_which_are_lacking(results: Callable[..., list[Result]]) -> None:
    with pytest.raises(NotMeasured, match="folkmoot bench roles"):
        rows_of(GIVEN, measured_of(results("fanout")), users=[1e6])


def test_a_run_stands_beside_its_prediction(
    measured: dict[str, Measured], report: Callable[..., dict[str, Any]], file: Callable[..., bytes]
) -> None:
    plan = {"sockets": 13_000, "members": 130, "rate_per_s": 300.0, "seconds": 5.0}
    runs = [{"figures": LATENCY}, {"figures": LATENCY, "refusals": ["late"]}]
    idle = report("idle")
    (one,) = checked(results_in(file(report("latency", plan=plan, runs=runs), idle), "a file"), measured)
    assert (one.rate_per_s, one.members, one.run) == (300, 130, 1)
    assert one.measured == {"delivery p50": 3.0, "delivery p99": 9.0, "last p50": 3.5, "last p99": 9.9}
    assert one.predicted.keys() == one.measured.keys()
    # 1.3 ms of CPU, half a millisecond of disk, and up to half of one until the load looks.
    assert 1.0 < one.predicted["last p50"] < 4.0
