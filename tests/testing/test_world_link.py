"""Simulated connections: broken ones, held ones, and those on which one end reads nothing."""

from folkmoot.checker.laws import judge_run
from folkmoot.testing.plan import Fault, small_plan
from folkmoot.testing.simulation import run_plan


def connected(*faults: Fault) -> list[str]:
    """When user-2 connected, in milliseconds; everything else has to be as it should."""
    run = run_plan(small_plan(faults=faults))
    assert judge_run(run) == []
    return [str(h.at_ms) for h in run.happenings if getattr(h, "what", "") == "connected" and h.who == "user-2/phone"]  # type: ignore[union-attr]


def test_a_broken_connection_is_made_anew_also_where_the_client_has_to_notice_by_itself() -> None:
    assert len(connected()) == 1
    assert len(connected(Fault(at_s=1.0, kind="break", target="user-2/phone"))) == 2
    deaf = connected(Fault(at_s=1.0, kind="break", target="user-2/phone", other="server"))
    assert len(deaf) == 2
    assert int(deaf[1]) > 10_000


def test_what_a_cut_holds_back_goes_on_afterwards_on_the_same_connection() -> None:
    both = [Fault(at_s=1.0, kind="cut", target="user-2/phone", other=f"gateway-{n}", lasts_s=1.0) for n in (1, 2)]
    assert len(connected(*both)) == 1


def test_a_client_that_reads_nothing_for_a_while_misses_nothing() -> None:
    assert len(connected(Fault(at_s=1.0, kind="not reading", target="user-2/phone", lasts_s=2.0))) == 1
