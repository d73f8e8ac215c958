"""Where a group's head is, found from nothing, and that a gap is never handed out."""

import asyncio
from collections.abc import Callable

import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings, connect
from folkmoot.backends.cassandra.log import Log
from folkmoot.model.membership import Span
from folkmoot.ports.store import StoreBroken
from folkmoot.testing.cassandra_harness import CassandraHarness
from folkmoot.testing.store_suite import BIG, Author

pytestmark = pytest.mark.cassandra

Keyspace = Callable[[int], CassandraSettings]


def test_a_head_is_found_though_the_groups_row_lags_behind_or_is_gone(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = Author(await harness.open())
        await author.make()
        await author.say(*(str(n) for n in range(20)))
        driver = await connect(harness.settings, keyspace=harness.settings.keyspace)
        for bucket, reads_max in ((2, 3), (1, 3), (0, 4), (7, 9)):
            await driver.run(f"UPDATE groups SET bucket = {bucket} WHERE group_id = '{author.group}'")
            log = Log(driver, 8)
            before = driver.requests
            place = await log.place(author.group)
            assert place is not None
            assert (place.row.seq, place.row.bucket) == (21, 2)
            assert driver.requests - before <= reads_max
            assert log.known_bucket(author.group) == 2
            assert log.exists(author.group)
        await driver.close()
        await harness.close()

    asyncio.run(run())


def test_a_page_with_a_gap_is_broken_and_not_short(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        store = await harness.open()
        author = Author(store)
        await author.make()
        await author.say(*(str(n) for n in range(20)))
        driver = await connect(harness.settings, keyspace=harness.settings.keyspace)
        await driver.run(f"DELETE FROM log WHERE group_id = '{author.group}' AND bucket = 1 AND slot = 12")
        await driver.close()
        with pytest.raises(StoreBroken):
            await store.read(author.group, Span(1, None), entries_max=BIG, bytes_max=BIG)
        with pytest.raises(StoreBroken):
            await store.read_back(author.group, Span(1, None), entries_max=BIG, bytes_max=BIG)
        page = await store.read(author.group, Span(13, None), entries_max=BIG, bytes_max=BIG)
        assert [entry.seq for entry in page] == list(range(13, 22))
        await harness.close()

    asyncio.run(run())


def test_a_page_costs_what_it_holds_and_not_what_is_before_it(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        store = await harness.open_store()
        author = Author(store)
        await author.make()
        costs = []
        for upto in (20, 200):
            while author.state.head.seq < upto:
                await author.say(*(f"{author.state.head.seq}.{k}" for k in range(7)))
            # Another store, which wrote nothing: the writer may still be indexing a bucket that is full.
            reader = await harness.open_store()
            before = reader.statistics()["requests"]
            page = await reader.read(author.group, Span(upto // 2, None), entries_max=4, bytes_max=BIG)
            assert [entry.seq for entry in page] == [*range(upto // 2, upto // 2 + 4)]
            costs.append(reader.statistics()["requests"] - before)
        assert costs[1] <= costs[0] <= 2
        await harness.close()

    asyncio.run(run())
