"""Streams over the server's port: who may open which, what it resumes from, and that a killed server costs nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from folkmoot.model.position import Position
from folkmoot.testing.served import Served, served
from folkmoot.testing.sse_client import SseClient


def with_server(tmp_path: Path, test: Callable[[Served], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), served(tmp_path, **settings) as server:
            await test(server)

    asyncio.run(run())


async def a_group(server: Served, *members: str, messages: int = 0) -> str:
    async with server.rest("user-1") as rest:
        asked = {"name": "g", "members": list(members)}
        made = await rest.post("/groups", json=asked, headers={"Idempotency-Key": "make"})
        group = str(made.json()["group"])
        await say(server, group, *(str(number) for number in range(messages)))
    return group


async def say(server: Served, group: str, *texts: str) -> None:
    async with server.rest("user-1") as rest:
        for text in texts:
            headers = {"Idempotency-Key": f"m-{text}"}
            assert (
                await rest.post(f"/groups/{group}/messages", json={"text": text}, headers=headers)
            ).status_code == 201


async def one(server: Served, user: str, group: str, position: str | None = None, **asked: Any) -> SseClient:
    path = f"/v1/groups/{group}/stream"
    return await SseClient.asks(server.port, path, server.token(user), last_event_id=position, **asked)


def test_a_group_is_streamed_from_its_head_or_from_the_join(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server, "user-2", messages=2)
        fresh = await one(server, "user-2", group)
        await fresh.wait("recovered")
        token = server.token("user-2")
        whole = await SseClient.asks(server.port, f"/v1/groups/{group}/stream?fresh=join", token)
        await whole.wait("recovered")
        await say(server, group, "live")
        await fresh.wait("entry", seq=4)
        await whole.wait("entry", seq=4)
        assert [e.name for e in fresh.events] == ["welcome", "snapshot", "recovered", "entry"]
        assert whole.seqs(group) == [1, 2, 3, 4]
        assert fresh.events[0].data["user"] == "user-2"

    with_server(tmp_path, test)


def test_many_groups_are_streamed_as_resume_asks(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server, "user-2", messages=3)
        token = server.token("user-2")
        whole = await SseClient.asks(server.port, "/v1/stream", token, body={"others": True, "fresh": "join"})
        await whole.wait("resumed")
        held = whole.all("entry")[1].data["position"]
        again = await SseClient.asks(server.port, "/v1/stream", token, body={"groups": {group: held}})
        await again.wait("recovered")
        assert again.seqs(group) == [3, 4]

    with_server(tmp_path, test)


def test_a_server_that_stops_says_goodbye_and_another_goes_on_from_the_last_id(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            group = await a_group(server, "user-2", messages=2)
            reader = await one(server, "user-2", group)
            await reader.wait("recovered")
            await say(server, group, "a")
            await reader.wait("entry", seq=4)
        assert await reader.ended() == "server_draining"
        async with served(tmp_path) as server:
            await say(server, group, "b", "c")
            again = await one(server, "user-2", group, reader.last_event_id)
            await again.wait("recovered")
            assert again.seqs(group) == [5, 6]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "position", "body", "expected"),
    [
        ("/v1/groups/nowhere/stream", None, None, (404, "no_such_group")),
        ("/v1/groups/nowhere/stream", "rubbish", None, (400, "bad_position")),
        ("/v1/groups/nowhere/stream", str(Position(1, 1, bytes(8))), None, (404, "no_such_group")),
        ("/v1/groups/nowhere/stream?fresh=x", None, None, (400, "bad_request")),
        ("/v1/stream", None, {}, (400, "bad_request")),
        ("/v1/stream", None, {"others": True, "fresh": "x"}, (400, "bad_request")),
        ("/v1/stream", None, {"others": True, "window": 3}, (400, "bad_request")),
        ("/v1/stream", None, {"groups": {"g": "rubbish"}}, (400, "bad_position")),
    ],
)
def test_a_request_that_is_none_is_a_problem(
    tmp_path: Path, path: str, position: str | None, body: object, expected: tuple[int, str]
) -> None:
    async def test(server: Served) -> None:
        token = server.token("user-1")
        reader = await SseClient.asks(server.port, path, token, last_event_id=position, body=body)
        assert await reader.problem() == expected

    with_server(tmp_path, test)


def test_who_is_no_member_is_told_what_is_told_of_no_group(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server, "user-2")
        assert await (await one(server, "user-3", group)).problem() == (404, "no_such_group")
        reader = await one(server, "user-2", group)
        await reader.wait("recovered")
        async with server.rest("user-1") as rest:
            await rest.delete(f"/groups/{group}/members/user-2")
        assert await reader.ended() == ""
        # A reader that comes back by itself comes back no more: there is nothing left for it.
        for position in (None, reader.last_event_id):
            assert await (await one(server, "user-2", group, position)).problem() == (404, "no_such_group")

    with_server(tmp_path, test)


def test_credentials_are_asked_for_and_only_in_headers(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server)
        path = f"/v1/groups/{group}/stream"
        assert await (await SseClient.asks(server.port, path, None)).problem() == (401, "token_invalid")
        query = f"{path}?token={server.token('user-1')}"
        assert await (await SseClient.asks(server.port, query, None)).problem() == (401, "token_invalid")

    with_server(tmp_path, test)


def test_an_older_http_is_told_what_it_takes(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server)
        assert await (await one(server, "user-1", group, version="1.0")).problem() == (505, "unsupported_version")

    with_server(tmp_path, test)


def test_streams_have_the_bound_of_sockets(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server)
        await (await one(server, "user-1", group)).wait("recovered")
        client = await server.client("user-1")
        late = await one(server, "user-1", group)
        assert await late.problem() == (503, "too_many_connections")
        assert late.headers["retry-after"] == "1"
        client.transport.disconnect()

    with_server(tmp_path, test, connections_max=2)


def test_a_stream_outlives_the_time_that_a_request_has(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server, "user-2")
        reader = await one(server, "user-2", group)
        await reader.wait("recovered")
        dawdler, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await dawdler.read() == b""
        writer.close()
        await say(server, group, "later")
        await reader.wait("entry", seq=2)

    with_server(tmp_path, test, request_seconds_max=1.0)


def test_more_groups_than_one_resume_takes_are_followed(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server)
        missing = {f"g{number}": "" for number in range(250)}
        token = server.token("user-1")
        reader = await SseClient.asks(server.port, "/v1/stream", token, body={"groups": missing | {group: ""}})
        await reader.wait("recovered")
        assert [e.data["ref"] for e in reader.all("error")] == list(missing)
        assert {e.data["code"] for e in reader.all("error")} == {"no_such_group"}

    with_server(tmp_path, test)


def test_a_key_streams_for_the_user_that_it_names_until_it_is_revoked(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        group = await a_group(server, "user-2")
        path = f"/v1/groups/{group}/stream"
        async with server.rest(token=server.operator()) as operator:
            made = (await operator.post("/keys", json={"name": "reader", "scopes": ["read"]})).json()
            deaf = (await operator.post("/keys", json={"name": "writer", "scopes": ["write"]})).json()
            for_two = {"Folkmoot-User": "user-2"}
            assert await (await SseClient.asks(server.port, path, made["key"])).problem() == (400, "bad_request")
            refused = await SseClient.asks(server.port, path, deaf["key"], headers=for_two)
            assert await refused.problem() == (403, "not_allowed")
            reader = await SseClient.asks(server.port, path, made["key"], headers=for_two)
            await reader.wait("recovered")
            assert (await reader.wait("welcome"))["user"] == "user-2"
            await operator.delete(f"/keys/{made['id']}")
        assert await reader.ended() == "key_revoked"

    with_server(tmp_path, test)
