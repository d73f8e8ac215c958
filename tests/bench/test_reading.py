"""What is asked for is read whole, by either door."""

from collections.abc import Callable
from typing import Literal

import pytest

from folkmoot.bench.plan import Plan
from folkmoot.bench.run import Run


@pytest.mark.parametrize("door", ["socket", "rest"])
def test_history_is_read_in_both_directions(ran: Callable[[Plan], Run], door: Literal["socket", "rest"]) -> None:
    plan = Plan(
        scenario="history", door=door, sockets=4, members=2, rate_per_s=40, seconds=1.0, warm_s=0.2, log_entries=300
    )
    run = ran(plan)
    assert 0 < run.figures["pages_per_s"] <= 48
    assert run.figures["page_bytes"] > 50 * 180
    assert run.figures["store_bytes_per_entry"] > 180
    assert run.series["forwards"]
    assert run.series["backwards"]


def test_lists_of_users_in_many_groups(ran: Callable[[Plan], Run]) -> None:
    plan = Plan(scenario="lists", sockets=3, members=3, groups_stored=30, rate_per_s=30, seconds=1.0, warm_s=0.2)
    run = ran(plan)
    assert 0 < run.figures["lists_per_s"] <= 36
    assert run.figures["chats_ms_p50"] > 0
    assert run.figures["groups_ms_p50"] > 0
