"""Each verb of the client against a real server on loopback, and what is kept when either side is started again."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from folkmoot.client import (
    Answered,
    Client,
    ClientError,
    ConnectionEnded,
    GroupEvent,
    NotConnected,
    OutboxFull,
    Received,
    RequestFailed,
    SendRefused,
    SendUnknown,
    SqliteClientStore,
    StoreOfAnother,
)
from folkmoot.client.kept import Changes, KeptSend
from folkmoot.model.ids import group_id
from folkmoot.protocol import events as ev
from folkmoot.testing.served import Served, served

WAIT_S_MAX = 10.0


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Served], Awaitable[None]]], None]:
    """Runs a test with a server of its own, within a time."""

    def with_server(test: Callable[[Served], Awaitable[None]]) -> None:
        async def body() -> None:
            async with asyncio.timeout(30), served(tmp_path / "server") as server:
                await test(server)

        asyncio.run(body())

    return with_server


Run = Callable[[Callable[[Served], Awaitable[None]]], None]


@asynccontextmanager
async def clients(server: Served, *users: str) -> AsyncIterator[list[Client]]:
    made = [Client(server.url, server.token(user), fresh="join") for user in users]
    try:
        for client in made:
            await client.connect()
        yield made
    finally:
        for client in made:
            await client.close()


async def heard(client: Client, condition: Callable[[Received], bool]) -> Received:
    """The first entry from now on of which it holds."""
    async with asyncio.timeout(WAIT_S_MAX):
        async for entry in client:
            if condition(entry):
                return entry
    raise AssertionError("closed")


def test_two_people_talk(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1", "user-2") as (one, two):
            assert (one.user, two.user) == ("user-1", "user-2")
            group = await one.create_group("room", members=["user-2"], send_id="make")
            assert group == group_id("user-1", "make")
            assert await one.send(group, "hello") == 2
            entry = await heard(two, lambda entry: entry.text == "hello")
            assert (entry.seq, entry.sender, entry.kind) == (2, "user-1", "message")
            assert await two.send(group, type="app.move", data={"to": [1, 2]}) == 3
            entry = await heard(one, lambda entry: entry.type == "app.move")
            assert entry.data == {"to": [1, 2]}

    run(body)


def test_many_at_once_keep_their_order(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1", "user-2") as (one, two):
            group = await one.create_group("room", members=["user-2"])
            seqs = await asyncio.gather(*(one.send(group, f"m{number}") for number in range(250)))
            assert seqs == list(range(2, 252))
            texts: list[str] = []
            async for batch in two.batches():
                texts.extend(entry.text for entry in batch if entry.kind == "message")
                if len(texts) == 250:
                    break
            assert texts == [f"m{number}" for number in range(250)]
            assert one.statistics().outbox == 0

    run(body)


def test_the_same_send_id_is_the_same_message(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1", "user-1") as (phone, laptop):
            group = await phone.create_group("room", send_id="make")
            assert await laptop.create_group("room", send_id="make") == group
            assert await phone.send(group, "once", send_id="s1") == 2
            assert await laptop.send(group, "once", send_id="s1") == 2
            with pytest.raises(SendRefused, match="send_id_conflict"):
                await laptop.send(group, "twice", send_id="s1")

    run(body)


def test_members_come_and_go(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1", "user-2", "user-3") as (owner, second, third):
            events: list[GroupEvent] = []
            second.on_event = events.append
            group = await owner.create_group("room", entry="open")
            await owner.add(group, ["user-2"])
            assert (await heard(second, lambda entry: entry.kind == "member.added")).body == {"users": ["user-2"]}
            assert await third.join(group) == 3
            await third.send(group, "I am in")
            await owner.set_role(group, "user-2", "admin")
            await second.rename(group, "a better name")
            rows = await owner.members(group)
            assert [(row.user, row.role) for row in rows.members] == [
                ("user-1", "owner"), ("user-2", "admin"), ("user-3", "member"),
            ]  # fmt: skip
            assert [row.name for row in (await third.groups()).groups] == ["a better name"]
            await owner.remove(group, "user-2")
            await third.leave(group)
            await heard(second, lambda entry: entry.kind == "member.removed")
            with pytest.raises(SendRefused):
                await second.send(group, "too late")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(second), 0.05)
            assert isinstance(events[0], ev.JoinedEvent)
            assert isinstance(events[-1], ev.Ended)
            assert second.position(group) is None

    run(body)


def test_refusals_say_why(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1", "user-2") as (one, two):
            group = await one.create_group("room", members=["user-2"])
            for attempt, code in (
                (two.add(group, ["user-3"]), "not_allowed"),
                (one.leave(group), "last_owner"),
                (one.remove(group, "user-9"), "not_a_member"),
                (one.send(group, ""), "bad_body"),
                (one.send("gnowhere", "hello?"), "no_such_group"),
            ):
                with pytest.raises(SendRefused) as refused:
                    await attempt
                assert refused.value.code == code

    run(body)


def test_a_stranger_who_may_not_join_learns_nothing(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1", "user-2") as (one, stranger):
            closed = await one.create_group("closed")
            for group in (closed, "gnowhere"):
                with pytest.raises(SendUnknown, match="not_taken"):
                    await stranger.join(group)
            assert stranger.pending() == []

    run(body)


@pytest.mark.parametrize("live", [True, False])
def test_an_application_that_falls_far_behind_gets_everything(run: Run, live: bool) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1") as (one,):
            groups = sorted([await one.create_group(f"g{number}", members=["user-2"]) for number in range(5)])
            # Four catch-ups end just within the window, and leave the fifth no room for all of its own.
            counts = dict(zip(groups, (8, 8, 8, 8, 60), strict=True))

            async def say_all() -> None:
                for group, count in counts.items():
                    await asyncio.gather(*(one.send(group, "x") for _ in range(count)))

            if not live:
                await say_all()
            async with Client(server.url, server.token("user-2"), fresh="join", window=10) as slow:
                if live:
                    await say_all()
                # It takes nothing until entries have been dropped for want of room.
                while not slow.statistics().overflowed:
                    await slow.groups()
                seen: dict[str, list[int]] = {group: [] for group in groups}
                async with asyncio.timeout(WAIT_S_MAX):
                    async for entry in slow:
                        seen[entry.group].append(entry.seq)
                        if all(len(seen[group]) == count + 1 for group, count in counts.items()):
                            break
                assert seen == {group: list(range(1, count + 2)) for group, count in counts.items()}

    run(body)


def test_history_is_read_both_ways_and_queries_fail_with_a_code(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1", "user-2") as (one, stranger):
            group = await one.create_group("room")
            for number in range(9):
                await one.send(group, f"m{number}")
            page = await one.history(group, limit=3)
            assert ([entry.seq for entry in page.entries], page.more, page.head) == ([8, 9, 10], True, 10)
            page = await one.history(group, after=0, limit=2)
            assert [entry.kind for entry in page.entries] == ["group.created", "message"]
            page = await one.history(group, before=3)
            assert ([entry.seq for entry in page.entries], page.more) == ([1, 2], False)
            for attempt, code in (
                (one.history(group, limit=1_000_000), "bad_limit"),
                (stranger.history(group), "no_such_group"),
                (stranger.members(group), "no_such_group"),
            ):
                with pytest.raises(RequestFailed) as failed:
                    await attempt
                assert failed.value.code == code

    run(body)


def test_lists_come_in_pages(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1") as (one,):
            made = sorted([await one.create_group(f"g{number}") for number in range(5)])
            seen, after = [], ""
            while True:
                page = await one.groups(after=after, limit=2)
                seen += [row.group for row in page.groups]
                if page.next is None:
                    break
                after = page.next
            assert seen == made

    run(body)


def test_a_read_pointer_reaches_the_users_other_device(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1", "user-2") as (one, two):
            group = await one.create_group("room", members=["user-2"])
            for number in range(3):
                await one.send(group, f"m{number}")
            await heard(two, lambda entry: entry.text == "m2")
            two.mark_read(group, 3)
            async with asyncio.timeout(WAIT_S_MAX):
                # Each look is a round trip to the server: it paces itself.
                while (await two.groups()).groups[0].unread != 1:
                    pass

    run(body)


def test_what_was_missed_comes_when_a_client_is_started_again(run: Run, tmp_path: Path) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1") as (one,):
            group = await one.create_group("room", members=["user-2"])
            path = tmp_path / "two.db"
            async with Client(server.url, server.token("user-2"), store=path, fresh="join") as two:
                await one.send(group, "first")
                await heard(two, lambda entry: entry.text == "first")
            await one.send(group, "while away")
            async with Client(server.url, server.token("user-2"), store=path, fresh="join") as two:
                assert (await anext(two)).text == "while away"
                assert two.statistics().duplicates == 0

    run(body)


def test_an_entry_that_was_not_done_with_comes_again(run: Run, tmp_path: Path) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1") as (one,):
            group = await one.create_group("room")
            await one.send(group, "a")
            await one.send(group, "b")
            seen: list[str] = []

            async def work(*, fail_at: str) -> None:
                path = tmp_path / "bot.db"
                async with Client(server.url, server.token("user-1"), store=path, fresh="join") as bot:
                    async for entry in bot:
                        seen.append(entry.text)
                        if entry.text == fail_at:
                            raise LookupError
                        if entry.text == "b":
                            return

            with pytest.raises(LookupError):
                await work(fail_at="a")
            await work(fail_at="")
            assert seen == ["", "a", "a", "b"]

    run(body)


def test_a_client_a_server_and_their_sends_survive_a_restart_of_both(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def body() -> None:
        path = tmp_path / "one.db"
        async with served(tmp_path / "server", port=port) as server:
            token = server.token("user-1")
            async with Client(server.url, token, store=path, reconnect_s_max=0.1) as one:
                group = await one.create_group("room")
        client = Client(server.url, token, store=path, connect_s_max=0.2)
        with pytest.raises(NotConnected):
            await client.connect()
        # Offline an application keeps what it is told to send: here as the store has it after a kill.
        store = SqliteClientStore(path)
        store.load()
        store.db.execute(
            'INSERT INTO folkmoot_outbox (send_id, "group", kind, "join", body) VALUES (?, ?, ?, ?, ?)',
            ("kept", group, "message", 1, b'{"text":"kept"}'),
        )
        store.close()
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        async with served(tmp_path / "server", port=port):
            client = Client(server.url, token, store=path, fresh="join")
            client.on_answer = answer.set_result
            async with client as one, asyncio.timeout(WAIT_S_MAX):
                answered = await answer
                assert (answered.send_id, answered.seq) == ("kept", 2)
                assert one.pending() == []
                assert (await one.history(group)).entries[-1].text == "kept"

    asyncio.run(body())


def test_the_outbox_of_one_user_is_not_sent_by_the_next_on_the_same_device(run: Run, tmp_path: Path) -> None:
    async def body(server: Served) -> None:
        path = tmp_path / "device.db"
        async with Client(server.url, server.token("user-1"), store=path) as one:
            group = await one.create_group("room", members=["user-2"])
        store = SqliteClientStore(path)
        store.load()
        kept = KeptSend(send_id="kept", group=group, kind="message", join=1, body=b'{"text":"typed while offline"}')
        store.commit(Changes(made=[kept]))
        store.close()
        with pytest.raises(StoreOfAnother):
            await Client(server.url, server.token("user-2"), store=path).connect()
        async with Client(server.url, server.token("user-1"), store=path) as one:
            # The same id: it waits for the answer to what was kept.
            assert await one.send(group, "typed while offline", send_id="kept") == 2
            assert [entry.sender for entry in (await one.history(group)).entries] == ["user-1", "user-1"]

    run(body)


def test_clients_come_back_to_a_server_that_was_stopped(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def body() -> None:
        async with served(tmp_path / "server", port=port) as server:
            client = Client(server.url, server.token("user-1"), fresh="join", reconnect_s_max=0.1)
            await client.connect()
            group = await client.create_group("room")
        waiting = asyncio.create_task(client.send(group, "sent while nobody was there"))
        async with served(tmp_path / "server", port=port):
            assert await waiting == 2
            assert client.statistics().reconnects == 1
            await client.close()

    asyncio.run(body())


def test_a_forged_token_ends_the_client(run: Run) -> None:
    async def body(server: Served) -> None:
        with pytest.raises(ConnectionEnded, match="token_invalid"):
            await Client(server.url, "forged").connect()

    run(body)


def test_a_send_that_takes_too_long_goes_on(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1") as (one,):
            group = await one.create_group("room")
            with pytest.raises(SendUnknown, match="timeout"):
                await one.send(group, "slow", send_id="s1", timeout_s=0.0)
            assert await one.send(group, "slow", send_id="s1") == 2

    run(body)


def test_an_outbox_has_a_bound_and_says_so(run: Run) -> None:
    async def body(server: Served) -> None:
        async with Client(server.url, server.token("user-1"), outbox_sends_max=3) as one:
            group = await one.create_group("room")
            for number in range(3):
                one.post(group, f"m{number}")
            with pytest.raises(OutboxFull):
                one.post(group, "one more")

    run(body)


def test_a_flood_of_sends_is_slowed_down_and_loses_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            served(tmp_path / "server", sends_per_s=400.0, sends_burst=50.0) as server,
            clients(server, "user-1") as (one,),
        ):
            group = await one.create_group("room")
            seqs = await asyncio.gather(*(one.send(group, f"m{number}") for number in range(300)))
            assert seqs == list(range(2, 302))
            assert one.statistics().resent > 0
            assert one.statistics().connections == 1

    asyncio.run(body())


def test_giving_up_a_send_that_was_made_already_tells_its_seq(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1") as (one,):
            group = await one.create_group("room")
            await one.send(group, "there", send_id="s1")
            assert await one.skip(group, "s1") == 2
            assert await one.skip(group, "never-made") is None
            with pytest.raises(SendRefused, match="skipped"):
                await one.send(group, "late copy", send_id="never-made")

    run(body)


def test_a_client_connects_once_and_must_be_open(run: Run) -> None:
    async def body(server: Served) -> None:
        client = Client(server.url, server.token("user-1"))
        with pytest.raises(ClientError, match="not connected"):
            await client.send("g", "x")
        async with client:
            pass
        await client.close()
        with pytest.raises(ClientError):
            await client.connect()
        with pytest.raises(ClientError):
            await client.send("g", "x")
        with pytest.raises(RequestFailed, match="closed"):
            await client.groups()
        assert [entry async for entry in client] == []

    run(body)


def test_closing_ends_the_iteration(run: Run) -> None:
    async def body(server: Served) -> None:
        async with clients(server, "user-1") as (one,):

            async def all_of() -> list[Received]:
                return [entry async for entry in one]

            listening = asyncio.create_task(all_of())
            await asyncio.sleep(0)
            await one.close()
            assert await listening == []

    run(body)


def test_an_address_with_a_token_in_it_is_refused() -> None:
    with pytest.raises(ValueError, match="token"):
        Client("http://127.0.0.1:1/?token=secret", "token")
