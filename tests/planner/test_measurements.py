"""Costs come from the newest result that tells them, with the spread of its runs; what tells nothing is passed over."""

from collections.abc import Callable
from typing import Any

import pytest

from folkmoot.bench.plan import SCENARIOS
from folkmoot.planner.measurements import COSTS, Measured, Result, Unreadable, measured_of, missing_of, results_in

Made = Callable[..., list[Result]]
Report = Callable[..., dict[str, Any]]
File = Callable[..., bytes]


def test_each_cost_is_a_median_with_the_spread_of_its_runs(measured: dict[str, Measured]) -> None:
    one = measured["deliveries_per_cpu_s"]
    assert (one.median, one.least, one.most, one.runs) == (100_000, 80_000, 125_000, 3)
    assert one.how == "bench fanout (13,000 sockets, 130 a group, 500 a second)"
    assert one.processor == "a processor, 2 cores"
    assert missing_of(measured) == []


def test_roles_apart_tell_better_than_one_process(results: Made) -> None:
    assert measured_of(results())["delivery_us"].median == 8.0
    assert measured_of(results("fanout"))["delivery_us"].median == 10.0
    assert measured_of(results("sends"))["router_send_us"].median == 200.0


def test_the_newest_counts(report: Report, file: File) -> None:
    later = report("idle", at="2026-02-01T00:00:00+00:00", runs=[{"figures": {"rss_bytes_per_socket": 5_000.0}}])
    found = measured_of(results_in(file(later, report("idle")), "a file"))
    assert found["connection_bytes"].median == 5_000
    assert found["connection_bytes"].at == "2026-02-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "plan",
    [
        {"sockets": 40, "members": 20},
        {"sockets": 13_000, "members": 2},
        {"sockets": 13_000, "members": 130, "acks_per_s": 10.0},
    ],
)
def test_a_small_fanout_tells_nothing(report: Report, file: File, plan: dict[str, Any]) -> None:
    assert measured_of(results_in(file(report("fanout", plan=plan)), "a file")) == {}


def test_a_run_without_a_result_counts_for_nothing(report: Report, file: File) -> None:
    figures = {"rss_bytes_per_socket": 1.0}
    refused = report("idle", runs=[{"figures": figures, "refusals": ["late"]}])
    assert measured_of(results_in(file(refused), "a file")) == {}


def test_a_difference_below_nothing_is_no_cost(report: Report, file: File) -> None:
    found = measured_of(results_in(file(report("roles", runs=[{"figures": {"pointer_us": -3.0}}])), "a file"))
    assert "pointer_us" not in found


def test_what_is_missing_says_which_measure_tells_it(results: Made) -> None:
    missing = {cost.name: cost.scenario for cost in missing_of(measured_of(results("fanout", "idle")))}
    assert missing["entry_bytes"] == "history"
    assert missing["pointer_us"] == "pointers"
    assert "connection_bytes" not in missing


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"reports": [{}]}', b'{"reports": 3}'])
def test_a_file_of_something_else_is_refused_by_its_name(content: bytes) -> None:
    with pytest.raises(Unreadable, match=r"found\.json: not written by folkmoot bench"):
        results_in(content, "found.json")


def test_every_cost_names_a_measure_that_there_is() -> None:
    assert {cost.scenario for cost in COSTS} <= set(SCENARIOS)


def test_what_was_tried_with_other_settings_is_no_base(report: Report, file: File) -> None:
    for what in ({"settings": {"x": "1"}}, {"workers": 2}, {"cluster": True}):
        plan = {"sockets": 13_000, "members": 130, **what}
        assert measured_of(results_in(file(report("fanout", plan=plan)), "a file")) == {}


def test_a_cluster_tells_of_sends_what_appends_cost(report: Report, file: File) -> None:
    figures = {
        "router_us_per_append": 400.0, "driver_us_per_append": 200.0, "delivery_us_per_send": 30.0,
        "cassandra_us_per_append": 500.0, "entries_per_append": 2.0,
    }  # fmt: skip
    plan = {"sockets": 1_000, "members": 2, "cluster": True}
    on_cluster = report("sends", plan=plan, runs=[{"figures": figures}], at="2025-01-01T00:00:00+00:00")
    found = measured_of(results_in(file(on_cluster, report("sends"), report("roles")), "a file"))
    assert found["router_send_us"].median == 330
    assert found["append_us"].median == 250
