"""What a connection leaves behind: nothing. Its objects go with it, without the garbage collector."""

import asyncio
import collections
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from folkmoot.gateway import wheel
from folkmoot.gateway.connection import Connection
from folkmoot.gateway.follow import Follower
from folkmoot.gateway.sse import Stream
from folkmoot.gateway.websocket import Socket, WebSocketOutlet
from folkmoot.testing.served import Served, served
from folkmoot.testing.sse_client import SseClient

KEPT = (Connection, Follower, Socket, Stream, WebSocketOutlet)
WAIT_S_MAX = 10.0


@pytest.fixture(autouse=True)
def _no_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # The wheel lets go of expiries that are over when there are many: here of any.
    monkeypatch.setattr(wheel, "STALE_EXPIRIES_MAX", 0)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def kept() -> dict[str, int]:
    """How many there are of what each connection has."""
    return dict(collections.Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, KEPT)))


async def until_nothing_is_kept() -> None:
    # What is over goes in later turns of the loop; each look walks all objects, so there are few.
    async with asyncio.timeout(WAIT_S_MAX):
        while kept():  # noqa: ASYNC110 - the last reference goes without a word, and no other way shows that it went.
            await asyncio.sleep(0.05)


async def use_sockets(server: Served) -> None:
    one, other = await server.client("user-1"), await server.client("user-2")
    for client in (one, other):
        client.say({"t": "resume", "others": True})
    made = await one.asked("group.created", {"name": "g", "members": ["user-2"]}, "make")
    await other.wait("joined", group=made["group"])
    sent = await other.asked("message", {"text": "hello"}, "send", group=made["group"], join=1)
    assert sent["t"] == "accepted"
    await one.wait("entry", seq=2)
    assert kept()["Connection"] == kept()["WebSocketOutlet"] == 2
    for client in (one, other):
        client.transport.disconnect()


def test_sockets_that_have_gone_are_freed_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path, hello_seconds=1) as server:
            await use_sockets(server)
            await until_nothing_is_kept()

    asyncio.run(run())


def test_a_socket_that_was_ended_is_freed_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path, hello_seconds=1) as server:
            client = await server.client("user-1")
            client.say({"t": "nonsense"})
            client.say({"t": "hello"})
            assert (await client.ended())[0]
            await until_nothing_is_kept()

    asyncio.run(run())


def test_streams_that_have_gone_are_freed_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path, hello_seconds=1) as server:
            async with server.rest("user-1") as rest:
                made = await rest.post("/groups", json={"name": "g"}, headers={"Idempotency-Key": "make"})
            path = f"/v1/groups/{made.json()['group']}/stream"
            stream = await SseClient.asks(server.port, path, server.token("user-1"))
            await stream.until(lambda: bool(stream.events))
            assert kept()["Stream"] == 1
            stream.transport.close()
            await until_nothing_is_kept()

    asyncio.run(run())
