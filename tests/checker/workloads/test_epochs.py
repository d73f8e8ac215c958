"""The workload of a store that is set back: its plans are the seed's, and some of them are clean."""

import pytest

from folkmoot.checker.laws import judge_run
from folkmoot.checker.workloads.epochs import plan_of
from folkmoot.testing.simulation import run_plan


def test_a_seed_has_one_plan() -> None:
    assert plan_of(5) == plan_of(5) != plan_of(6)
    kinds = {fault.kind for seed in range(20) for fault in plan_of(seed).faults}
    assert kinds >= {"restore"}


@pytest.mark.parametrize("seed", range(900_000, 900_005))
def test_some_seeds_are_clean(seed: int) -> None:
    assert judge_run(run_plan(plan_of(seed))) == []
