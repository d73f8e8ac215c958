"""Readiness: why no sends are taken is said, and the store is asked no more than once in a while."""

import asyncio
from collections.abc import Sequence

import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.node.readiness import ANSWER_S_MAX, BUS_AWAY_S_MAX, LOOK_AGAIN_S, Readiness
from folkmoot.ports.store import MovedPointer, StoreUnknown


class Hands:
    """A clock whose hands are moved by the test."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def wall_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None: ...


class AskedStore(MemoryStore):
    """Counts how often it is asked, and can fail, or hang until it is let go."""

    asked = 0
    fails = False
    let_go: asyncio.Event | None = None

    async def move_pointers(self, pointers: Sequence[MovedPointer]) -> None:
        self.asked += 1
        assert pointers == []
        if self.let_go is not None:
            await self.let_go.wait()
        if self.fails:
            raise StoreUnknown
        await super().move_pointers(pointers)


def a_readiness(store: MemoryStore, clock: Hands, *, answer_s: float = ANSWER_S_MAX) -> Readiness:
    return Readiness(store, clock, draining=lambda: False, bus_away_s=lambda: 0.0, answer_s=answer_s)


def test_each_reason_is_said() -> None:
    async def run() -> None:
        draining, away_s = False, 0.0
        disk, clock = Disk(), Hands()
        store = AskedStore(disk)
        readiness = Readiness(store, clock, draining=lambda: draining, bus_away_s=lambda: away_s)
        assert await readiness.why_not() == "starting"
        readiness.started = True
        assert await readiness.why_not() == ""
        for change, why in (("away", "the store is away"), ("full", "the disk is full: sends are refused")):
            setattr(disk, change, True)
            clock.now_s += LOOK_AGAIN_S
            assert await readiness.why_not() == why
            setattr(disk, change, False)
            clock.now_s += LOOK_AGAIN_S
            assert await readiness.why_not() == ""
        store.fails = True
        clock.now_s += LOOK_AGAIN_S
        assert await readiness.why_not() == "writes to the store fail"
        away_s = BUS_AWAY_S_MAX
        clock.now_s += LOOK_AGAIN_S
        store.fails = False
        assert await readiness.why_not() == ""
        away_s += 0.1
        assert await readiness.why_not() == "the bus is away"
        draining = True
        assert await readiness.why_not() == "draining: this server stops"
        await readiness.close()

    asyncio.run(run())


def test_whoever_asks_often_costs_the_store_nothing_more() -> None:
    async def run() -> None:
        clock = Hands()
        store = AskedStore(Disk())
        readiness = a_readiness(store, clock)
        readiness.started = True
        for _ in range(100):
            assert await readiness.why_not() == ""
        assert store.asked == 1
        clock.now_s += LOOK_AGAIN_S
        await readiness.why_not()
        assert store.asked == 2

    asyncio.run(run())


def test_a_store_that_hangs_is_waited_for_a_moment_and_by_one_look_only() -> None:
    async def run() -> None:
        clock = Hands()
        store = AskedStore(Disk())
        store.let_go = asyncio.Event()
        readiness = a_readiness(store, clock, answer_s=0.01)
        readiness.started = True
        for _ in range(3):
            assert await readiness.why_not() == "the store does not answer"
            clock.now_s += LOOK_AGAIN_S
        assert store.asked == 1
        store.let_go.set()
        assert await readiness.why_not() == ""
        store.let_go.clear()
        clock.now_s += LOOK_AGAIN_S
        assert await readiness.why_not() == "the store does not answer"
        await readiness.close()
        assert readiness._look is not None
        assert readiness._look.cancelled()

    asyncio.run(run())


@pytest.mark.parametrize("started", [True, False])
def test_one_that_nobody_asked_closes(started: bool) -> None:
    async def run() -> None:
        readiness = a_readiness(MemoryStore(Disk()), Hands())
        readiness.started = started
        await readiness.close()

    asyncio.run(run())
