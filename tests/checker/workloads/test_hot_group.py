"""The workload of one group that everybody writes to: its plans are the seed's, and some of them are clean."""

import pytest

from folkmoot.checker.laws import judge_run
from folkmoot.checker.workloads.hot_group import plan_of
from folkmoot.testing.simulation import run_plan


def test_a_seed_has_one_plan() -> None:
    assert plan_of(5) == plan_of(5) != plan_of(6)
    assert {plan_of(seed).routers for seed in range(20)} == {2, 3}


@pytest.mark.parametrize("seed", range(900_000, 900_005))
def test_some_seeds_are_clean(seed: int) -> None:
    assert judge_run(run_plan(plan_of(seed))) == []
