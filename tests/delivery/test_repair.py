"""What finds lost copies: announcements and sweeps compared with the store."""

import asyncio
from collections.abc import Mapping

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.delivery.repair import heads_past, sweep
from folkmoot.testing.store_suite import Author


class NoTime:
    """A clock whose waits are over at once, and are remembered."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def wall_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.slept_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


def test_only_feeds_that_are_behind_are_told() -> None:
    async def run() -> None:
        store = MemoryStore(Disk())
        author = Author(store)
        await author.make()
        await author.say("a", "b")
        group = author.group
        assert await heads_past(store, {group: 3}) == {}
        assert await heads_past(store, {group: 1}) == {group: 3}
        assert await heads_past(store, {group: None, "gnone": 4}) == {}

    asyncio.run(run())


def test_a_sweep_tells_every_head_spread_over_its_time_and_survives_a_store_that_is_away() -> None:
    async def run() -> None:
        disk = Disk()
        store = MemoryStore(disk)
        groups = []
        for n in range(3):
            author = Author(store, f"make{n}")
            await author.make()
            groups.append(author.group)
        told: dict[str, int] = {}

        def tell(heads: Mapping[str, int]) -> None:
            told.update(heads)

        clock = NoTime()
        await sweep(store, clock, groups, duration_s=10, tell=tell)
        assert told == dict.fromkeys(groups, 1)
        assert clock.slept_s == 10
        disk.away = True
        await sweep(store, clock, groups, duration_s=10, tell=tell)
        await sweep(store, clock, [], duration_s=10, tell=tell)
        assert clock.slept_s == 30

    asyncio.run(run())
