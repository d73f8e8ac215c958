"""The memory store's own switches; its promises are checked by tests/conformance."""

import asyncio

import msgspec
import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.model.send import SKIP, Refused
from folkmoot.ports.store import Conflict, StoreAway, StoreFull
from folkmoot.testing.store_suite import OWNER, Author


def test_a_full_disk_takes_refusals_from_the_reserve_only() -> None:
    async def run() -> None:
        disk = Disk()
        author = Author(MemoryStore(disk))
        await author.make()
        disk.full = True
        with pytest.raises(StoreFull):
            await author.say("x")
        with pytest.raises(StoreFull):
            await author.store.move_pointers([])
        refusal = author.write(author.a_send("no", kind=SKIP))
        with pytest.raises(StoreFull):
            await author.store.append(refusal)
        await author.store.append(msgspec.structs.replace(refusal, reserve=True))
        await author.refresh()
        disk.full = False
        await author.say("x")
        assert await author.store.outcomes(author.group, [(OWNER, "no")]) == {(OWNER, "no"): Refused("skipped")}

    asyncio.run(run())


def test_a_disk_that_is_away() -> None:
    async def run() -> None:
        disk = Disk()
        author = Author(MemoryStore(disk))
        await author.make()
        disk.away = True
        with pytest.raises(StoreAway):
            await author.refresh()
        disk.away = False
        await author.refresh()

    asyncio.run(run())


def test_more_than_there_is_room_for_is_not_taken() -> None:
    async def run() -> None:
        author = Author(MemoryStore(Disk(), bucket_size=2))
        await author.make()
        write = author.write(author.a_send("a", body={"text": "a"}))
        too_many = type(write)(
            group=write.group, expected=write.expected, entries=[*write.entries] * 2, refusals={}, after=write.after,
            memberships=[],
        )  # fmt: skip
        with pytest.raises((Conflict, ValueError)):
            await author.store.append(too_many)
        assert (await author.store.state(author.group)).head.seq == 1

    asyncio.run(run())
