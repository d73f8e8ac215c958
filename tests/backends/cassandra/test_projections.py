"""Projections are never trusted alone: whoever left them behind, what is shown is what the log says."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings, connect
from folkmoot.backends.cassandra.projections import Projections
from folkmoot.model.membership import Membership
from folkmoot.ports.store import Conflict, StoreAway, Write
from folkmoot.testing.cassandra_harness import CassandraHarness
from folkmoot.testing.store_suite import OTHER, OWNER, Author

pytestmark = pytest.mark.cassandra

Keyspace = Callable[[int], CassandraSettings]


def test_what_a_dead_router_left_behind_is_brought_on_by_who_looks(
    keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = CassandraHarness(keyspace(8))

    async def lost(*_: object) -> None:
        raise StoreAway("killed here")

    async def run() -> None:
        author = Author(await harness.open())
        await author.make(OTHER)
        with monkeypatch.context() as killed:
            killed.setattr(Projections, "after_change", lost)
            await author.ask(author.a_send("add", kind="member.added", body={"users": ["user-3"]}))
            await author.say("between")
        assert harness.stores[0].statistics()["projections_behind"] == 1
        # Whoever writes next brings them on before it adds to them.
        await author.ask(author.a_send("out", kind="member.removed", body={"user": OTHER}))
        with monkeypatch.context() as killed:
            killed.setattr(Projections, "after_change", lost)
            await author.ask(author.a_send("name", kind="group.renamed", body={"name": "other"}))
            await author.ask(author.a_send("l", kind="member.left", sender="user-3"))
        for _ in range(2):
            store = await harness.open_store()
            view = await store.view(author.group, "user-3")
            assert view is not None
            assert (view.name, view.members_count) == ("other", 1)
            assert view.memberships == (Membership(2, 6, "member"),)
            assert await store.members(author.group, after="", rows_max=9) == [(OWNER, Membership(1, None, "owner"))]
            assert await store.groups_of(OTHER, after="", rows_max=9) == []
            assert await store.groups_of(OWNER, after="", rows_max=9) == [author.group]
            state = await store.state(author.group)
            assert msgspec.structs.replace(state, memberships=dict(state.memberships)) == author.state
        assert store.statistics()["projections_brought_on"] == 0
        await harness.close()

    asyncio.run(run())


def test_who_was_listed_for_a_join_that_was_not_appended_is_shown_nothing(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = Author(await harness.open())
        await author.make()
        late = author.write(author.a_send("add", kind="member.added", body={"users": [OTHER]}))
        await author.say("first")
        with pytest.raises(Conflict):
            await author.store.append(late)
        driver = await connect(harness.settings, keyspace=harness.settings.keyspace)
        assert await driver.run(f"SELECT group_id FROM groups_of_user WHERE user = '{OTHER}'") == [(author.group,)]
        await driver.close()
        assert await author.store.groups_of(OTHER, after="", rows_max=9) == []
        await harness.close()

    asyncio.run(run())


def test_a_listing_and_an_unlisting_that_come_in_the_wrong_order_end_right(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = Author(await harness.open())
        await author.make(OTHER)
        writes: list[Write] = []
        for send_id, kind, body in (
            ("r", "member.removed", {"user": OTHER}),
            ("a", "member.added", {"users": [OTHER]}),
        ):
            writes.append(author.write(author.a_send(send_id, kind=kind, body=body)))
            author.state = msgspec.structs.replace(writes[-1].after, head=await author.store.append(writes[-1]))
        # The removal's projections are written once more, as by a router that woke up late.
        late = harness.stores[0]._projections
        await late.after_change(writes[0], 2)
        store = await harness.open()
        assert await store.groups_of(OTHER, after="", rows_max=9) == [author.group]
        view = await store.view(author.group, OTHER)
        assert view is not None
        assert view.memberships == (Membership(1, 2, "member"), Membership(3, None, "member"))
        await harness.close()

    asyncio.run(run())


def test_members_come_in_pages_though_many_left_and_came_back(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(1_000))

    async def run() -> None:
        author = Author(await harness.open())
        users = [f"u{n:03}" for n in range(130)]
        await author.make(*users)
        for n in range(0, 130, 2):
            await author.ask(author.a_send(f"r{n}", kind="member.removed", body={"user": users[n]}))
        for _ in range(3):
            await author.ask(author.a_send(f"a{_}", kind="member.added", body={"users": [users[0]]}))
            await author.ask(author.a_send(f"b{_}", kind="member.removed", body={"user": users[0]}))
        store = await harness.open()
        found: list[str] = []
        while page := await store.members(author.group, after=found[-1] if found else "", rows_max=9):
            found.extend(user for user, _ in page)
        assert found == sorted([OWNER, *users[1::2]])
        await harness.close()

    asyncio.run(run())


def test_a_view_costs_the_same_in_a_large_group(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(1_000))

    async def run() -> None:
        author = Author(await harness.open())
        await author.make(*(f"u{n:03}" for n in range(200)))
        await author.say(*(str(n) for n in range(50)))
        store = await harness.open_store()
        await store.view(author.group, OWNER)
        before = store.statistics()["requests"]
        await store.view(author.group, "u150")
        assert store.statistics()["requests"] - before == 3
        await harness.close()

    asyncio.run(run())
