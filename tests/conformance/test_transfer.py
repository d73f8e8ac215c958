"""Every backend's store can be copied into every other: what is compared is all of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.memory.transfer import MemoryTransfer
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.node.copy import Copied, Side, copy_store
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.transfer import Custody, StoreOccupied, StoreSealed
from folkmoot.testing.store_suite import OTHER, Author
from folkmoot.testing.whole_store import SENT, fill

BACKENDS = ("memory", "memory in buckets of 8", "sqlite")


class Places:
    """Where stores of every backend are, by name, so that each can be opened again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._disks: dict[str, Disk] = {}

    @contextlib.asynccontextmanager
    async def opened(self, backend: str, name: str) -> AsyncIterator[Side]:
        if backend == "sqlite":
            path = self._folder / f"{name}.db"
            store = await SqliteStore.open(path, clock=SystemClock(), reserve_bytes=0, to_copy=True)
            try:
                yield Side(name, store, store.accounts, store.transfer)
            finally:
                await store.close()
        else:
            disk = self._disks.setdefault(name, Disk())
            memory = MemoryStore(disk, bucket_size=8 if "8" in backend else 1_000)
            yield Side(name, memory, MemoryAccounts(disk), MemoryTransfer(disk))

    async def copied(self, backends: tuple[str, str], names: tuple[str, str], copy: str = "c1") -> Copied:
        async with self.opened(backends[0], names[0]) as source, self.opened(backends[1], names[1]) as target:
            return await copy_store(source, target, SystemClock(), new_copy=copy)


@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("source", BACKENDS)
def test_all_that_a_store_holds_comes_into_any_other_and_back(source: str, target: str, tmp_path: Path) -> None:
    async def run() -> None:
        places = Places(tmp_path)
        async with places.opened(source, "one") as side:
            await fill(side.store, side.accounts)
        copied = await places.copied((source, target), ("one", "two"))
        assert (copied.groups, copied.entries, copied.refusals) == (3, SENT + 3 + 2 * 3, 3)
        assert (copied.pointers, copied.users, copied.keys, copied.epoch) == (6, 3, 2, 1)
        async with places.opened(source, "one") as left, places.opened(target, "two") as side:
            with pytest.raises(StoreSealed, match="two"):
                (await left.transfer.custody()).check_served()
            (await side.transfer.custody()).check_served()
            author = Author(side.store, "long")
            await author.refresh()
            assert [m.end for m in author.state.memberships["user-3"]] == [SENT + 2]
            head = await author.say("goes on")
            assert head.seq == SENT + 4
        assert (await places.copied((target, source), ("two", "three"), "c2")).entries == copied.entries + 1

    asyncio.run(run())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_store_is_claimed_while_empty_and_by_one_copy(backend: str, tmp_path: Path) -> None:
    async def run() -> None:
        places = Places(tmp_path)
        first, other = (Custody(part="target", copy=copy, other="elsewhere") for copy in ("c1", "c2"))
        async with places.opened(backend, "one") as side:
            await side.transfer.claim(first, 7)
            assert await side.store.epoch() == 7
            await Author(side.store).refresh()
        async with places.opened(backend, "one") as side:
            assert await side.transfer.custody() == first
            assert await side.store.epoch() == 7
            with pytest.raises(StoreOccupied):
                await side.transfer.claim(other, 8)
            await side.transfer.claim(first, 7)
            await side.transfer.release()
            assert await side.transfer.custody() == Custody()
        for filled in ("groups", "users", "keys"):
            async with places.opened(backend, filled) as side:
                if filled == "groups":
                    await Author(side.store).make()
                elif filled == "users":
                    await side.accounts.set_active(OTHER, False, at_ms=1)
                else:
                    await fill(side.store, side.accounts)
                with pytest.raises(StoreOccupied):
                    await side.transfer.claim(other, 8)
                assert await side.store.epoch() == 1
                assert await side.transfer.custody() == Custody()

    asyncio.run(run())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_part_in_a_copy_is_taken_once_and_stays(backend: str, tmp_path: Path) -> None:
    async def run() -> None:
        places = Places(tmp_path)
        begun = Custody(part="source", copy="c1", other="there")
        async with places.opened(backend, "one") as side:
            assert await side.transfer.begin(begun) == begun
        async with places.opened(backend, "one") as side:
            assert await side.transfer.begin(Custody(part="source", copy="c2", other="there")) == begun
            (await side.transfer.custody()).check_served()
            await side.transfer.seal(Custody(part="sealed", copy="c1", other="there"))
        async with places.opened(backend, "one") as side:
            assert (await side.transfer.custody()).part == "sealed"

    asyncio.run(run())


@pytest.mark.parametrize("backend", BACKENDS)
def test_pages_show_every_row_once_whatever_their_size(backend: str, tmp_path: Path) -> None:
    async def run() -> None:
        places = Places(tmp_path)
        async with places.opened(backend, "one") as side:
            await fill(side.store, side.accounts)
            found = []
            for rows_max in (1, 2, 100):
                rows: list[list[object]] = []
                for read in (side.transfer.groups, side.transfer.refusals, side.transfer.pointers):
                    after, of_it = "", list[object]()
                    while True:
                        page = await read(after=after, rows_max=rows_max)
                        of_it += page.rows
                        if not (after := page.next):
                            break
                    rows.append(of_it)
                found.append(rows)
            assert [len(rows) for rows in found[0]] == [3, 3, 6]
            assert found[0] == found[1] == found[2]

    asyncio.run(run())
