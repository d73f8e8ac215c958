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
