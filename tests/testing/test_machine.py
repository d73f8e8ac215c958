"""A client's machine: what is on its disk is there after a crash, what is not is done again."""

from folkmoot.checker.laws import judge_run
from folkmoot.testing.happenings import Asked, Took
from folkmoot.testing.plan import Fault, Step, small_plan
from folkmoot.testing.simulation import Run, run_plan


def run_with(*faults: Fault) -> Run:
    run = run_plan(small_plan(faults=faults))
    assert judge_run(run) == []
    return run


def took(run: Run) -> list[int]:
    return [h.seq for h in run.happenings if isinstance(h, Took) and h.who == "user-2/phone"]


def test_a_crashed_client_goes_on_from_its_disk_and_applies_nothing_twice() -> None:
    run = run_with(Fault(at_s=1.2, kind="crash", target="user-2/phone", lasts_s=1.5, steps=1))
    assert took(run) == list(range(1, 8))


def test_one_that_is_set_back_applies_again_what_it_has_forgotten() -> None:
    run = run_with(Fault(at_s=2.7, kind="roll back", target="user-2/phone", lasts_s=2.0))
    assert took(run) != list(range(1, 8))
    assert took(run)[-1] == 7


def test_what_is_to_be_done_while_it_is_off_is_done_afterwards() -> None:
    plan = small_plan(faults=(Fault(at_s=0.4, kind="crash", target="user-2/phone", lasts_s=3.0, steps=1),))
    run = run_plan(plan)
    asked = [h.at_ms for h in run.happenings if isinstance(h, Asked) and h.user == "user-2"]
    assert len(asked) == 3
    assert min(asked) > 3_000


def test_a_send_given_up_is_one_thing_or_the_other() -> None:
    plan = small_plan()
    skip = Step(at_s=1.0001, who="user-2/phone", what="skip", group="g", send_id="s1")
    plan.steps.append(skip)
    assert judge_run(run_plan(plan)) == []
