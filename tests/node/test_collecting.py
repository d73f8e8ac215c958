"""The collector looks at what is new once: what outlives that is set aside, and still found when all is looked at."""

import asyncio
import gc
import weakref

import pytest

from folkmoot.node import collecting as node_collecting
from folkmoot.node.collecting import ALL_INTERVAL_S, collect_all, collecting, collecting_the_young


class Thing:
    """May be in a cycle."""

    def __init__(self) -> None:
        self.itself: Thing | None = None


def test_what_outlives_a_young_collection_is_set_aside_and_found_when_all_is_looked_at() -> None:
    with collecting_the_young():
        kept, young = Thing(), Thing()
        gc.collect(0)
        kept.itself, young.itself = kept, young
        gone = weakref.ref(kept)
        del kept
        gc.collect()
        assert gone() is not None
        collect_all()
        assert gone() is None
        # What is new is looked at as ever.
        fresh = Thing()
        fresh.itself = fresh
        freed = weakref.ref(fresh)
        del fresh
        gc.collect(0)
        assert freed() is None


def test_afterwards_what_is_new_is_looked_at_as_before() -> None:
    before = (gc.get_threshold(), list(gc.callbacks))
    with collecting_the_young():
        assert gc.get_threshold() != before[0]
    assert (gc.get_threshold(), gc.callbacks) == before


class HourClock:
    """Each sleep is over at once, once."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.again = asyncio.Event()

    def wall_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) > 1:
            self.again.set()
            await asyncio.Event().wait()


def test_while_a_process_serves_all_is_looked_at_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    async def run() -> None:
        clock = HourClock()
        # The look itself walks all that the tests before have made, which is no step for a loop.
        monkeypatch.setattr(node_collecting, "collect_all", lambda: looks.append(clock.slept[-1]))
        async with collecting(clock), asyncio.timeout(5):
            await clock.again.wait()
        assert clock.slept == [ALL_INTERVAL_S] * 2

    asyncio.run(run())
    assert looks == [ALL_INTERVAL_S]
