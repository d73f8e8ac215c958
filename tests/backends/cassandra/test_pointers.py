"""Read pointers go on over buckets, though a sender's is kept in the log until the next is opened."""

import asyncio
from collections.abc import Callable

import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings, connect
from folkmoot.ports.store import MovedPointer
from folkmoot.testing.cassandra_harness import CassandraHarness
from folkmoot.testing.store_suite import OTHER, OWNER, Author

pytestmark = pytest.mark.cassandra

Keyspace = Callable[[int], CassandraSettings]


def test_what_was_sent_in_an_older_bucket_was_read(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = Author(await harness.open())
        await author.make(OTHER)
        await author.say("mine", sender=OTHER)
        for n in range(30):
            await author.say(f"{n}")
            for store in (author.store, harness.stores[0]):
                view = await store.view(author.group, OTHER)
                assert view is not None
                assert view.read == 2
        fresh = await (await harness.open()).view(author.group, OTHER)
        assert fresh is not None
        assert fresh.read == 2
        own = await author.store.view(author.group, OWNER)
        assert own is not None
        assert own.read == author.state.head.seq
        await harness.close()

    asyncio.run(run())


def test_a_pointer_written_late_does_not_go_back(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = Author(await harness.open())
        await author.make(OTHER)
        await author.say(*"abcdefghij")
        moved = [MovedPointer(author.group, OTHER, 1, seq) for seq in (3, 9, 5, 1)]
        await asyncio.gather(*(author.store.move_pointers([pointer]) for pointer in moved))
        view = await author.store.view(author.group, OTHER)
        assert view is not None
        assert view.read == 9
        await harness.close()

    asyncio.run(run())


def test_no_pointers_say_whether_writes_go(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        store = await harness.open()
        await store.move_pointers([])
        driver = await connect(harness.settings, keyspace=harness.settings.keyspace)
        assert await driver.run("SELECT user FROM pointers") == []
        await driver.close()
        await harness.close()

    asyncio.run(run())
