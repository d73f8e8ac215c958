"""Running a plan: the world boots, steps and faults come when due, all heals, and everybody has to catch up."""

import asyncio
import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from folkmoot.client.errors import ClientError
from folkmoot.model.ids import GroupId, UserId
from folkmoot.protocol.events import GroupRow
from folkmoot.testing.faults import Trouble
from folkmoot.testing.happenings import Happening, Noted
from folkmoot.testing.plan import Plan
from folkmoot.testing.virtual_loop import Deadlock, Livelock
from folkmoot.testing.world import GroupEnd, World

LOOK_S = 0.25
LINGER_S = 2.0
"""What is late is waited for once everybody has everything: it must change nothing."""

LIST_S_MAX = 40.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a plan. `restores`: how many happenings stood before each, and whether the epoch was raised.

    `rows`: each machine's list of groups at the end. `faults`: how often each kind struck. `healed_s`: how long it took
    until everybody had everything.
    """

    plan: Plan
    happenings: list[Happening]
    ends: dict[GroupId, GroupEnd]
    rows: dict[str, list[GroupRow]]
    behind: list[str]
    strange: list[str]
    breaches: list[tuple[str, str]]
    given: dict[tuple[UserId, GroupId], list[tuple[int, str]]]
    faults: dict[str, int]
    restores: list[tuple[int, bool]]
    virtual_s: float
    healed_s: float
    steps: int


def run_plan(plan: Plan) -> Run:
    """Run the plan. The same plan gives the same run, in whatever process."""
    collecting = gc.isenabled()
    # What is collected in the middle of a run would run at a place that no seed decides.
    gc.disable()
    try:
        world = World(plan)
        with _listened(world):
            return _Conductor(world).run()
    finally:
        if collecting:
            gc.enable()


class _Conductor:
    def __init__(self, world: World) -> None:
        self._world = world
        self._trouble = Trouble(world)
        self._healed_s = 0.0
        self._behind: list[str] = []
        self._rows: dict[str, list[GroupRow]] = {}

    def run(self) -> Run:
        world = self._world
        try:
            world.loop.run(self._conduct())
        except (Deadlock, Livelock) as stopped:
            world.strange(f"{type(stopped).__name__}: {stopped}")
        return Run(
            plan=world.plan,
            happenings=world.happenings,
            ends=world.ends(),
            rows=self._rows,
            behind=self._behind,
            strange=[*world.strangeness, *world.loop.unhandled],
            breaches=world.breaches,
            given={key: list(entries) for key, entries in world.all_given.items()},
            faults=world.weather.counts,
            restores=self._trouble.restores,
            virtual_s=world.loop.time(),
            healed_s=self._healed_s,
            steps=world.loop.steps,
        )

    async def _conduct(self) -> None:
        world, loop, plan = self._world, self._world.loop, self._world.plan
        await world.boot()
        for step in plan.steps:
            loop.call_later(step.at_s, world.machines[step.who].do, step)
        self._trouble.schedule()
        await asyncio.sleep(plan.lasts_s)
        self._trouble.over()
        world.heal()
        world.record(Noted(at_ms=world.now_ms(), who="world", what="healed"))
        healed_s = loop.time()
        behind = await self._caught_up(healed_s + plan.heal_s_max)
        self._healed_s = loop.time() - healed_s
        while not behind:
            await asyncio.sleep(LINGER_S)
            if not world.behind():
                break
            behind = await self._caught_up(healed_s + plan.heal_s_max)
        self._behind = behind
        if not behind:
            await self._list_groups()
            # Read pointers on their way to the store are counted in what was told.
            await asyncio.sleep(LINGER_S)

    async def _caught_up(self, until_s: float) -> list[str]:
        """Wait until everybody has everything; who has not by then."""
        world, loop = self._world, self._world.loop
        while (behind := world.behind()) and loop.time() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        return behind

    async def _list_groups(self) -> None:
        """Ask every client for its groups: what it is told of unread messages is judged too."""
        for machine in self._world.machines.values():
            client, process = machine.client, machine.process
            if client is None or process is None:
                continue
            with suppress(TimeoutError, ClientError):
                async with asyncio.timeout(LIST_S_MAX):
                    self._rows[machine.name] = (await process.spawn(client.groups())).groups


class _Ear(logging.Handler):
    """Errors that production code logs are errors of the run: nothing logs one that is not."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._world.strange(f"logged: {record.getMessage()}" + (f": {error!r}" if error is not None else ""))


@contextmanager
def _listened(world: World) -> Iterator[None]:
    log = logging.getLogger("folkmoot")
    ear, propagated = _Ear(world), log.propagate
    log.addHandler(ear)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(ear)
        log.propagate = propagated
