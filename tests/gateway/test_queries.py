"""History, groups and members: pages at both ends, and nothing from outside one's memberships."""

import asyncio
from typing import Any

import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.pointers import Pointers
from folkmoot.gateway.queries import Queries, QueryRefused
from folkmoot.protocol import events as ev
from folkmoot.testing.store_suite import OTHER, OWNER, Author


async def read(queries: Queries, user: str, group: str, **fields: Any) -> tuple[list[int], bool] | str:
    answer = await queries.answer(user, ev.Read(ref="r", group=group, **fields))
    if isinstance(answer, ev.Page):
        return [entry.seq for entry in answer.entries], answer.more
    assert isinstance(answer, ev.Failed)
    return answer.code


async def a_history(history: str = "join") -> tuple[Author, Queries]:
    """1 made with user-2, 2 said, 3 user-2 removed, 4 said, 5 user-2 added, 6 to 9 said."""
    author = Author(MemoryStore(Disk(), bucket_size=8))
    await author.make(OTHER, history=history)
    await author.say("a")
    await author.ask(author.a_send("r", kind="member.removed", body={"user": OTHER}))
    await author.say("between")
    await author.ask(author.a_send("add", kind="member.added", body={"users": [OTHER]}))
    await author.say("b", "c", "d", "e")
    return author, Queries(author.store)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ([1, 2, 3, 4, 5, 6, 7, 8, 9], False)),
        ({"limit": 3}, ([7, 8, 9], True)),
        ({"before": 7, "limit": 3}, ([4, 5, 6], True)),
        ({"before": 3}, ([1, 2], False)),
        ({"before": 1}, ([], False)),
        ({"after": 0, "limit": 2}, ([1, 2], True)),
        ({"after": 7}, ([8, 9], False)),
        ({"after": 9}, ([], False)),
        ({"after": 10**12}, ([], False)),
        ({"before": 10**12, "limit": 1}, ([9], True)),
    ],
)
def test_pages_for_who_was_always_there(fields: dict[str, Any], expected: tuple[list[int], bool]) -> None:
    async def run() -> None:
        author, queries = await a_history()
        assert await read(queries, OWNER, author.group, **fields) == expected

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ([5, 6, 7, 8, 9], True)),
        ({"before": 5}, ([1, 2, 3], False)),
        ({"after": 0}, ([1, 2, 3], True)),
        ({"after": 3}, ([5, 6, 7, 8, 9], False)),
        ({"after": 2, "limit": 2}, ([3], True)),
    ],
)
def test_nothing_from_between_two_memberships(fields: dict[str, Any], expected: tuple[list[int], bool]) -> None:
    async def run() -> None:
        author, queries = await a_history()
        assert await read(queries, OTHER, author.group, **fields) == expected

    asyncio.run(run())


def test_with_all_history_everything_is_shown_and_to_who_is_gone_nothing() -> None:
    async def run() -> None:
        author, queries = await a_history("all")
        assert await read(queries, OTHER, author.group) == ([1, 2, 3, 4, 5, 6, 7, 8, 9], False)
        await author.ask(author.a_send("l", kind="member.left", sender=OTHER))
        assert await read(queries, OTHER, author.group) == "no_such_group"
        assert await read(queries, "user-9", author.group) == "no_such_group"
        assert await read(queries, OWNER, "gnone") == "no_such_group"

    asyncio.run(run())


def test_unread_counts_messages_after_the_pointer_or_the_join() -> None:
    async def run() -> None:
        author, queries = await a_history()
        for user, expected in ((OWNER, 0), (OTHER, 4)):
            answer = await queries.answer(user, ev.ListGroups(ref="r"))
            assert isinstance(answer, ev.GroupList)
            assert [row.unread for row in answer.groups] == [expected]
            assert [(row.name, row.messages, row.seq) for row in answer.groups] == [("g", 6, 9)]
        await author.ask(author.a_send("l", kind="member.left", sender=OTHER))
        answer = await queries.answer(OTHER, ev.ListGroups(ref="r"))
        assert isinstance(answer, ev.GroupList)
        assert answer.groups == []

    asyncio.run(run())


def test_members_come_in_pages() -> None:
    async def run() -> None:
        author, queries = await a_history()
        answer = await queries.answer(OWNER, ev.ListMembers(ref="r", group=author.group, limit=1))
        assert isinstance(answer, ev.MemberList)
        assert (answer.members, answer.next) == ([ev.MemberRow(user=OWNER, role="owner", join=1)], OWNER)
        answer = await queries.answer(OWNER, ev.ListMembers(ref="r", group=author.group, after=OWNER))
        assert isinstance(answer, ev.MemberList)
        assert ([row.user for row in answer.members], answer.next) == ([OTHER], None)

    asyncio.run(run())


def test_a_store_that_is_away_is_said_so() -> None:
    async def run() -> None:
        author, queries = await a_history()
        await author.store.close()
        answer = await queries.answer(OWNER, ev.Read(ref="r", group=author.group))
        assert isinstance(answer, ev.Failed)
        assert (answer.code, answer.ref) == ("unavailable", "r")
        assert answer.retry_after_ms > 0

    asyncio.run(run())


def test_one_entry_is_shown_or_is_as_none() -> None:
    async def run() -> None:
        author, queries = await a_history()
        assert (await queries.entry(OTHER, author.group, 3)).kind == "member.removed"
        for seq in (4, 10, 0, -1, 2**63 - 1):
            with pytest.raises(QueryRefused, match="no_such_entry"):
                await queries.entry(OTHER, author.group, seq)
        with pytest.raises(QueryRefused, match="no_such_group"):
            await queries.entry("user-9", author.group, 3)

    asyncio.run(run())


def test_a_date_is_the_first_entry_that_is_not_older() -> None:
    async def run() -> None:
        author = Author(MemoryStore(Disk(), bucket_size=8))
        for now_ms, send_id in ((100, ""), (200, "a"), (200, "b"), (150, "c"), (300, "d"), (50, "e")):
            author.now_ms = now_ms
            await (author.say(send_id) if send_id else author.make())
        queries = Queries(author.store)
        # A clock that was set back has not taken the log's times with it: 200 three times, 300 twice.
        assert [entry.time_ms for entry in await author.log()] == [100, 200, 200, 200, 300, 300]
        dates = {0: 1, 100: 1, 101: 2, 200: 2, 201: 5, 300: 5, 301: 7, 2**63 - 1: 7}
        assert {at: await queries.seq_at(OWNER, author.group, at) for at in dates} == dates
        with pytest.raises(QueryRefused, match="no_such_group"):
            await queries.seq_at(OTHER, author.group, 0)

    asyncio.run(run())


def test_a_pointer_on_its_way_to_the_store_is_seen() -> None:
    async def run() -> None:
        author, _ = await a_history()
        pointers = Pointers(author.store, MemoryBus())
        queries = Queries(author.store, pointers)
        pointers.move(OTHER, author.group, 1, 8)
        view, membership = await queries.view(OTHER, author.group)
        assert (view.read, await queries.unread_of(view, membership)) == (8, 1)
        await pointers.flush()
        assert pointers.waiting(OTHER, author.group) == 0
        assert (await queries.view(OTHER, author.group))[0].read == 8

    asyncio.run(run())
