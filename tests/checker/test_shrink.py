"""A failing plan is cut down to what makes it fail, and still fails."""

import msgspec

from folkmoot.checker.shrink import fails, shrunk
from folkmoot.testing.plan import Fault, small_plan

LAWS = frozenset({"stuck"})


def test_what_does_not_make_it_fail_is_left_out() -> None:
    others = tuple(Fault(at_s=0.6 + n / 10, kind="double", rate=0.2, lasts_s=0.5) for n in range(4))
    # Nobody has in no time at all what was said a moment ago.
    plan = msgspec.structs.replace(small_plan(faults=others), lasts_s=1.0005, heal_s_max=0.0)
    assert fails(plan, LAWS)
    smallest = shrunk(plan, LAWS)
    assert fails(smallest, LAWS)
    assert smallest.faults == []
    assert len(smallest.steps) < len(plan.steps)
    assert (smallest.gateways, smallest.routers, smallest.deliveries) == (1, 1, 1)


def test_in_no_time_it_stays_as_it_was() -> None:
    plan = msgspec.structs.replace(small_plan(), lasts_s=1.0005, heal_s_max=0.0)
    assert shrunk(plan, LAWS, seconds_max=0) == plan
