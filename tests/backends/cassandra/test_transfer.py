"""A keyspace as the source and the target of a copy, with logs over many partitions, on a real Cassandra."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings
from folkmoot.backends.cassandra.store import CassandraStore
from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.memory.transfer import MemoryTransfer
from folkmoot.node.copy import Copied, Side, copy_store
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.transfer import Custody, StoreOccupied, StoreSealed
from folkmoot.testing.store_suite import OTHER, Author
from folkmoot.testing.whole_store import SENT, fill

pytestmark = pytest.mark.cassandra

Keyspace = Callable[[int], CassandraSettings]


def in_memory(disk: Disk) -> Side:
    return Side("memory", MemoryStore(disk), MemoryAccounts(disk), MemoryTransfer(disk))


async def opened(settings: CassandraSettings) -> CassandraStore:
    return await CassandraStore.open(settings, to_copy=True)


def side(store: CassandraStore) -> Side:
    return Side("keyspace", store, store.accounts, store.transfer)


def test_a_store_goes_into_keyspaces_and_back_with_all_that_it_holds(keyspace: Keyspace) -> None:
    small, large = keyspace(8), keyspace(1_000)

    async def copied(source: Side, target: Side, copy: str) -> Copied:
        return await copy_store(source, target, SystemClock(), new_copy=copy)

    async def run() -> None:
        first, last = Disk(), Disk()
        await fill(MemoryStore(first), MemoryAccounts(first))
        one, two = await opened(small), await opened(large)
        done = [
            await copied(in_memory(first), side(one), "c1"),
            await copied(side(one), side(two), "c2"),
            await copied(side(two), in_memory(last), "c3"),
        ]
        for each in done:
            assert (each.groups, each.entries, each.refusals) == (3, SENT + 3 + 2 * 3, 3)
            assert (each.users, each.keys, each.epoch) == (3, 2, 1)
        await one.close()
        await two.close()
        for settings in (small, large):
            with pytest.raises(StoreSealed, match="was copied to"):
                await CassandraStore.open(settings)
        author = Author(MemoryStore(last), "long")
        await author.refresh()
        assert (await author.say("goes on")).seq == SENT + 4

    asyncio.run(run())


def test_a_keyspace_is_claimed_while_empty_for_its_own_epoch_and_by_one_copy(keyspace: Keyspace) -> None:
    settings = keyspace(8)
    first, other = (Custody(part="target", copy=copy, other="elsewhere") for copy in ("c1", "c2"))

    async def run() -> None:
        store = await opened(settings)
        with pytest.raises(StoreOccupied, match="made for epoch 1, and the source is of 7"):
            await store.transfer.claim(first, 7)
        await store.accounts.set_active(OTHER, False, at_ms=1)
        with pytest.raises(StoreOccupied, match="data already"):
            await store.transfer.claim(first, 1)
        await store.close()
        await asyncio.to_thread(keyspace, 8)
        store = await opened(settings)
        await store.transfer.claim(first, 1)
        await store.transfer.claim(first, 1)
        with pytest.raises(StoreOccupied, match="another copy, with elsewhere"):
            await store.transfer.claim(other, 1)
        with pytest.raises(StoreSealed, match="not finished"):
            await CassandraStore.open(settings)
        await store.transfer.release()
        assert await store.transfer.custody() == Custody()
        begun = msgspec.structs.replace(other, part="source")
        assert await store.transfer.begin(begun) == begun
        assert await store.transfer.begin(msgspec.structs.replace(begun, copy="c9")) == begun
        await store.close()
        await (await CassandraStore.open(settings)).close()

    asyncio.run(run())


def test_pages_show_every_row_once_whatever_their_size(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def run() -> None:
        store = await opened(settings)
        await fill(store, store.accounts)
        found = []
        for rows_max in (2, 7, 1_000):
            of_it = []
            for read in (store.transfer.groups, store.transfer.refusals, store.transfer.pointers):
                after, rows = "", list[object]()
                while True:
                    page = await read(after=after, rows_max=rows_max)
                    rows += page.rows
                    if not (after := page.next):
                        break
                of_it.append(sorted(rows, key=repr))
            found.append(of_it)
        assert [len(rows) for rows in found[0]][:2] == [3, 3]
        assert len(found[0][2]) >= 3
        assert found[0] == found[1] == found[2]
        await store.close()

    asyncio.run(run())
