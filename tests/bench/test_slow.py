"""Slow readers, a few: the others get all there is meanwhile, and they themselves afterwards."""

from collections.abc import Callable

from folkmoot.bench.plan import Plan
from folkmoot.bench.run import Run


def test_the_others_miss_nothing_while_one_does_not_read(ran: Callable[[Plan], Run]) -> None:
    plan = Plan(scenario="slow", sockets=10, members=5, rate_per_s=20, seconds=0.6, warm_s=0.2, text_bytes=2_000)
    figures = ran(plan).figures
    # Of each message in that window four of five members are counted.
    assert figures["deliveries"] == figures["messages"] * 4
    assert figures["slow_cost_ratio"] > 0
    assert "rss_bytes_per_slow" in figures
