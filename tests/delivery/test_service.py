"""Delivery: one push an edge, hints to who was added, heads repeated, and announcements compared with the store."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.delivery.service import Delivery
from folkmoot.model.ids import partition_of
from folkmoot.model.partitions import ALL
from folkmoot.ports import subjects
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.ports.subjects import Announce, Announced, Heads, Hint, Online, PointerMoved, Push, Recall, Stored
from folkmoot.testing.store_suite import Author


class Ear:
    """An edge that hears what is pushed to it."""

    def __init__(self, bus: MemoryBus, edge: str) -> None:
        self.edge = edge
        self.pushes: list[Push] = []
        self._bus = bus
        self._changed = asyncio.Event()
        bus.subscribe(subjects.push(edge), self._hear)

    async def announce(
        self, *groups: str, seq: int | None = None, gone: list[str] | None = None, whole: list[int] | None = None
    ) -> str:
        by_group: dict[str, int | None] = dict.fromkeys(groups, seq)
        partition = whole[0] if whole else partition_of([*groups, *(gone or [])][0])
        return await self._ask(subjects.announce(partition), Announce(self.edge, by_group, gone or [], whole or []))

    async def online(self, *users: str, whole: list[int] | None = None) -> str:
        partition = whole[0] if whole else partition_of(users[0])
        return await self._ask(subjects.online(partition), Online(self.edge, list(users), [], whole or []))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _ask(self, subject: str, message: msgspec.Struct) -> str:
        raw = await self._bus.request(subject, msgspec.msgpack.encode(message), timeout_s=5)
        return msgspec.msgpack.decode(raw, type=Announced).incarnation

    def _hear(self, raw: bytes, _: object) -> None:
        self.pushes.append(msgspec.msgpack.decode(raw, type=Push))
        self._changed.set()


Test = Callable[[MemoryBus, Author, Delivery], Awaitable[None]]


def run(test: Test) -> None:
    async def body() -> None:
        bus, store = MemoryBus(), MemoryStore(Disk())
        author = Author(store)
        await author.make("user-2")
        await author.say("a", "b")
        delivery = Delivery(store, bus, SystemClock(), SystemChance())
        await delivery.start()
        await test(bus, author, delivery)
        await delivery.stop()

    asyncio.run(body())


def test_entries_go_once_to_each_edge_that_has_members_of_the_group() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        one, two, other = Ear(bus, "e1"), Ear(bus, "e2"), Ear(bus, "e3")
        await one.announce(author.group)
        await two.announce(author.group)
        await other.announce("gother")
        stored = Stored(author.group, await author.log())
        bus.publish(subjects.entries(author.group), msgspec.msgpack.encode(stored))
        await one.until(lambda: one.pushes == [stored])
        await two.until(lambda: two.pushes == [stored])
        assert other.pushes == []
        await one.announce(gone=[author.group])
        bus.publish(subjects.entries(author.group), msgspec.msgpack.encode(stored))
        await two.until(lambda: len(two.pushes) == 2)
        assert len(one.pushes) == 1
        assert delivery.statistics()["pushes"] >= 3

    run(test)


def test_who_was_added_is_hinted_at_where_they_are_online() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        ear, deaf = Ear(bus, "e1"), Ear(bus, "e2")
        await ear.online("user-2")
        await deaf.online("user-3")
        stored = Stored(author.group, await author.log())
        bus.publish(subjects.entries(author.group), msgspec.msgpack.encode(stored))
        await ear.until(lambda: Hint(author.group, ["user-2"], 1) in ear.pushes)
        assert deaf.pushes == []

    run(test)


def test_an_announcement_behind_the_store_is_told_the_head() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        ear = Ear(bus, "e1")
        await ear.announce(author.group, seq=1)
        await ear.until(lambda: ear.pushes == [Heads({author.group: 3})])
        await ear.announce(author.group, seq=3)
        await ear.announce(author.group, seq=None)
        assert len(ear.pushes) == 1

    run(test)


def test_repeated_heads_and_pointers_go_where_they_concern() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        ear, other = Ear(bus, "e1"), Ear(bus, "e2")
        await ear.announce(author.group)
        await ear.online("user-2")
        await other.online("user-3")
        heads, moved = Heads({author.group: 9, "gother": 1}), PointerMoved(author.group, "user-2", 2, 1)
        bus.publish(subjects.heads(partition_of(author.group)), msgspec.msgpack.encode(heads))
        bus.publish(subjects.pointers("user-2"), msgspec.msgpack.encode(moved))
        await ear.until(lambda: len(ear.pushes) == 2)
        assert ear.pushes == [Heads({author.group: 9}), moved]
        assert other.pushes == []

    run(test)


def test_each_life_has_an_incarnation_of_its_own_and_recalls_the_edges() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        ear, recalls = Ear(bus, "e1"), list[str]()
        bus.subscribe(
            subjects.RECALL, lambda raw, _: recalls.append(msgspec.msgpack.decode(raw, type=Recall).incarnation)
        )
        before = await ear.announce(author.group)
        assert before == await ear.online("user-2")
        await delivery.stop()
        again = Delivery(author.store, bus, SystemClock(), SystemChance())
        await again.start()
        after = await ear.announce(author.group)
        assert after != before
        assert recalls == [after]
        await again.stop()

    run(test)


def give_up_all(delivery: Delivery) -> None:
    delivery.own(frozenset())
    for _ in range(2):
        delivery._release()


def test_until_an_edge_has_told_of_a_partition_taken_over_it_is_pushed_everything() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        told, silent = Ear(bus, "e1"), Ear(bus, "e2")
        partition = partition_of(author.group)
        recalls = list[Recall]()
        bus.subscribe(subjects.RECALL, lambda raw, _: recalls.append(msgspec.msgpack.decode(raw, type=Recall)))
        give_up_all(delivery)
        delivery.see_edges(["e1", "e2"])
        delivery.own(frozenset({partition}))
        await told.announce(whole=[partition])
        assert recalls[-1].partitions == [partition]
        stored = Stored(author.group, await author.log())
        bus.publish(subjects.entries(author.group), msgspec.msgpack.encode(stored))
        await silent.until(lambda: silent.pushes == [stored])
        assert told.pushes == []
        await silent.announce(author.group, seq=3, whole=[partition])
        await told.announce(author.group, seq=3)
        bus.publish(subjects.entries(author.group), msgspec.msgpack.encode(stored))
        await silent.until(lambda: len(silent.pushes) == 2)
        await told.until(lambda: len(told.pushes) == 1)

    run(test)


def test_hints_and_pointers_too_go_to_who_has_not_told_of_its_users() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        told, silent = Ear(bus, "e1"), Ear(bus, "e2")
        partition = partition_of("user-2")
        give_up_all(delivery)
        delivery.see_edges(["e1", "e2"])
        delivery.own(frozenset({partition, partition_of(author.group)}))
        await told.online(whole=[partition])
        hint = Hint(author.group, ["user-2"], 1)
        bus.publish(subjects.hints("user-2"), msgspec.msgpack.encode(hint))
        moved = PointerMoved(author.group, "user-2", 2, 1)
        bus.publish(subjects.pointers("user-2"), msgspec.msgpack.encode(moved))
        await silent.until(lambda: silent.pushes == [hint, moved])
        assert told.pushes == []

    run(test)


def test_what_another_is_about_to_own_is_pushed_until_it_has_had_time_to_listen() -> None:
    # An owner says that it lives before it listens. What came in between was heard by the last one, who had forgotten
    # at once to whom it should go: messages stood still for a second whenever a delivery joined.
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        ear = Ear(bus, "e1")
        await ear.announce(author.group)
        delivery.own(ALL - {partition_of(author.group)})
        delivery._release()
        stored = Stored(author.group, await author.log())
        bus.publish(subjects.entries(author.group), msgspec.msgpack.encode(stored))
        await ear.until(lambda: stored in ear.pushes)

    run(test)


def test_what_comes_back_before_it_was_let_go_is_kept() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        await Ear(bus, "e1").announce(author.group)
        delivery.own(frozenset())
        delivery._release()
        delivery.own(ALL)
        delivery._release()
        assert delivery.statistics()["groups"] == 1

    run(test)


def test_what_another_owns_is_forgotten_and_asked_for_when_it_comes_back() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        ear = Ear(bus, "e1")
        partition = partition_of(author.group)
        await ear.announce(author.group)
        delivery.own(ALL - {partition})
        for _ in range(2):
            delivery._release()
        assert delivery.statistics()["groups"] == 0
        delivery.see_edges(["e1"])
        delivery.own(ALL)
        stored = Stored(author.group, await author.log())
        bus.publish(subjects.entries(author.group), msgspec.msgpack.encode(stored))
        await ear.until(lambda: stored in ear.pushes)

    run(test)


def test_where_another_router_routes_the_groups_there_are_compared_with_the_store() -> None:
    async def test(bus: MemoryBus, author: Author, delivery: Delivery) -> None:
        ear = Ear(bus, "e1")
        await ear.announce(author.group, seq=None)
        await ear.announce("gother", seq=None)
        delivery.routers_moved(frozenset({partition_of(author.group)}))
        await ear.until(lambda: ear.pushes == [Heads({author.group: 3})])

    run(test)
