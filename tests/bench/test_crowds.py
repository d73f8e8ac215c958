"""Crowds of connections, small ones: what they take is told."""

from collections.abc import Callable

from folkmoot.bench.plan import Plan
from folkmoot.bench.run import Run


def test_idle_connections_take_memory_and_little_time(ran: Callable[[Plan], Run]) -> None:
    plan = Plan(scenario="idle", sockets=200, members=50, rate_per_s=0, seconds=1.0, warm_s=0.1)
    figures = ran(plan).figures
    assert 0 < figures["rss_bytes_per_socket"] < 200_000
    assert figures["server_rss_bytes"] > figures["empty_rss_bytes"]
    assert figures["connect_cpu_ms_per_socket"] > 0


def test_all_come_back_to_a_server_that_was_killed(ran: Callable[[Plan], Run]) -> None:
    run = ran(Plan(scenario="storm", sockets=20, members=10, rate_per_s=20, seconds=3.0, warm_s=0.3, back_s_max=0.5))
    assert 0 < run.figures["restart_s"] <= run.figures["there_s_all"]
    assert run.figures["there_s_p50"] <= run.figures["there_s_all"]
    assert sum(count for _, count in run.series["there_by_second"]) <= 20


def test_all_join_at_once(ran: Callable[[Plan], Run]) -> None:
    figures = ran(Plan(scenario="joins", sockets=20, members=10, seconds=1.0, warm_s=0.2)).figures
    assert figures["there_s_all"] > 0
    assert figures["join_cpu_ms"] > 0
