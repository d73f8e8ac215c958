"""The feeds of an edge: opened once, announced, pushed to, compared with the store, closed when idle."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.feed import FeedEnded
from folkmoot.gateway.feeds import IDLE_S_MAX, Feeds
from folkmoot.ports.bus import Reply
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.subjects import Announce, Announced
from folkmoot.testing.store_suite import Author


class SetClock(SystemClock):
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.ahead_s


class Owner:
    """Whoever owns the partitions: it hears announcements, and answers with its incarnation."""

    def __init__(self, bus: MemoryBus) -> None:
        self.incarnation = "one"
        self.heard: list[Announce] = []
        bus.subscribe("announce.*", self._hear)

    def _hear(self, raw: bytes, reply: Reply | None) -> None:
        self.heard.append(msgspec.msgpack.decode(raw, type=Announce))
        if reply is not None:
            reply(msgspec.msgpack.encode(Announced(self.incarnation)))


class Bench:
    def __init__(self) -> None:
        self.bus, self.clock = MemoryBus(), SetClock()
        self.author = Author(MemoryStore(Disk()))
        self.owner = Owner(self.bus)
        self.feeds = Feeds("edge", self.author.store, self.bus, self.clock)


def run(test: Callable[[Bench], Awaitable[None]]) -> None:
    async def body() -> None:
        bench = Bench()
        await bench.author.make()
        await bench.author.say("a")
        await test(bench)
        await bench.feeds.close()

    asyncio.run(body())


def test_a_feed_is_opened_once_and_announced_before_its_head_is_read() -> None:
    async def test(bench: Bench) -> None:
        group = bench.author.group
        opened = await asyncio.gather(*(bench.feeds.open(group) for _ in range(5)))
        assert len({id(feed) for feed in opened}) == 1
        assert bench.owner.heard == [Announce("edge", {group: None})]
        assert opened[0].seq == 2
        assert await bench.feeds.open(group) is opened[0]
        assert bench.feeds.count() == 1

    run(test)


def test_a_group_that_is_not_there_has_no_feed() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(FeedEnded):
            await bench.feeds.open("gnone")
        assert bench.feeds.count() == 0

    run(test)


def test_a_feed_that_the_first_of_those_who_waited_for_it_ends_is_given_to_none_of_the_others() -> None:
    async def test(bench: Bench) -> None:
        group = bench.author.group

        async def ended_by_the_first() -> None:
            (await bench.feeds.open(group)).end()

        first, *others = await asyncio.gather(
            ended_by_the_first(), *(bench.feeds.open(group) for _ in range(2)), return_exceptions=True
        )
        assert first is None
        assert [type(other) for other in others] == [FeedEnded, FeedEnded]
        assert (await bench.feeds.open(group)).live

    run(test)


def test_a_new_incarnation_is_told_of_everything() -> None:
    async def test(bench: Bench) -> None:
        group = bench.author.group
        await bench.feeds.open(group)
        await bench.feeds.announce()
        assert bench.owner.heard[-1] == Announce("edge", {group: 2})
        bench.owner.incarnation = "two"
        await bench.feeds.announce([group])
        assert bench.owner.heard[-1] == Announce("edge", {group: 2})

    run(test)


def test_comparing_with_the_store_fills_a_feed_that_nobody_told() -> None:
    async def test(bench: Bench) -> None:
        feed = await bench.feeds.open(bench.author.group)
        await bench.author.say("b", "c")
        await bench.feeds.sweep(duration_s=0)
        await feed.bring_to(4)
        assert (feed.seq, feed.tally.filled) == (4, 2)

    run(test)


def test_a_store_below_the_feed_ends_it() -> None:
    async def test(bench: Bench) -> None:
        feed = await bench.feeds.open(bench.author.group)
        older = MemoryStore(Disk())
        bench.feeds._store = older
        await bench.feeds.sweep(duration_s=0)
        assert feed.dead
        assert (bench.feeds.count(), bench.feeds.broken) == (0, 1)

    run(test)


def test_a_store_with_another_entry_at_the_feeds_number_ends_it() -> None:
    async def test(bench: Bench) -> None:
        feed = await bench.feeds.open(bench.author.group)
        # Set back, and written to since: the number is the same, what stands there is not.
        other = Author(MemoryStore(Disk()))
        await other.make()
        await other.say("another")
        bench.feeds._store = other.store
        assert feed.seq == 2
        await bench.feeds.sweep(duration_s=0)
        assert feed.dead

    run(test)


def test_an_idle_feed_is_closed_after_its_time_and_said_so() -> None:
    async def test(bench: Bench) -> None:
        group = bench.author.group
        feed = await bench.feeds.open(group)
        await bench.feeds.close_idle()
        assert not feed.dead
        bench.clock.ahead_s = IDLE_S_MAX + 1
        await bench.feeds.close_idle()
        assert feed.dead
        assert bench.owner.heard[-1] == Announce("edge", {}, [group])

    run(test)


def test_without_an_owner_a_feed_compares_by_itself_and_announces_again() -> None:
    async def test(bench: Bench) -> None:
        # Nobody answers this announcement: as where delivery is away.
        bench.feeds._unacknowledged[bench.author.group] = None
        feed = await bench.feeds.open(bench.author.group)
        await bench.author.say("b")
        await bench.feeds.compare_unacknowledged()
        await feed.bring_to(3)
        assert bench.owner.heard[-1].groups == {bench.author.group: 2}
        assert bench.feeds.get(bench.author.group) is feed

    run(test)
