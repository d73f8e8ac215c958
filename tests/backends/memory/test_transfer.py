"""A memory store's part in a copy: on its disk, so that a crash leaves it. The rest is judged by conformance."""

import asyncio

import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.memory.transfer import MemoryTransfer
from folkmoot.ports.store import MovedPointer, StoreFull
from folkmoot.ports.transfer import Custody


def test_its_part_outlives_the_store_and_a_copied_disk_has_it_too() -> None:
    async def run() -> None:
        disk = Disk()
        custody = Custody(part="target", copy="c", other="there")
        await MemoryTransfer(disk).claim(custody, 9)
        assert await MemoryTransfer(disk.copied()).custody() == custody
        assert await MemoryStore(disk).epoch() == 9

    asyncio.run(run())


def test_on_a_full_disk_nothing_is_noted() -> None:
    async def run() -> None:
        disk = Disk()
        disk.full = True
        with pytest.raises(StoreFull):
            await MemoryTransfer(disk).begin(Custody(part="source", copy="c", other="there"))
        assert disk.custody == Custody()

    asyncio.run(run())


def test_a_pointer_of_a_group_that_was_not_there_is_none() -> None:
    async def run() -> None:
        disk = Disk()
        await MemoryStore(disk).move_pointers([MovedPointer("g", "user-1", 1, 5)])
        assert (await MemoryTransfer(disk).pointers(after="", rows_max=5)).rows == []

    asyncio.run(run())
