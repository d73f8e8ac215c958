"""One connection: hello, windows, rates, and what is said when a request or a frame is not one."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.connection import QUERIES_WAITING_MAX
from folkmoot.gateway.service import GatewaySettings
from folkmoot.protocol import events as ev
from folkmoot.protocol.limits import SENDS_UNANSWERED_MAX
from folkmoot.testing.edge import Edge, Talker

OWNER = "user-1"


def an_edge(test: Callable[[Edge], Awaitable[None]], **fields: Any) -> None:
    async def body() -> None:
        async with Edge(MemoryStore(Disk(), bucket_size=8), **fields) as edge:
            await test(edge)

    asyncio.run(body())


async def a_group(owner: Talker) -> str:
    answer = await owner.asked("", "group.created", {"name": "g"}, "make", join=0)
    assert isinstance(answer, ev.Accepted)
    await owner.wait(ev.Recovered)
    return answer.group


def test_a_welcome_says_who_and_for_how_long() -> None:
    async def test(edge: Edge) -> None:
        talker = await edge.talker(OWNER, device="phone")
        (welcome,) = talker.all(ev.Welcome)
        assert (welcome.user, welcome.device, welcome.version) == (OWNER, "phone", 1)
        assert (welcome.token_expires_ms or 0) > welcome.time_ms
        assert edge.gateway.connections == 1
        talker.drop()
        talker.drop()
        assert edge.gateway.connections == 0

    an_edge(test)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"versions": []}, "unsupported_version"),
        ({"window": 0}, "bad_event"),
        ({"window": 10**6}, "bad_event"),
        ({"device": "a b"}, "bad_event"),
        ({"token": "x"}, "token_invalid"),
    ],
)
def test_a_hello_that_is_none_ends_the_connection(hello: dict[str, Any], code: str) -> None:
    async def test(edge: Edge) -> None:
        talker = Talker(edge, OWNER, "")
        frame = json.dumps({"t": "hello", "token": "x", "versions": [1]} | hello).encode()
        talker.connection.receive(frame)
        (goodbye,) = talker.all(ev.Goodbye)
        assert goodbye.code == code
        assert talker.outlet.closed is not None
        talker.connection.receive(frame)  # Whatever comes after is nobody's.
        assert talker.count(ev.Goodbye) == 1
        assert edge.gateway.statistics()[f"ended_{code}"] == 1

    an_edge(test)


def test_the_window_of_sends_is_bounded_and_says_so() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        for n in range(SENDS_UNANSWERED_MAX + 5):
            owner.ask(group, "message", {"text": "x"}, f"s{n}")
        assert [event.code for event in owner.all(ev.Undecided)] == ["window_full"] * 5
        await owner.until(lambda: owner.count(ev.Accepted) == SENDS_UNANSWERED_MAX + 1)
        assert owner.connection.unanswered == 0

    an_edge(test, gateway=GatewaySettings(sends_burst=1_000))


def test_sends_over_the_rate_are_told_how_long_to_wait() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        for n in range(5):
            owner.ask(group, "message", {"text": "x"}, f"s{n}")
        limited = await owner.wait(ev.Undecided)
        assert limited.code == "rate_limited"
        assert 0 < limited.retry_after_ms <= 1_001

    an_edge(test, gateway=GatewaySettings(sends_per_s=1, sends_burst=3))


def test_while_draining_nothing_new_is_taken_and_everyone_is_sent_on() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        owner.ask(group, "message", {"text": "taken"}, "taken")
        draining = asyncio.create_task(edge.gateway.drain())
        await asyncio.sleep(0)
        owner.ask(group, "message", {"text": "late"}, "late")
        await draining
        assert [event.id for event in owner.all(ev.Accepted)] == ["make", "taken"]
        assert [(event.id, event.code) for event in owner.all(ev.Undecided)] == [("late", "draining")]
        (goodbye,) = owner.all(ev.Goodbye)
        assert goodbye.code == "server_draining"
        assert goodbye.reconnect_after_ms is not None

    an_edge(test)


def test_queries_at_once_are_bounded() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        for n in range(QUERIES_WAITING_MAX + 3):
            owner.say(ev.ListGroups(ref=str(n)))
        await owner.until(lambda: owner.count(ev.GroupList) == QUERIES_WAITING_MAX)
        assert [event.code for event in owner.all(ev.Failed)] == ["unavailable"] * 3

    an_edge(test)


def test_a_paused_reader_that_takes_bytes_is_alive() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        owner.outlet.stop_reading()
        owner.connection.paused()
        edge.gateway.wheel.now += 100
        owner.connection.ping()
        assert owner.connection.heard == edge.gateway.wheel.now
        edge.gateway.wheel.now += 100
        owner.connection.ping()  # Not one byte was taken since: no sign of life.
        assert owner.connection.heard == edge.gateway.wheel.now - 100

    an_edge(test)


def test_pings_are_answered() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.talker(OWNER)
        owner.say(ev.Ping(ref="x"))
        assert owner.all(ev.Pong) == [ev.Pong(ref="x")]

    an_edge(test)
