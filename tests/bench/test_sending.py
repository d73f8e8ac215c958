"""Sends become durable, at a rate and as fast as answers come, on one machine and on a real cluster."""

from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.bench.plan import Plan
from folkmoot.bench.run import Run


@pytest.mark.parametrize("rate_per_s", [50.0, 0.0])
def test_sends_become_durable(ran: Callable[[Plan], Run], rate_per_s: float) -> None:
    run = ran(Plan(scenario="sends", sockets=20, members=2, rate_per_s=rate_per_s, seconds=1.0, warm_s=0.2))
    figures = run.figures
    if rate_per_s:
        assert 0 < figures["sends_per_s"] <= 60
    assert figures["commits_per_s"] > 0
    assert figures["answer_ms_p50"] <= figures["latency_ms_p99"]
    assert run.series["answer"]


def test_what_several_workers_cost_is_what_all_their_processes_do(ran: Callable[[Plan], Run]) -> None:
    plan = Plan(scenario="sends", workers=2, sockets=20, members=2, rate_per_s=50.0, seconds=1.0, warm_s=0.2)
    assert 0 < ran(plan).figures["sends_per_cpu_s"] < 5_000


@pytest.mark.timeout(200)
def test_sends_become_durable_on_a_cluster_and_each_part_has_its_cost(
    ran: Callable[[Plan], Run], cassandra_program: Path
) -> None:
    plan = Plan(
        scenario="sends",
        cluster=True,
        sockets=8,
        members=2,
        unanswered=8,
        rate_per_s=0.0,
        seconds=2.0,
        # The first conditional writes of a new node take seconds.
        warm_s=6.0,
    )
    figures = ran(plan).figures
    # How many share an append is a matter of times.
    assert figures["entries_per_append"] >= 1
    assert figures["appends_per_s"] * figures["entries_per_append"] == pytest.approx(figures["sends_per_s"], rel=0.5)
    for cost in ("router_us_per_append", "driver_us_per_append", "cassandra_us_per_append", "bus_us_per_send"):
        assert figures[cost] > 1
    assert figures["conflicts_per_s"] == 0
