"""Read pointers: the newest move of each is written and told as it stands, and none that was taken is lost."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway import pointers as module
from folkmoot.gateway.feed import Feed
from folkmoot.gateway.pointers import TOLD_AT_ONCE_MAX, Pointers
from folkmoot.gateway.queries import Queries
from folkmoot.model.entry import Entry
from folkmoot.model.membership import Span
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import GroupView, MovedPointer, StoreAway, StoreUnknown
from folkmoot.ports.subjects import PointerMoved
from folkmoot.protocol import events as ev
from folkmoot.testing.edge import Edge, Talker
from folkmoot.testing.store_suite import OTHER, OWNER, Author


class SlowToWrite(MemoryStore):
    """A store that writes read pointers once `may_write` is set; `fails`: it then does not."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self.may_write, self.writing = asyncio.Event(), asyncio.Event()
        self.fails = False
        self.views = 0

    async def move_pointers(self, pointers: Sequence[MovedPointer]) -> None:
        self.writing.set()
        await self.may_write.wait()
        if self.fails:
            raise StoreUnknown
        await super().move_pointers(pointers)

    async def view(self, group: str, user: str) -> GroupView | None:
        self.views += 1
        return await super().view(group, user)


async def a_slow_group() -> tuple[SlowToWrite, Author]:
    """A store that is slow to write, and a group of two messages in it."""
    store = SlowToWrite(Disk())
    author = Author(store)
    await author.make(OTHER)
    await author.say("a", "b")
    return store, author


def told_on(bus: MemoryBus) -> list[PointerMoved]:
    told: list[PointerMoved] = []
    bus.subscribe("pointers.*", lambda raw, _: told.append(msgspec.msgpack.decode(raw, type=PointerMoved)))
    return told


async def stored(author: Author, user: str = OTHER) -> int:
    view = await author.store.view(author.group, user)
    assert view is not None
    return view.read


def test_the_newest_move_is_written_once_and_told() -> None:
    async def run() -> None:
        disk, bus = Disk(), MemoryBus()
        author = Author(MemoryStore(disk))
        await author.make(OTHER)
        await author.say("a", "b")
        told = told_on(bus)
        pointers = Pointers(author.store, bus)
        writes = len(disk.records)
        for seq in (1, 3, 2):
            pointers.move(OTHER, author.group, 1, seq)
        await pointers.flush()
        await pointers.flush()
        await asyncio.sleep(0)
        assert len(disk.records) == writes + 1
        assert told == [PointerMoved(author.group, OTHER, 3, 2)]
        assert await stored(author) == 3

    asyncio.run(run())


def test_a_move_that_could_not_be_written_is_not_lost() -> None:
    async def run() -> None:
        disk = Disk()
        author = Author(MemoryStore(disk))
        await author.make(OTHER)
        pointers = Pointers(author.store, MemoryBus())
        pointers.move(OTHER, author.group, 1, 1)
        disk.full = True
        await pointers.flush()
        disk.full = False
        await pointers.flush()
        assert await stored(author) == 1

    asyncio.run(run())


async def agrees_with_queries(edge: Edge, talker: Talker, pointer: ev.Pointer) -> None:
    view, membership = await edge.gateway.queries.view(talker.user, pointer.group)
    assert (pointer.read, pointer.unread) == (view.read, await edge.gateway.queries.unread_of(view, membership))


def test_a_device_that_marks_lower_moves_nothing_and_all_are_told_what_stands() -> None:
    async def run() -> None:
        author = Author(MemoryStore(Disk()))
        await author.make(OTHER)
        await author.say("a", "b", "c")
        async with Edge(author.store) as edge:
            phone, desk = await edge.member(OTHER), await edge.member(OTHER)
            for turn, (device, seq, expected) in enumerate(
                [(phone, 2, (2, 2)), (desk, 1, (2, 2)), (phone, 4, (4, 0)), (desk, 3, (4, 0))]
            ):
                device.say(ev.MarkRead(group=author.group, seq=seq))
                await edge.gateway.pointers.flush()
                for told in (phone, desk):
                    pointer = await told.wait(ev.Pointer, turn + 1)
                    assert (pointer.read, pointer.unread) == expected
                    await agrees_with_queries(edge, told, pointer)

    asyncio.run(run())


@pytest.mark.parametrize("history", ["join", "all"])
def test_what_came_before_a_join_is_not_told_as_unread(history: str) -> None:
    async def run() -> None:
        author = Author(MemoryStore(Disk()))
        await author.make(history=history)
        await author.say("a", "b", "c")
        await author.ask(author.a_send("add", kind="member.added", body={"users": [OTHER]}))
        await author.say("d")
        async with Edge(author.store) as edge:
            late = await edge.member(OTHER)
            for turn, seq in enumerate((1, 4, 5)):
                late.say(ev.MarkRead(group=author.group, seq=seq))
                await edge.gateway.pointers.flush()
                pointer = await late.wait(ev.Pointer, turn + 1)
                assert (pointer.read, pointer.unread) == (seq, 1)
                await agrees_with_queries(edge, late, pointer)

    asyncio.run(run())


