"""Telling who asks: once for many who ask at a time, of every partition asked for, also where there is nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.announcer import Announcer
from folkmoot.gateway.feeds import Feeds
from folkmoot.gateway.presence import Presence
from folkmoot.model.ids import PARTITIONS, partition_of
from folkmoot.ports.bus import Reply
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.subjects import Announce, Announced, Online
from folkmoot.testing.store_suite import Author


class House:
    """An edge with one feed and one user, and an owner of everything that hears what is told."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.groups: list[Announce] = []
        self.users: list[Online] = []
        self.author = Author(MemoryStore(Disk()))
        self.feeds = Feeds("edge", self.author.store, self.bus, SystemClock())
        self.presence = Presence("edge", self.bus)
        self.tasks: list[asyncio.Task[None]] = []
        self.announcer = Announcer(self.feeds, self.presence, self._spawn)
        self.bus.subscribe("announce.*", self._on_announce)
        self.bus.subscribe("online.*", self._on_online)

    async def told(self) -> None:
        while not all(task.done() for task in self.tasks):
            await asyncio.gather(*self.tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    def _on_announce(self, raw: bytes, reply: Reply | None) -> None:
        self.groups.append(msgspec.msgpack.decode(raw, type=Announce))
        assert reply is not None
        reply(msgspec.msgpack.encode(Announced("i")))

    def _on_online(self, raw: bytes, reply: Reply | None) -> None:
        self.users.append(msgspec.msgpack.decode(raw, type=Online))
        assert reply is not None
        reply(msgspec.msgpack.encode(Announced("i")))


def run(test: Callable[[House], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(10):
            house = House()
            await house.author.make()
            await house.feeds.open(house.author.group)
            house.presence.add("user-1")
            house.groups.clear()
            await test(house)
            await house.feeds.close()

    asyncio.run(body())


def test_all_partitions_are_told_of_whole() -> None:
    async def test(house: House) -> None:
        house.announcer.recalled()
        await house.told()
        told = [partition for announce in house.groups for partition in announce.whole]
        assert sorted(told) == list(range(PARTITIONS))
        assert {g: seq for announce in house.groups for g, seq in announce.groups.items()} == {house.author.group: 1}
        assert sorted(p for online in house.users for p in online.whole) == list(range(PARTITIONS))
        assert [user for online in house.users for user in online.users] == ["user-1"]
        assert len(house.groups) == len(house.users) == 2

    run(test)


def test_only_what_was_asked_for_is_told_of() -> None:
    async def test(house: House) -> None:
        mine, empty = partition_of(house.author.group), (partition_of(house.author.group) + 1) % PARTITIONS
        house.announcer.recalled([mine, empty])
        await house.told()
        assert Announce("edge", {house.author.group: 1}, [], [mine]) in house.groups
        assert Announce("edge", {}, [], [empty]) in house.groups
        assert len(house.groups) == 2

    run(test)


def test_many_who_ask_at_a_time_are_told_once() -> None:
    async def test(house: House) -> None:
        for partition in range(40):
            house.announcer.recalled([partition])
        house.announcer.recalled([])
        await house.told()
        assert len(house.tasks) == 1
        assert sorted(p for announce in house.groups for p in announce.whole) == list(range(40))
        house.announcer.recalled([50])
        await house.told()
        assert house.groups[-1].whole == [50]

    run(test)
