"""A state is brought up by folding what is new, and loaded whole where that does not fit."""

import asyncio

import msgspec

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.model.group import GroupState
from folkmoot.model.ids import GroupId
from folkmoot.router.refresh import refreshed
from folkmoot.testing.store_suite import Author


class CountingStore(MemoryStore):
    whole = 0

    async def state(self, group: GroupId) -> GroupState:
        self.whole += 1
        return await super().state(group)


def test_only_what_is_new_is_read() -> None:
    async def run() -> None:
        store = CountingStore(Disk(), bucket_size=8)
        author = Author(store)
        await author.make("user-2")
        old = author.state
        await author.say(*(str(n) for n in range(20)))
        await author.ask(author.a_send("l", kind="member.left", sender="user-2"))
        store.whole = 0
        assert await refreshed(store, old) == author.state
        assert await refreshed(store, author.state) == author.state
        assert store.whole == 0

    asyncio.run(run())


def test_a_store_set_back_or_another_log_is_loaded_whole() -> None:
    async def run() -> None:
        disk = Disk()
        author = Author(CountingStore(disk))
        await author.make()
        early = disk.copied()
        await author.say("lost")
        ahead = author.state
        store = CountingStore(early)
        assert (await refreshed(store, ahead)).head.seq == 1
        other = Author(store)
        await other.refresh()
        await other.say("another", "and more")
        assert (await refreshed(store, ahead)) == other.state
        assert store.whole >= 2
        gone = msgspec.structs.replace(ahead, group="gnone")
        assert (await refreshed(store, gone)).head.seq == 0

    asyncio.run(run())


def test_what_is_new_is_not_folded_onto_the_state_of_another_log() -> None:
    async def run() -> None:
        disk = Disk()
        author = Author(CountingStore(disk))
        await author.make()
        early = disk.copied()
        await author.ask(author.a_send("add", kind="member.added", body={"users": ["user-9"]}))
        ahead = author.state
        # The store is set back to before the member was added, and written to until it is past what is held.
        other = Author(CountingStore(early))
        await other.refresh()
        await other.say("another", "and more", "and more than was")
        assert await refreshed(other.store, ahead) == other.state

    asyncio.run(run())
