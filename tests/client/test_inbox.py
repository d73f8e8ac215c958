"""What was handed over is committed when the next is asked for, and not before."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from folkmoot.client.inbox import Inbox
from folkmoot.client.received import Hidden, Item, Received
from folkmoot.protocol import events as ev


def entry(seq: int) -> Received:
    return Received("g", seq, f"p{seq}", "message", "user-2", "", f"s{seq}", 0, 0, msgspec.Raw(b"{}"))


class HandSource:
    """Gives what a test lays into it; keeps what is said to be done."""

    def __init__(self) -> None:
        self.waiting: list[Item] = []
        self.kept: list[list[Item]] = []
        self.closed = False
        self._arrived = asyncio.Event()

    def lay(self, *items: Item) -> None:
        self.waiting.extend(items)
        self._arrived.set()

    def close(self) -> None:
        self.closed = True
        self._arrived.set()

    def take_items(self) -> list[Item]:
        items, self.waiting = self.waiting, []
        return items

    def more_items(self) -> Awaitable[bool]:
        return self._more()

    def keep_items(self, items: list[Item]) -> None:
        self.kept.append(items)

    async def _more(self) -> bool:
        if not self.closed:
            self._arrived.clear()
            await self._arrived.wait()
        return not self.closed


def run(test: Callable[[HandSource, Inbox], Awaitable[None]]) -> None:
    async def body() -> None:
        source = HandSource()
        await test(source, Inbox(source))

    asyncio.run(body())


def test_one_by_one_and_committed_together_at_the_end_of_what_came_in() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        source.lay(entry(1), entry(2))
        assert (await inbox.entry()).seq == 1
        assert (await inbox.entry()).seq == 2
        assert source.kept == []
        source.lay(entry(3))
        assert (await inbox.entry()).seq == 3
        assert source.kept == [[entry(1), entry(2)]]

    run(body)


def test_events_are_told_at_their_place() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        told: list[int] = []
        inbox.on_event = lambda event: told.append(event.seq if isinstance(event, ev.Ended) else -1)
        source.lay(entry(1), ev.Ended(group="g", seq=1), Hidden("h", 4, "p4"), entry(2))
        await inbox.entry()
        assert told == []
        await inbox.entry()
        assert told == [1]

    run(body)


def test_a_batch_is_all_there_is() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        source.lay(entry(1), entry(2))
        batch = await inbox.batch()
        assert batch.entries == [entry(1), entry(2)]
        source.lay(Hidden("g", 3, "p3"))
        source.lay(entry(4))
        assert (await inbox.batch()).entries == [entry(4)]
        assert source.kept == [[entry(1), entry(2)]]

    run(body)


def test_what_shows_nothing_is_committed_without_a_batch() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        source.lay(Hidden("g", 3, "p3"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.batch(), 0.001)
        assert source.kept == [[Hidden("g", 3, "p3")]]
        source.lay(entry(4))
        assert (await inbox.batch()).entries == [entry(4)]

    run(body)


def test_a_batch_after_single_entries_is_the_rest() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        source.lay(entry(1), entry(2), entry(3))
        await inbox.entry()
        assert (await inbox.batch()).entries == [entry(2), entry(3)]

    run(body)


@pytest.mark.parametrize(("last", "kept"), [(True, [entry(1), entry(2)]), (False, [entry(1)])])
def test_leaving_midway_commits_what_was_done(last: bool, kept: list[Item]) -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        source.lay(entry(1), entry(2), entry(3))
        await inbox.entry()
        await inbox.entry()
        inbox.close(last=last)
        assert source.kept == [kept]
        source.close()
        with pytest.raises(StopAsyncIteration):
            await inbox.entry()

    run(body)


def test_what_is_cleared_is_neither_handed_over_nor_committed() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        source.lay(entry(1), entry(2))
        await inbox.entry()
        inbox.clear()
        source.close()
        with pytest.raises(StopAsyncIteration):
            await inbox.entry()
        assert source.kept == []

    run(body)


def test_a_cancelled_wait_loses_nothing() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(inbox.entry(), 0.001)
        source.lay(entry(1))
        assert (await inbox.entry()).seq == 1

    run(body)


def test_two_at_once_would_commit_what_is_not_done() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        first = asyncio.create_task(inbox.entry())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one iteration"):
            await inbox.entry()
        source.lay(entry(1))
        assert (await first).seq == 1

    run(body)


def test_the_end_ends_the_wait() -> None:
    async def body(source: HandSource, inbox: Inbox) -> None:
        waiting = asyncio.create_task(ended(inbox))
        await asyncio.sleep(0)
        source.close()
        assert await waiting

    async def ended(inbox: Inbox) -> bool:
        try:
            await inbox.entry()
        except StopAsyncIteration:
            return True
        return False

    run(body)
