"""A plan gives the same run, byte for byte; what production code logs as an error is part of the run."""

import logging

import msgspec
import pytest

from folkmoot.testing.plan import Fault, Plan, small_plan
from folkmoot.testing.simulation import Run, run_plan
from folkmoot.testing.world import World

FAULTS = (Fault(at_s=0.5, kind="lose", lasts_s=2.0, rate=0.3), Fault(at_s=1.0, kind="kill", target="router-1"))


def seen(run: Run) -> bytes:
    return msgspec.msgpack.encode(run.happenings)


def test_the_same_plan_gives_the_same_run_and_another_seed_another() -> None:
    first, again, other = (run_plan(small_plan(seed=seed, faults=FAULTS)) for seed in (1, 1, 2))
    assert seen(first) == seen(again) != seen(other)


def test_errors_that_are_logged_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = World.boot

    async def boot_badly(self: World) -> None:
        logging.getLogger("folkmoot.router.service").error("something is wrong")
        await boot(self)

    monkeypatch.setattr(World, "boot", boot_badly)
    plan: Plan = small_plan(says=1)
    assert any("something is wrong" in line for line in run_plan(plan).strange)