def test_of_one_who_has_read_all_there_is_the_store_is_not_asked() -> None:
    class NeverRead(MemoryStore):
        async def read(self, group: str, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
            await asyncio.Event().wait()
            return []

    async def run() -> None:
        bus, store = MemoryBus(), SlowToWrite(Disk())
        store.may_write.set()
        author = Author(store)
        await author.make(OTHER)
        head = await author.say("a", "b")
        feed = Feed(author.group, NeverRead(Disk()), SystemClock(), lambda _: None)
        told, pointers = told_on(bus), Pointers(store, bus, lambda _: feed)

        async def asked(seq: int) -> bool:
            views = store.views
            pointers.move(OTHER, author.group, 1, seq)
            await pointers.flush()
            return store.views > views

        assert await asked(3)  # The feed has yet to begin.
        feed.start(head)
        assert not await asked(3)
        assert await asked(2)
        # It has heard of more than it has: what stands further on may be among that.
        feed.heard_head(4)
        assert await asked(3)
        await asyncio.sleep(0)
        assert told == [PointerMoved(author.group, OTHER, 3, 2)] * 4
        feed.end()

    asyncio.run(run())


def test_nothing_is_told_of_a_group_that_one_is_no_member_of_any_more() -> None:
    async def run() -> None:
        bus = MemoryBus()
        author = Author(MemoryStore(Disk()))
        await author.make(OTHER)
        told, pointers = told_on(bus), Pointers(author.store, bus)
        await author.ask(author.a_send("out", kind="member.removed", body={"user": OTHER}))
        for group in (author.group, "gnone"):
            pointers.move(OTHER, group, 1, 1)
        await pointers.flush()
        await asyncio.sleep(0)
        assert told == []
        assert pointers.waiting(OTHER, author.group) == 0

    asyncio.run(run())


def test_a_pointer_is_seen_while_it_is_written_and_a_later_move_too() -> None:
    async def run() -> None:
        store, author = await a_slow_group()
        pointers = Pointers(store, MemoryBus())
        queries = Queries(store, pointers)

        async def seen() -> int:
            return (await queries.view(OTHER, author.group))[0].read

        pointers.move(OTHER, author.group, 1, 2)
        flushing = asyncio.create_task(pointers.flush())
        await store.writing.wait()
        assert (await stored(author), await seen()) == (0, 2)
        pointers.move(OTHER, author.group, 1, 1)
        assert await seen() == 2
        pointers.move(OTHER, author.group, 1, 3)
        assert await seen() == 3
        store.may_write.set()
        await flushing
        assert (await stored(author), await seen()) == (2, 3)
        await pointers.flush()
        assert (await stored(author), pointers.waiting(OTHER, author.group)) == (3, 0)

    asyncio.run(run())


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_what_a_flush_had_taken_waits_again_where_it_came_to_nothing(how: str) -> None:
    async def run() -> None:
        store, author = await a_slow_group()
        pointers = Pointers(store, MemoryBus())
        pointers.move(OTHER, author.group, 1, 3)
        flushing = asyncio.create_task(pointers.flush())
        await store.writing.wait()
        pointers.move(OTHER, author.group, 1, 2)
        if how == "failed":
            store.fails = True
            store.may_write.set()
            await flushing
        else:
            flushing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await flushing
        assert pointers.waiting(OTHER, author.group) == 3
        store.fails = False
        store.may_write.set()
        await pointers.flush()
        assert (await stored(author), pointers.waiting(OTHER, author.group)) == (3, 0)

    asyncio.run(run())


def test_what_was_written_and_could_not_be_told_is_told_the_next_time() -> None:
    class AwayForOne(MemoryStore):
        away_for = OWNER

        async def view(self, group: str, user: str) -> GroupView | None:
            if user == self.away_for:
                raise StoreAway
            return await super().view(group, user)

    async def run() -> None:
        bus, store = MemoryBus(), AwayForOne(Disk())
        author = Author(store)
        await author.make(OTHER)
        told, pointers = told_on(bus), Pointers(store, bus)
        for user in (OWNER, OTHER):
            pointers.move(user, author.group, 1, 1)
        await pointers.flush()
        await asyncio.sleep(0)
        assert [moved.user for moved in told] == [OTHER]
        store.away_for = ""
        await pointers.flush()
        await asyncio.sleep(0)
        assert [moved.user for moved in told] == [OTHER, OWNER]

    asyncio.run(run())


def test_of_many_all_are_told_and_beyond_the_bound_none_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 2 * TOLD_AT_ONCE_MAX + 1
    monkeypatch.setattr(module, "POINTERS_WAITING_MAX", many)

    async def run() -> None:
        bus, store = MemoryBus(), SlowToWrite(Disk())
        author = Author(store)
        users = [f"reader-{n}" for n in range(many)]
        await author.make(*users, OTHER)
        told, pointers = told_on(bus), Pointers(store, bus)
        for user in users:
            pointers.move(user, author.group, 1, 1)
        flushing = asyncio.create_task(pointers.flush())
        await store.writing.wait()
        # What is being written counts, since it may come back.
        pointers.move(OTHER, author.group, 1, 1)
        assert pointers.waiting(OTHER, author.group) == 0
        store.may_write.set()
        await flushing
        await asyncio.sleep(0)
        assert sorted(moved.user for moved in told) == sorted(users)
        pointers.move(OTHER, author.group, 1, 1)
        assert pointers.waiting(OTHER, author.group) == 1

    asyncio.run(run())


@pytest.mark.parametrize("drained", [True, False])
def test_what_is_moved_until_the_gateway_has_stopped_is_written(drained: bool) -> None:
    async def run() -> None:
        store, author = await a_slow_group()
        edge = Edge(store)
        async with edge:
            if drained:
                store.may_write.set()
                await edge.gateway.drain()
                edge.gateway.pointers.move(OTHER, author.group, 1, 3)
            else:
                # As it is stopped, the tick is writing it.
                edge.gateway.pointers.move(OTHER, author.group, 1, 3)
                edge.gateway.spawn(edge.gateway.pointers.flush())
                await store.writing.wait()
                asyncio.get_running_loop().call_soon(store.may_write.set)
        assert await stored(author) == 3

    asyncio.run(run())
