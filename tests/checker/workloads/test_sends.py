"""The workload of messages: its plans are the seed's, and what it finds in some of them is nothing."""

import pytest

from folkmoot.checker.laws import judge_run
from folkmoot.checker.workloads.sends import plan_of
from folkmoot.testing.simulation import run_plan


def test_a_seed_has_one_plan() -> None:
    assert plan_of(5) == plan_of(5) != plan_of(6)


@pytest.mark.parametrize("seed", range(900_000, 900_010))
def test_some_seeds_are_clean(seed: int) -> None:
    assert judge_run(run_plan(plan_of(seed))) == []
