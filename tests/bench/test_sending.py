"""Sends become durable, at a rate and as fast as answers come."""

from collections.abc import Callable

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
