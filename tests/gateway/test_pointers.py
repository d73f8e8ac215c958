"""Read pointers: the newest move of each is written and told, and one that could not be written is tried again."""

import asyncio

import msgspec

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.pointers import Pointers
from folkmoot.ports.subjects import PointerMoved
from folkmoot.testing.store_suite import OTHER, Author


def test_the_newest_move_is_written_once_and_told() -> None:
    async def run() -> None:
        disk, bus = Disk(), MemoryBus()
        author = Author(MemoryStore(disk))
        await author.make(OTHER)
        await author.say("a", "b")
        told: list[PointerMoved] = []
        bus.subscribe("pointers.*", lambda raw, _: told.append(msgspec.msgpack.decode(raw, type=PointerMoved)))
        pointers = Pointers(author.store, bus)
        writes = len(disk.records)
        for seq in (1, 3, 2):
            pointers.move(OTHER, author.group, 1, seq)
        await pointers.flush()
        await pointers.flush()
        await asyncio.sleep(0)
        assert len(disk.records) == writes + 1
        assert told == [PointerMoved(author.group, OTHER, 3, 2)]
        view = await author.store.view(author.group, OTHER)
        assert view is not None
        assert view.read == 3

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
        view = await author.store.view(author.group, OTHER)
        assert view is not None
        assert view.read == 1

    asyncio.run(run())
