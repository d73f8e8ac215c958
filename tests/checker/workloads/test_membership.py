"""The workload of memberships that begin and end: its plans are the seed's, and some of them are clean."""

import pytest

from folkmoot.checker.laws import judge_run
from folkmoot.checker.workloads.membership import plan_of
from folkmoot.testing.simulation import run_plan


def test_a_seed_has_one_plan_in_which_members_come_and_go() -> None:
    assert plan_of(5) == plan_of(5) != plan_of(6)
    assert {"add", "remove"} <= {step.what for step in plan_of(5).steps}


@pytest.mark.parametrize("seed", range(900_000, 900_005))
def test_some_seeds_are_clean(seed: int) -> None:
    assert judge_run(run_plan(plan_of(seed))) == []
