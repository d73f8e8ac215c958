"""A disk outlives its stores, and a copy of it is a backup."""

import asyncio

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.testing.store_suite import Author


def test_what_was_synced_outlives_the_store_and_a_copy_stays_as_it_was() -> None:
    async def run() -> None:
        disk = Disk(epoch=4)
        author = Author(MemoryStore(disk))
        await author.make()
        copy = disk.copied()
        await author.say("later")
        assert (await MemoryStore(disk).state(author.group)).head.seq == 2
        assert (await MemoryStore(copy).state(author.group)).head.seq == 1
        assert await MemoryStore(copy).epoch() == 4

    asyncio.run(run())
