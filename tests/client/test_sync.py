"""The blocking client against a real server that runs in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from folkmoot.client.errors import ClientError, ConnectionEnded, SendRefused
from folkmoot.client.sync import SyncClient
from folkmoot.testing.served import Served, served


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    ready = threading.Event()
    made: list[Served] = []
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        stops.append((asyncio.get_running_loop(), stop))
        try:
            async with served(tmp_path / "server") as one:
                made.append(one)
                ready.set()
                await stop.wait()
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield made[0]
    finally:
        loop, stop = stops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


def test_all_the_verbs(server: Served) -> None:
    with (
        SyncClient(server.url, server.token("user-1"), fresh="join") as one,
        SyncClient(server.url, server.token("user-2"), fresh="join") as two,
    ):
        group = one.create_group("room", members=["user-2"], history="all", entry="open")
        assert one.send(group, "hello") == 2
        seen = []
        for entry in two:
            seen.append((entry.seq, entry.text))
            if entry.text == "hello":
                break
        assert seen == [(1, ""), (2, "hello")]
        assert two.send(group, type="t", data=[1]) == 3
        one.set_role(group, "user-2", "admin")
        two.rename(group, "new")
        one.add(group, ["user-3"])
        one.remove(group, "user-3")
        assert [row.user for row in one.members(group).members] == ["user-1", "user-2"]
        assert one.groups().groups[0].name == "new"
        assert [entry.seq for entry in one.history(group, after=1, limit=2).entries] == [2, 3]
        two.leave(group)
        assert two.join(group) > 3
        one.mark_read(group, 2)
        assert one.skip(group, "never-made") is None
        assert one.position(group)
        assert (one.user, one.is_connected) == ("user-1", True)
        assert one.statistics().groups == 1
        with pytest.raises(SendRefused, match="bad_body"):
            one.send(group, "")


def test_nothing_within_the_time_is_none_and_nothing_is_lost(server: Served) -> None:
    with SyncClient(server.url, server.token("user-1"), fresh="join") as one:
        assert one.receive(0.01) is None
        group = one.create_group("room")
        one.send(group, "hello")
        assert [entry.seq for entry in (one.receive(5.0), one.receive(5.0)) if entry] == [1, 2]


def test_batches(server: Served) -> None:
    with SyncClient(server.url, server.token("user-1"), fresh="join") as one:
        events: list[object] = []
        one.on_event(events.append)
        group = one.create_group("room")
        for number in range(5):
            one.send(group, f"m{number}")
        seqs: list[int] = []
        for batch in one.batches():
            seqs.extend(entry.seq for entry in batch)
            if len(seqs) == 6:
                break
        assert seqs == [1, 2, 3, 4, 5, 6]
        assert events


def test_errors_come_through_and_leave_no_thread(server: Served) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "folkmoot-client"]

    with pytest.raises(ConnectionEnded):
        SyncClient(server.url, "forged").connect()
    assert threads() == []
    client = SyncClient(server.url, server.token("user-1"))
    with pytest.raises(ClientError, match="not connected"):
        client.send("g", "x")
    with client:
        pass
    client.close()
    assert threads() == []
    with pytest.raises(ClientError):
        client.connect()


def test_a_client_that_was_never_connected_can_be_closed() -> None:
    SyncClient("http://127.0.0.1:1", "token").close()
