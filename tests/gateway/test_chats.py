"""The list of chats: in order of last activity, paged by a cursor, and nothing of groups that one has left."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.chats import Chats, Place, parse_place
from folkmoot.gateway.queries import Queries, QueryRefused
from folkmoot.testing.store_suite import OTHER, OWNER, Author


async def authors(*times_ms: int) -> list[Author]:
    """A group of both a time, whose last entry is of that time."""
    store, made = MemoryStore(Disk()), []
    for number, time_ms in enumerate(times_ms):
        author = Author(store, f"make-{number}")
        author.now_ms = time_ms
        await author.make(OTHER)
        made.append(author)
    return made


async def listed(author: Author, user: str, *, limit: int) -> list[str]:
    """The groups of all pages, in their order."""
    chats, groups, cursor = Chats(author.store, Queries(author.store)), list[str](), ""
    while True:
        page, following = await chats.page(user, cursor=cursor, limit=limit)
        assert len(page) <= limit
        groups += [chat.group.group for chat in page]
        if following is None:
            return groups
        cursor = following


@given(st.integers(0, 2**63), st.text(min_size=1, max_size=20))
def test_a_cursor_reads_back(time_ms: int, group: str) -> None:
    place = Place(time_ms, group.encode("utf-8", "ignore").decode())
    assert parse_place(str(place)) == place


@pytest.mark.parametrize("text", ["!", "AAAA", "é", "A" * 5, "_____________w"])
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(QueryRefused, match="bad_cursor"):
        parse_place(text)


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_the_newest_comes_first_whatever_the_page(limit: int) -> None:
    async def run() -> None:
        made = await authors(5, 9, 7, 9, 1)
        expected = sorted(((author.now_ms, author.group) for author in made), reverse=True)
        assert await listed(made[0], OTHER, limit=limit) == [group for _, group in expected]

    asyncio.run(run())


def test_a_chat_has_its_last_entry_and_what_is_unread() -> None:
    async def run() -> None:
        (author,) = await authors(5)
        await author.say("a", "b")
        chats = Chats(author.store, Queries(author.store))
        ((chat,), following) = await chats.page(OTHER, cursor="", limit=10)
        assert (chat.last.seq, chat.read, chat.group.unread, chat.group.seq) == (3, 0, 2, 3)
        assert following is None
        ((mine,), _) = await chats.page(OWNER, cursor="", limit=10)
        assert (mine.read, mine.group.unread) == (3, 0)

    asyncio.run(run())


def test_a_group_that_one_has_left_is_not_shown_though_a_list_still_has_it() -> None:
    async def run() -> None:
        first, second = await authors(5, 6)

        class Superset(MemoryStore):
            async def groups_of(self, user: str, *, after: str, rows_max: int) -> list[str]:
                return sorted(group for group in (first.group, second.group) if group > after)[:rows_max]

        await first.ask(first.a_send("l", kind="member.left", sender=OTHER))
        store = Superset(first.store._disk)  # type: ignore[attr-defined]
        chats = Chats(store, Queries(store))
        page, _ = await chats.page(OTHER, cursor="", limit=10)
        assert [chat.group.group for chat in page] == [second.group]
        assert await chats.page("user-9", cursor="", limit=10) == ([], None)

    asyncio.run(run())
