"""What is sent to many arrives at all of them, and is counted so, through the server and through the floor."""

import shutil
from collections.abc import Callable

import pytest

from folkmoot.bench.plan import Plan
from folkmoot.bench.run import Run


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_fanout_counts_what_it_sent(ran: Callable[[Plan], Run]) -> None:
    plan = Plan(scenario="fanout", sockets=40, members=20, rate_per_s=20, seconds=1.0, warm_s=0.5, acks_per_s=10)
    figures = ran(plan).figures
    assert figures["messages"] == 30
    assert figures["deliveries"] == 600
    # How many fall into the window is a matter of time; more than were asked for in it and while it warmed up cannot.
    assert 0 < figures["deliveries_per_s"] <= 600
    assert figures["latency_ms_p50"] <= figures["latency_ms_p99"]
    # What everyone has is stored by then, if not answered.
    assert figures["entries_per_commit"] >= 1
    assert figures["server_cpu_share"] > 0


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_floor_alone(ran: Callable[[Plan], Run]) -> None:
    run = ran(Plan(scenario="floor", sockets=40, members=20, rate_per_s=20, seconds=1.0, warm_s=0.5))
    assert run.figures["deliveries"] == 600
    assert run.series["floor_latency"]


def test_the_last_member_is_waited_for(ran: Callable[[Plan], Run]) -> None:
    run = ran(Plan(scenario="latency", sockets=40, members=20, rate_per_s=20, seconds=1.0, warm_s=0.5))
    figures = run.figures
    assert figures["deliveries"] == 600
    assert figures["latency_ms_p50"] <= figures["last_ms_p50"] <= figures["last_ms_p99"] <= figures["last_ms_p999"]
    assert run.series["last"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_blast_is_as_fast_as_it_is(ran: Callable[[Plan], Run]) -> None:
    figures = ran(Plan(scenario="blast", sockets=40, members=20, seconds=0.5, warm_s=0.2)).figures
    assert figures["deliveries_per_s"] > 0
    assert figures["floor_deliveries_per_s"] > 0
    # In CPU time, which others on the machine do not take: nobody does it for a half of what a loop over send() costs.
    assert 0 < figures["ratio_to_floor"] < 2


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_ladder_has_the_floor_beside_it_from_130_members_on(ran: Callable[[Plan], Run]) -> None:
    run = ran(Plan(scenario="ladder", sockets=130, members=130, rate_per_s=0, seconds=0.5, warm_s=0.2))
    assert run.figures["floor_us_of_130"] > 0
    assert "floor_us_of_10" not in run.figures


def test_the_ladder_has_a_step_for_each_size_that_there_are_sockets_for(ran: Callable[[Plan], Run]) -> None:
    run = ran(Plan(scenario="ladder", sockets=10, members=10, rate_per_s=20, seconds=0.5, warm_s=0.2))
    assert {name for name in run.figures if name.startswith("delivery_us")} == {"delivery_us_of_2", "delivery_us_of_10"}
    assert [members for members, _ in run.series["microseconds_by_members"]] == [2, 10]
