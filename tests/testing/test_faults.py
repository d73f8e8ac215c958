"""Every kind of fault begins, ends, is counted, and by itself breaks no law."""

import msgspec
import pytest

from folkmoot.checker.laws import judge_run
from folkmoot.testing.faults import BUS_RATES, MEANING, STORE_RATES
from folkmoot.testing.happenings import Faulted
from folkmoot.testing.plan import Fault, small_plan
from folkmoot.testing.simulation import run_plan

TARGETS = {
    "cut": ("router-1", "gateway-1"),
    "cut both": ("router-1", "delivery-1"),
    "kill": ("router-1", ""),
    "pause": ("gateway-1", ""),
    "believe gone": ("router-1", "router-2"),
    "clock jump": ("gateway-1", ""),
    "clock drift": ("gateway-1", ""),
    "restore": ("", "raised"),
    "crash": ("user-2/phone", ""),
    "break": ("user-2/phone", ""),
    "not reading": ("user-2/phone", ""),
    "roll back": ("user-2/phone", ""),
}


@pytest.mark.parametrize("kind", MEANING)
def test_a_fault_alone_breaks_no_law(kind: str) -> None:
    target, other = TARGETS.get(kind, ("", ""))
    rate = 0.5 if kind in BUS_RATES + STORE_RATES else 1.1
    fault = Fault(at_s=1.8, kind=kind, target=target, other=other, lasts_s=1.0, rate=rate, steps=1)
    run = run_plan(small_plan(faults=(fault,), heal_s_max=480.0))
    assert judge_run(run) == []
    assert any(isinstance(h, Faulted) and h.kind == kind for h in run.happenings)


def test_a_store_set_back_without_a_new_epoch_resets_whoever_is_past_it() -> None:
    fault = Fault(at_s=3.2, kind="restore", other="", lasts_s=1.5)
    run = run_plan(small_plan(faults=(fault,), heal_s_max=480.0))
    assert judge_run(run) == []
    assert any(getattr(h, "event", "") == "reset" for h in run.happenings)
    assert run.restores


def test_a_clock_that_is_put_right_ends_a_token_at_its_next_tick_only() -> None:
    """By the clock that was behind the token was good until then; by the others it has been over for seconds."""
    behind = [Fault(at_s=0.2, kind="clock jump", target=f"gateway-{n}", lasts_s=8.0, rate=-30.0) for n in (1, 2)]
    # It asks for no new token meanwhile, and is not idle yet.
    still = Fault(at_s=1.0, kind="pause", target="user-2/phone", lasts_s=9.0, steps=1)
    plan = small_plan(says=18, faults=(*behind, still))
    people = [plan.people[0], msgspec.structs.replace(plan.people[1], token_s=4.0)]
    assert judge_run(run_plan(msgspec.structs.replace(plan, people=people))) == []
