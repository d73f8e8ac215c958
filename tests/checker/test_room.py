"""A room: what its members received is what is judged, so a client that loses or changes something is found."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.checker.history import Verdict
from folkmoot.checker.room import NAMES_BYTES_MAX, NAMES_PER_ENTRY_MAX, Room, name_chunks, pieces
from folkmoot.client import Batch, Client, ConnectionEnded, Received
from folkmoot.model.body import TEXT_CHARS_MAX
from folkmoot.testing.served import Served, served

SETTLE_S_MAX = 15.0


class Careless(Client):
    """A client that hands on something else than it received."""

    change: Callable[[list[Received]], list[Received]]

    async def batches(self) -> AsyncIterator[Batch]:
        async for batch in super().batches():
            yield Batch(list(self.change(batch.entries)))


def run(tmp_path: Path, test: Callable[[Served], Awaitable[None]]) -> None:
    async def body() -> None:
        async with served(tmp_path / "server") as server:
            await test(server)

    asyncio.run(body())


def client(server: Served, user: str) -> Client:
    return Client(server.url, server.token(user), fresh="join")


async def verdict_with(server: Served, change: Callable[[list[Received]], list[Received]]) -> Verdict:
    """A short talk of three, one of whom is careless."""
    careless = Careless(server.url, server.token("cat"), fresh="join")
    careless.change = change
    room = Room({"ann": client(server, "ann"), "cat": careless, "log": client(server, "log")})
    await room.open("tea", "make")
    for number in range(5):
        await room.say("ann", f"text {number}", f"s{number}")
    await room.settle(SETTLE_S_MAX)
    await room.close()
    return room.judge()


def test_everyone_has_everything(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        verdict = await verdict_with(server, lambda entries: entries)
        assert verdict.clean
        assert (verdict.acknowledged, verdict.deliveries) == (6, 18)

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("missing", lambda entry: []),
        ("doubled", lambda entry: [entry, entry]),
        ("altered", lambda entry: [msgspec.structs.replace(entry, raw=msgspec.Raw(b'{"text":"x"}'))]),
        ("altered", lambda entry: [msgspec.structs.replace(entry, kind="group.renamed")]),
        ("invented", lambda entry: [msgspec.structs.replace(entry, send_id="x")]),
        ("out_of_order", lambda entry: [msgspec.structs.replace(entry, seq=entry.seq + 3), entry]),
    ],
)
def test_a_client_that_hands_on_something_else_is_found(
    tmp_path: Path, fault: str, change: Callable[[Received], list[Received]]
) -> None:
    def changed(entries: list[Received]) -> list[Received]:
        out: list[Received] = []
        for entry in entries:
            out += change(entry) if entry.seq == 3 else [entry]
        return out

    async def test(server: Served) -> None:
        verdict = await verdict_with(server, changed)
        assert verdict.counts[fault] > 0

    run(tmp_path, test)


def test_who_never_gets_the_last_entry_is_told_of_in_the_verdict(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        careless = Careless(server.url, server.token("cat"), fresh="join")
        careless.change = lambda entries: [entry for entry in entries if entry.seq == 1]
        room = Room({"cat": careless, "log": client(server, "log")})
        await room.open("tea", "make")
        await room.say("log", "hello", "s1")
        await room.settle(0.2)
        await room.close()
        assert room.judge().examples["missing"][0].startswith("cat does not have")

    run(tmp_path, test)


def test_every_text_goes_through_as_it_is(tmp_path: Path) -> None:
    texts = ["", " ", "\0", "\x1c\x1d\x1e\x15", "\ufffd", "\u2028\u0085", "🦊" * TEXT_CHARS_MAX, "a" * 20_000, '"\\</']

    async def test(server: Served) -> None:
        room = Room({"ann": client(server, "ann"), "log": client(server, "log")})
        await room.open("tea", "make")
        for number, text in enumerate(texts):
            await room.say("ann", text, f"line-{number}")
        await room.settle(SETTLE_S_MAX)
        await room.close()
        assert room.judge().lines() == []
        assert room.said == len(texts) + 2
        assert len(room.history.applied) == 2 * (room.said + 1)

    run(tmp_path, test)


def test_more_members_than_one_entry_holds_are_added_by_further_ones(tmp_path: Path) -> None:
    names = [f"{number}".ljust(128, "🦊") for number in range(60)]
    chunks = list(name_chunks(names))
    assert len(chunks) == 2

    async def test(server: Served) -> None:
        room = Room({name: client(server, name) for name in [*names, "log"]})
        await room.open("tea", "make")
        await room.say(names[-1], "hello", "s1")
        await room.settle(SETTLE_S_MAX)
        await room.close()
        assert room.judge().lines() == []
        assert room.judge().deliveries == 3 * (len(chunks[0]) + 1) + 2 * len(chunks[1])

    run(tmp_path, test)


def test_a_refused_send_is_recorded_as_one(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        room = Room({"ann": client(server, "ann"), "log": client(server, "log")})
        await room.open("tea", "make")
        await room.say("ann", "hello", "s1")
        # The same id again with another body: a conflict.
        await room.say("ann", "hello again", "s1")
        await room.close()
        assert (room.said, room.refused) == (1, 1)
        assert [(a.send_id, a.seq) for a in room.history.answered] == [("make", 1), ("s1", 2), ("s1", None)]

    run(tmp_path, test)


def test_what_ends_a_member_ends_the_room(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        short = Client(server.url, server.token("ann", lifetime_s=2), fresh="join")
        room = Room({"ann": short, "log": client(server, "log")})
        await room.open("tea", "make")
        with pytest.raises(ConnectionEnded, match="token_expired"):
            await short.wait_closed()
        await room.say("log", "hello", "s1")
        with pytest.raises(ConnectionEnded, match="token_expired"):
            await room.settle(SETTLE_S_MAX)
        await room.close()

    run(tmp_path, test)


@given(st.text(max_size=3 * TEXT_CHARS_MAX))
def test_pieces_are_the_text_and_none_is_too_long(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(len(piece) <= TEXT_CHARS_MAX for piece in pieces(text))
    assert len(pieces(text)) == max(1, -(-len(text) // TEXT_CHARS_MAX))


@given(st.lists(st.text(min_size=1, max_size=128), unique=True, max_size=2_000))
def test_chunks_are_all_the_names_and_each_fits_an_entry(names: list[str]) -> None:
    chunks = list(name_chunks(names))
    assert [name for chunk in chunks for name in chunk] == names
    assert all(len(chunk) <= NAMES_PER_ENTRY_MAX for chunk in chunks)
    assert all(sum(len(name.encode()) for name in chunk) <= NAMES_BYTES_MAX for chunk in chunks)
    assert len(chunks) == 1 or all(chunks)
