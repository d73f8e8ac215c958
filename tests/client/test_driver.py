"""Commits come before frames, tokens when they are needed, connections again and again; and what ends a client."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from folkmoot.client.client import Client
from folkmoot.client.errors import ClientError, ConnectionEnded, NotConnected, SendUnknown, StoreOfAnother, StoreTaken
from folkmoot.client.kept import Changes
from folkmoot.client.received import Batch
from folkmoot.client.store import MemoryClientStore, SqliteClientStore
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.testing.played_links import PlayedLinks

ME = "user-1"
OTHER = "user-2"


def client_over(links: PlayedLinks, token: Any = ME, **options: Any) -> Client:
    """A client that comes back at once."""
    return Client("http://server", token, link=links.connect, draw=lambda: 0.0, **options)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds: about plain state, which any turn may change."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def written(links: PlayedLinks) -> list[ev.ClientEvent]:
    return [JSON.decode_client(frame) for frame in links.last.written]


def test_it_comes_back_after_each_loss_and_goes_on_where_it_was() -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        async with client_over(links) as client:
            for number in range(5):
                links.last.cut()
                links.server.say(group, OTHER, f"while away {number}")
                assert (await anext(client)).text == f"while away {number}"
            assert client.statistics().reconnects == 5
            assert client.statistics().duplicates == 0

    asyncio.run(body())


def test_an_address_that_refuses_is_tried_again() -> None:
    async def body() -> None:
        links = PlayedLinks()
        links.refusals = 3
        async with client_over(links) as client:
            assert client.is_connected
            links.refusals = 2
            links.last.cut()
            assert not client.is_connected
            await until(lambda: client.is_connected)

    asyncio.run(body())


def test_a_server_that_cannot_be_reached_in_the_time_given() -> None:
    async def body() -> None:
        links = PlayedLinks()
        links.refusals = 1_000_000_000
        with pytest.raises(NotConnected, match="refused by the test"):
            await client_over(links, connect_s_max=0.05).connect()

    asyncio.run(body())


def test_a_token_function_is_asked_once_and_again_when_the_token_was_turned_away() -> None:
    async def body() -> None:
        links = PlayedLinks()
        asked: list[str] = []

        async def token() -> str:
            asked.append(ME)
            return ME

        async with client_over(links, token) as client:
            links.last.cut()
            await until(lambda: len(links.made) == 2 and client.is_connected)
            assert len(asked) == 1
            links.last.far.say(ev.Goodbye(code="token_expired"))
            await asyncio.sleep(0)
            links.last.cut(4100)
            await until(lambda: len(links.made) == 3 and client.is_connected)
            assert len(asked) == 2

    asyncio.run(body())


def test_a_token_service_that_is_away_is_asked_again() -> None:
    async def body() -> None:
        links = PlayedLinks()
        answers: list[str] = ["", "", ME]

        def token() -> str:
            answer = answers.pop(0)
            if not answer:
                raise OSError("the token service is away")
            return answer

        async with client_over(links, token) as client:
            assert client.user == ME

    asyncio.run(body())


def test_a_fixed_token_that_was_turned_away_ends_the_client() -> None:
    async def body() -> None:
        links = PlayedLinks()
        async with client_over(links) as client:
            links.last.cut(4101)
            with pytest.raises(ConnectionEnded, match="token_invalid"):
                await client.wait_closed()
            with pytest.raises(ConnectionEnded):
                await anext(client)
            with pytest.raises(ClientError):
                client.post("g", "x")

    asyncio.run(body())


def test_a_code_that_forbids_to_come_back_ends_the_client() -> None:
    async def body() -> None:
        links = PlayedLinks()
        async with client_over(links) as client:
            waiting = asyncio.create_task(client.create_group("never answered"))
            links.server.busy.extend(["no_answer"] * 3)
            await asyncio.sleep(0)
            links.last.cut(4204)
            with pytest.raises(SendUnknown, match="closed") as unknown:
                await waiting
            assert isinstance(unknown.value.__cause__, ConnectionEnded)

    asyncio.run(body())


def test_a_token_is_renewed_before_it_expires() -> None:
    async def body() -> None:
        links = PlayedLinks()
        links.server.token_lifetime_ms = 50
        tokens = iter([ME, "renewed"])
        async with client_over(links, lambda: next(tokens)):
            await until(lambda: ev.Refresh(token="renewed") in written(links))
            assert len(links.made) == 1

    asyncio.run(body())


def test_a_send_is_kept_before_it_is_transmitted() -> None:
    order: list[str] = []

    class NotingStore(MemoryClientStore):
        def commit(self, changes: Changes) -> None:
            order.extend(f"kept {send.send_id}" for send in changes.made)
            super().commit(changes)

    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        async with client_over(links, store=NotingStore()) as client:
            far = links.last.far
            receive = far.receive

            def noting(frame: bytes) -> None:
                event = JSON.decode_client(frame)
                if isinstance(event, ev.Send):
                    order.append(f"sent {event.id}")
                receive(frame)

            far.receive = noting  # type: ignore[method-assign]
            await asyncio.gather(*(client.send(group, "x", send_id=f"s{n}") for n in range(3)))

    asyncio.run(body())
    assert order == ["kept s0", "kept s1", "kept s2", "sent s0", "sent s1", "sent s2"]


def test_a_store_that_fails_ends_the_client_and_nothing_is_transmitted() -> None:
    class FullStore(MemoryClientStore):
        def commit(self, changes: Changes) -> None:
            if changes.made:
                raise sqlite3.OperationalError("database or disk is full")
            super().commit(changes)

    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        async with client_over(links, store=FullStore()) as client:
            with pytest.raises(SendUnknown, match="closed"):
                await client.send(group, "x")
            assert not any(isinstance(event, ev.Send) for event in written(links))
            with pytest.raises(sqlite3.OperationalError, match="disk is full"):
                await client.wait_closed()

    asyncio.run(body())


def test_a_frame_that_is_none_drops_the_link_and_the_next_goes_on() -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        async with client_over(links) as client:
            links.last.far.said.append(b"\xff\xfe")
            links.server.say(group, OTHER, "behind it")
            assert (await anext(client)).text == "behind it"
            assert client.statistics().invalid_frames == 1
            await until(lambda: len(links.made) == 2 and client.is_connected)
            links.server.say(group, OTHER, "on the next")
            assert (await anext(client)).text == "on the next"

    asyncio.run(body())


def test_the_application_applies_in_the_transaction_that_moves_its_places(tmp_path: Path) -> None:
    def apply(tx: sqlite3.Connection, batch: Batch) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS app (seq INTEGER PRIMARY KEY, text TEXT)")
        tx.executemany("INSERT INTO app VALUES (?, ?)", [(entry.seq, entry.text) for entry in batch])

    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        store = SqliteClientStore(tmp_path / "app.db")
        async with client_over(links, store=store, on_batch=apply) as client:
            for number in range(3):
                links.server.say(group, OTHER, f"m{number}")
            await until(lambda: client.statistics().received == 3)
            rows = store.db.execute("SELECT seq, text FROM app").fetchall()
            assert rows == [(2, "m0"), (3, "m1"), (4, "m2")]
            kept = SqliteClientStore(tmp_path / "app.db").load()
            assert kept.places[group].seq == 4
            with pytest.raises(RuntimeError, match="on_batch"):
                await anext(client)
        # The copy that was opened to look took the store over: its like is what a second process would be.
        assert client.statistics().received == 3

    asyncio.run(body())


def test_an_application_that_raises_ends_the_client_with_nothing_of_the_batch(tmp_path: Path) -> None:
    fail = True

    def apply(tx: sqlite3.Connection, batch: Batch) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS app (text TEXT)")
        tx.executemany("INSERT INTO app VALUES (?)", [(entry.text,) for entry in batch])
        if fail and batch.entries:
            raise LookupError("not now")

    async def body() -> list[Any]:
        nonlocal fail
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        async with client_over(links, store=tmp_path / "app.db", on_batch=apply) as client:
            links.server.say(group, OTHER, "hello")
            with pytest.raises(LookupError):
                await client.wait_closed()
        fail = False
        async with client_over(links, store=tmp_path / "app.db", on_batch=apply):
            pass
        return sqlite3.connect(tmp_path / "app.db").execute("SELECT text FROM app").fetchall()

    assert asyncio.run(body()) == [("hello",)]


def test_what_is_posted_from_within_is_kept_with_the_batch_or_not_at_all(tmp_path: Path) -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        fail = True

        def answer(tx: sqlite3.Connection, batch: Batch) -> None:
            for entry in batch:
                if entry.sender == OTHER:
                    client.post(entry.group, f"re: {entry.text}")
            if fail and batch.entries:
                raise LookupError("killed before the commit")

        client = client_over(links, store=tmp_path / "bot.db", on_batch=answer)
        async with client:
            links.server.say(group, OTHER, "hello")
            with pytest.raises(LookupError):
                await client.wait_closed()
        fail = False
        client = client_over(links, store=tmp_path / "bot.db", on_batch=answer)
        async with client:
            await until(lambda: len(links.server.log(group)) == 3 and not client.pending())
        client = client_over(links, store=tmp_path / "bot.db", on_batch=answer)
        async with client:
            await until(lambda: client.is_connected)
        assert [entry.sender for entry in links.server.log(group)] == [OTHER, OTHER, ME]

    asyncio.run(body())


def test_events_are_told_after_the_commit(tmp_path: Path) -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        told: list[str] = []
        client = client_over(links, store=tmp_path / "a.db", on_batch=lambda tx, batch: told.append("batch"))
        client.on_event = lambda event: told.append(type(event).__name__)
        async with client:
            assert told == ["batch", "Snapshot", "Recovered"]
            assert client.position(group) is not None
            assert client.position("elsewhere") is None

    asyncio.run(body())


def test_another_process_that_opens_the_store_takes_over(tmp_path: Path) -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        first, second = (client_over(links, store=tmp_path / "a.db") for _ in range(2))
        async with first, second:
            with pytest.raises(SendUnknown) as unknown:
                await first.send(group, "x")
            assert isinstance(unknown.value.__cause__, StoreTaken)
            made = len(links.made)
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(links.made) == made, "what has ended does not come back"
            assert await second.send(group, "y") == 2

    asyncio.run(body())


def test_a_store_of_another_user_is_refused(tmp_path: Path) -> None:
    async def body() -> None:
        links = PlayedLinks()
        async with client_over(links, store=tmp_path / "a.db"):
            pass
        with pytest.raises(StoreOfAnother):
            await client_over(links, OTHER, store=tmp_path / "a.db").connect()

    asyncio.run(body())


@pytest.mark.parametrize("on_batch", [None, lambda tx, batch: None], ids=["iterated", "on_batch"])
def test_a_link_under_another_users_token_is_given_the_hello_and_nothing_else(tmp_path: Path, on_batch: Any) -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        async with client_over(links, store=tmp_path / "a.db", on_batch=on_batch) as client:
            links.refusals = 1_000_000_000
            links.last.cut()
            client.post(group, "typed while offline", send_id="s1")
        links.refusals = 0
        with pytest.raises(StoreOfAnother):
            await client_over(links, OTHER, store=tmp_path / "a.db", on_batch=on_batch).connect()
        assert [type(event) for event in written(links)] == [ev.Hello]
        async with client_over(links, store=tmp_path / "a.db", on_batch=on_batch) as client:
            await until(lambda: not client.pending())
        assert [(entry.sender, entry.send_id) for entry in links.server.log(group)[1:]] == [(ME, "s1")]

    asyncio.run(body())


def test_a_token_function_that_turns_to_another_user_ends_the_client_and_sends_nothing() -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        signing_in, signed_in = asyncio.Event(), asyncio.Event()

        async def token() -> str:
            if not links.made:
                return ME
            signing_in.set()
            await signed_in.wait()
            return OTHER

        async with client_over(links, token) as client:
            links.last.cut(4100)
            await signing_in.wait()
            client.post(group, "typed while offline")
            signed_in.set()
            with pytest.raises(StoreOfAnother):
                await client.wait_closed()
            assert len(links.made) == 2
            assert [type(event) for event in written(links)] == [ev.Hello]
            assert len(links.server.log(group)) == 1

    asyncio.run(body())


VERBS: dict[str, Callable[[Client], Any]] = {
    "send": lambda client: client.send("g", "x"),
    "post": lambda client: client.post("g", "x"),
    "create_group": lambda client: client.create_group("name"),
    "add": lambda client: client.add("g", [OTHER]),
    "remove": lambda client: client.remove("g", OTHER),
    "leave": lambda client: client.leave("g"),
    "join": lambda client: client.join("g"),
    "rename": lambda client: client.rename("g", "name"),
    "delete_group": lambda client: client.delete_group("g"),
    "set_role": lambda client: client.set_role("g", OTHER, "admin"),
    "skip": lambda client: client.skip("g", "s1"),
    "groups": lambda client: client.groups(),
    "members": lambda client: client.members("g"),
    "history": lambda client: client.history("g"),
    "mark_read": lambda client: client.mark_read("g", 1),
    "connect": lambda client: client.connect(),
}
LOOKS = {
    "batches", "close", "is_connected", "on_answer", "on_event", "pending", "position", "statistics", "user",
    "wait_closed",
}  # fmt: skip
"""What is no verb: it asks nobody for anything, and says also of a client that has ended what there is to say."""


async def raised_at_once(verb: Callable[[Client], Any], client: Client) -> BaseException | None:
    """What a verb raises within one turn of the loop."""

    async def call() -> None:
        waiting = verb(client)
        if asyncio.iscoroutine(waiting):
            await waiting

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    if not task.done():
        task.cancel()
        return AssertionError("it waits")
    return task.exception()


def test_no_verb_is_forgotten_below() -> None:
    public = {name for name in dir(client_over(PlayedLinks())) if not name.startswith("_")}
    assert public == set(VERBS) | LOOKS


@pytest.mark.parametrize("end", ["closed", "ended", "ended and closed", "taken", "taken and closed", "never connected"])
def test_every_verb_of_a_client_that_has_ended_raises_at_once(tmp_path: Path, end: str) -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        client = client_over(links, store=tmp_path / "a.db", connect_s_max=0.0 if end == "never connected" else 10.0)
        cause: type[BaseException] | None = None
        if end == "never connected":
            with pytest.raises(NotConnected):
                await client.connect()
        else:
            await client.connect()
        if end.startswith("ended"):
            cause = ConnectionEnded
            links.last.cut(4204)
        elif end.startswith("taken"):
            cause = StoreTaken
            SqliteClientStore(tmp_path / "a.db").load()
            client.post(group, "x")
        if cause is not None:
            with pytest.raises(cause):
                await client.wait_closed()
        if end.endswith("closed"):
            await client.close()
        for name, verb in VERBS.items():
            raised = await raised_at_once(verb, client)
            assert isinstance(raised, ClientError), f"{name}: {raised!r}"
            assert name == "connect" or (type(raised.__cause__) is cause if cause else raised.__cause__ is None), name
        assert client.pending() == [] or end.startswith("taken")
        assert client.statistics().groups <= 1
        assert not client.is_connected
        await client.close()

    asyncio.run(body())


def test_a_client_that_was_ended_and_closed_hands_over_nothing_more(tmp_path: Path) -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])
        client = client_over(links, store=tmp_path / "a.db")
        await client.connect()
        links.server.say(group, OTHER, "one")
        links.server.say(group, OTHER, "two")
        assert (await anext(client)).text == "one"
        links.last.cut(4204)
        with pytest.raises(ConnectionEnded):
            await client.wait_closed()
        await client.close()
        for _ in range(2):
            with pytest.raises(ConnectionEnded):
                await anext(client)
            with pytest.raises(ConnectionEnded):
                await anext(client.batches())
        async with client_over(links, store=tmp_path / "a.db") as client:
            assert [(await anext(client)).text for _ in range(2)] == ["one", "two"], "neither was done with"

    asyncio.run(body())


@pytest.mark.parametrize("turns", range(5))
def test_a_send_posted_again_as_its_answer_comes_is_the_same_send(tmp_path: Path, turns: int) -> None:
    async def body() -> None:
        links = PlayedLinks()
        group = links.server.create(OTHER, [ME])

        def welcome(tx: sqlite3.Connection, batch: Batch) -> None:
            for entry in batch:
                if entry.sender == OTHER:
                    client.post(group, "welcome", send_id="welcome")

        client = client_over(links, store=tmp_path / "a.db", on_batch=welcome)
        async with client:
            links.server.say(group, OTHER, "one")
            # So many turns of the loop apart, the answer comes before the second entry, in one read with it, or after.
            for _ in range(turns):
                await asyncio.sleep(0)
            links.server.say(group, OTHER, "two")
            await until(lambda: client.statistics().received == 3 and not client.pending())
            assert client.is_connected
        assert SqliteClientStore(tmp_path / "a.db").load().outbox == []
        assert [entry.sender for entry in links.server.log(group)].count(ME) == 1

    asyncio.run(body())


def test_what_on_batch_cannot_be(tmp_path: Path) -> None:
    async def waits(tx: sqlite3.Connection, batch: Batch) -> None: ...

    with pytest.raises(ValueError, match="store in a file"):
        Client("http://server", ME, on_batch=lambda tx, batch: None)
    with pytest.raises(TypeError, match="cannot wait"):
        Client("http://server", ME, store=tmp_path / "a.db", on_batch=waits)  # type: ignore[arg-type]
