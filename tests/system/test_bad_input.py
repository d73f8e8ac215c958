"""Bad input over real sockets: each gets its code, the sender alone is harmed, and a bystander goes on unharmed."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from picows import WSMsgType

from folkmoot.gateway.identity import secret_of
from folkmoot.model.position import Position
from folkmoot.testing.served import Served, WireClient, served

Test = Callable[[Served, WireClient], Awaitable[None]]


def with_bystander(tmp_path: Path, test: Test, **settings: Any) -> None:
    """Run `test` beside a bystander who sends and hears before and after it."""

    async def body() -> None:
        async with served(tmp_path, **settings) as server:
            bystander = await server.client("user-1")
            bystander.say({"t": "resume", "others": True})
            await bystander.wait("resumed")
            made = await bystander.asked("group.created", {"name": "g"}, "make")
            await bystander.wait("recovered", group=made["group"])
            await test(server, bystander)
            said = await bystander.asked("message", {"text": "still here"}, "after", group=made["group"], join=1)
            assert said["t"] == "accepted"
            await bystander.wait("entry", id="after")

    asyncio.run(body())


def hello(server: Served, user: str = "user-2", **fields: Any) -> bytes:
    return json.dumps({"t": "hello", "token": server.token(user), "versions": [1]} | fields).encode()


@pytest.mark.parametrize(
    ("frames", "code", "close"),
    [
        ([b"{nope"], "not_json", 4200),
        ([b""], "not_json", 4200),
        ([b'{"t":"ping","ref":"\xff\xfe"}'], "not_json", 4200),
        ([b"[" * 30_000], "bad_event", 4201),
        ([b'{"t":"send","id":"a","kind":"message","body":' + b'{"a":' * 9_000], "not_json", 4200),
        ([b'{"t":"no_such_event"}'], "bad_event", 4201),
        ([b'{"t":"ping","ref":5}'], "bad_event", 4201),
        ([b'{"t":"read","ref":"r","group":"g","limit":"ten"}'], "bad_event", 4201),
        ([b'"just a string"'], "bad_event", 4201),
        ([b'{"t":"hello","token":"x","versions":[1]}'], "out_of_state", 4203),
        ([b'{"t":"ping","ref":"' + b"x" * 70_000 + b'"}'], "frame_too_large", 4202),
    ],
)
def test_a_bad_frame_ends_its_connection_with_its_code(
    tmp_path: Path, frames: list[bytes], code: str, close: int
) -> None:
    async def test(server: Served, _: WireClient) -> None:
        client = await server.client("user-2")
        for frame in frames:
            client.say_bytes(frame)
        got, closed = await client.ended()
        assert (got, closed) == (code, close)

    with_bystander(tmp_path, test)


def test_a_binary_frame_and_a_ten_megabyte_frame_end_theirs_too(tmp_path: Path) -> None:
    async def test(server: Served, _: WireClient) -> None:
        client = await server.client("user-2")
        client.say_bytes(b"{}", WSMsgType.BINARY)
        assert await client.ended() == ("bad_event", 4201)
        client = await server.client("user-2")
        client.say_bytes(b"x" * 10_000_000)
        assert await client.ended() == ("frame_too_large", 4202)

    with_bystander(tmp_path, test)


def test_nothing_but_a_hello_is_taken_first_and_one_has_to_come(tmp_path: Path) -> None:
    async def test(server: Served, _: WireClient) -> None:
        early = await server.stranger()
        early.say({"t": "ping", "ref": "x"})
        assert await early.ended() == ("out_of_state", 4203)
        silent = await server.stranger()
        assert await silent.ended() == ("hello_timeout", 4003)
        old = await server.stranger()
        old.say({"t": "hello", "token": server.token("user-2"), "versions": [7]})
        assert await old.ended() == ("unsupported_version", 4205)

    with_bystander(tmp_path, test, hello_seconds=1)


def forged(secret: bytes, **claims: Any) -> dict[str, str]:
    good = {"sub": "user-2", "exp": int(time.time()) + 60}
    none = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, good)
    )
    return {
        "expired": jwt.encode(good | {"exp": int(time.time()) - 60}, secret, algorithm="HS256"),
        "of another secret": jwt.encode(good, b"x" * 48, algorithm="HS256"),
        "alg none": none + ".",
        "another algorithm": jwt.encode(good, secret + b"0" * 48, algorithm="HS512"),
        "no subject": jwt.encode({"exp": good["exp"]}, secret, algorithm="HS256"),
        "not yet": jwt.encode(good | {"nbf": int(time.time()) + 600}, secret, algorithm="HS256"),
        "no token": "a.b",
        "too long": "x" * 20_000,
    }


def test_forged_and_expired_tokens_are_turned_away_and_never_echoed(tmp_path: Path) -> None:
    async def test(server: Served, _: WireClient) -> None:
        for name, token in forged(secret_of(server.data_dir)).items():
            client = await server.stranger()
            client.say({"t": "hello", "token": token, "versions": [1]})
            code, close = await client.ended()
            assert code == ("token_expired" if name == "expired" else "token_invalid"), name
            assert close == (4100 if name == "expired" else 4101)
            assert token not in json.dumps(client.events)

    with_bystander(tmp_path, test)


def test_a_token_that_expires_ends_a_live_connection_and_refresh_keeps_one(tmp_path: Path) -> None:
    async def test(server: Served, _: WireClient) -> None:
        clients = []
        for _attempt in range(2):
            client = await server.stranger()
            client.say({"t": "hello", "token": server.token("user-2", lifetime_s=2), "versions": [1]})
            await client.wait("welcome")
            clients.append(client)
        clients[1].say({"t": "refresh", "token": server.token("user-2")})
        await clients[1].wait("refreshed")
        assert await clients[0].ended() == ("token_expired", 4100)
        assert not clients[1].lost
        clients[1].say({"t": "refresh", "token": server.token("user-3")})
        assert await clients[1].ended() == ("token_invalid", 4101)

    with_bystander(tmp_path, test)


def test_a_flood_is_told_how_long_to_wait_and_then_ended(tmp_path: Path) -> None:
    async def test(server: Served, bystander: WireClient) -> None:
        group = bystander.all("accepted")[0]["group"]
        client = await server.client("user-2")
        for n in range(150):
            client.say(
                {"t": "send", "id": f"s{n}", "kind": "message", "group": group, "join": 1, "body": {"text": "x"}}
            )
        limited = await client.wait("undecided", code="rate_limited")
        assert limited["retry_after_ms"] > 0
        for n in range(400):
            client.say({"t": "ping", "ref": str(n)})
        assert await client.ended() == ("flood", 4204)

    with_bystander(tmp_path, test, sends_per_s=5, sends_burst=20, events_per_s=10, events_burst=300)


def test_a_group_of_others_is_as_one_that_does_not_exist_by_every_door(tmp_path: Path) -> None:
    async def test(server: Served, bystander: WireClient) -> None:
        theirs, nowhere = bystander.all("accepted")[0]["group"], "gnowhere"
        client = await server.client("user-2")
        stories = []
        for group in (theirs, nowhere):
            client.events.clear()
            client.say({"t": "resume", "groups": {group: ""}})
            await client.wait("error")
            client.say({"t": "resume", "groups": {group: str(Position(1, 1, b"12345678"))}})
            client.say({"t": "read", "ref": "r", "group": group})
            client.say({"t": "list_members", "ref": "m", "group": group})
            client.say({"t": "mark_read", "group": group, "seq": 1})
            await client.until(lambda: len(client.all("error")) == 5)
            for kind in ("message", "member.joined", "skip", "member.added"):
                for join in (0, 1, 99):
                    await client.asked(kind, {}, f"{group}{kind}{join}", group=group, join=join)
            told = sorted(json.dumps(event, sort_keys=True).replace(group, "GROUP") for event in client.events)
            stories.append(told)
        assert stories[0] == stories[1]
        assert {event["code"] for event in client.all("undecided")} == {"not_taken"}

    with_bystander(tmp_path, test)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"t": "read", "ref": "r", "group": "GROUP", "limit": 0}, "bad_limit"),
        ({"t": "read", "ref": "r", "group": "GROUP", "limit": -5}, "bad_limit"),
        ({"t": "read", "ref": "r", "group": "GROUP", "limit": 10**9}, "bad_limit"),
        ({"t": "read", "ref": "r", "group": "GROUP", "limit": 10**400}, "bad_limit"),
        ({"t": "read", "ref": "r", "group": "GROUP", "after": -1}, "bad_limit"),
        ({"t": "read", "ref": "r", "group": "GROUP", "after": 2**63}, "bad_limit"),
        ({"t": "read", "ref": "r", "group": "GROUP", "after": 1, "before": 2}, "bad_request"),
        ({"t": "list_groups", "ref": "r", "limit": 10**9}, "bad_limit"),
        ({"t": "list_members", "ref": "r", "group": "GROUP", "limit": 0}, "bad_limit"),
        ({"t": "mark_read", "group": "GROUP", "seq": 10**9}, "bad_request"),
        ({"t": "resume", "groups": {"GROUP": "not a position"}}, "bad_position"),
        ({"t": "resume", "groups": {f"g{n}": "" for n in range(101)}}, "too_many"),
        ({"t": "resume", "fresh": "sideways"}, "bad_request"),
        ({"t": "ack", "groups": {f"g{n}": 1 for n in range(501)}}, "too_many"),
        ({"t": "send", "id": "", "kind": "message", "group": "GROUP"}, "bad_request"),
        ({"t": "send", "id": "a b", "kind": "message", "group": "GROUP"}, "bad_request"),
        ({"t": "send", "id": "a", "kind": "message", "group": "GROUP", "join": -1}, "bad_request"),
        ({"t": "send", "id": "a", "kind": "message", "group": "GROUP", "after": ""}, "bad_request"),
        ({"t": "send", "id": "a", "kind": "x" * 100, "group": "GROUP"}, "bad_request"),
    ],
)
def test_a_bad_field_fails_its_request_and_the_connection_goes_on(
    tmp_path: Path, event: dict[str, Any], code: str
) -> None:
    async def test(server: Served, bystander: WireClient) -> None:
        group = bystander.all("accepted")[0]["group"]
        bystander.say(json.loads(json.dumps(event).replace("GROUP", group)))
        await bystander.wait("error", code=code)

    with_bystander(tmp_path, test)


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("message", {}, "bad_body"),
        ("message", {"text": "x" * 8_001}, "too_long"),
        ("message", {"text": "x", "colour": "red"}, "bad_body"),
        ("message", {"data": {}}, "bad_body"),
        ("member.added", {"users": "user-2"}, "bad_body"),
        ("no.such.kind", {}, "unknown_kind"),
        ("member.added", {"users": [f"u{n}" for n in range(1_001)]}, "too_long"),
    ],
)
def test_a_bad_body_is_refused_for_good(tmp_path: Path, kind: str, body: dict[str, Any], code: str) -> None:
    async def test(server: Served, bystander: WireClient) -> None:
        group = bystander.all("accepted")[0]["group"]
        for _attempt in range(2):
            answer = await bystander.asked(kind, body, "bad", group=group, join=1)
            assert (answer["t"], answer["code"]) == ("refused", code)

    with_bystander(tmp_path, test)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/socket", {}, 400),
        ("/v1/socket", {"Sec-WebSocket-Protocol": "folkmoot.v9.json"}, 400),
        ("/v1/socket?token=x", {"Sec-WebSocket-Protocol": "folkmoot.v1.json"}, 404),
        ("/elsewhere", {"Sec-WebSocket-Protocol": "folkmoot.v1.json"}, 404),
        ("/v1/socket", {"Sec-WebSocket-Protocol": "folkmoot.v1.json", "Origin": "https://elsewhere.example"}, 403),
    ],
)
def test_an_upgrade_that_is_not_ours_is_answered_as_a_problem(
    tmp_path: Path, path: str, headers: dict[str, str], status: int
) -> None:
    async def test(server: Served, _: WireClient) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(f"HTTP/1.1 {status}".encode())
        assert b"application/problem+json" in answer
        writer.close()

    with_bystander(tmp_path, test)


def test_a_connection_that_dribbles_its_request_is_closed(tmp_path: Path) -> None:
    async def test(server: Served, _: WireClient) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert await asyncio.wait_for(reader.read(), 15) == b""
        writer.close()

    with_bystander(tmp_path, test, request_seconds_max=1.0)


def test_a_thousand_connect_at_once_and_all_are_served(tmp_path: Path) -> None:
    async def test(server: Served, _: WireClient) -> None:
        clients = await asyncio.gather(*(server.client(f"u{n}") for n in range(1_000)))
        assert all(client.all("welcome") for client in clients)
        for client in clients:
            client.transport.disconnect(graceful=False)

    with_bystander(tmp_path, test)


def test_half_open_sockets_are_ended_by_silence(tmp_path: Path) -> None:
    async def test(server: Served, _: WireClient) -> None:
        # A socket that never answers a ping: the handshake by hand, then nothing is read or written.
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.sendall(
            b"GET /v1/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: folkmoot.v1.json\r\n\r\n"
        )
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            assert (await loop.sock_recv(raw, 4_096)).startswith(b"HTTP/1.1 101")
            payload = hello(server)
            mask = b"\0\0\0\0"
            head = b"\x81" + bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
            await loop.sock_sendall(raw, head + mask + payload)
        received = b""
        async with asyncio.timeout(10):
            while chunk := await loop.sock_recv(raw, 65_536):
                received += chunk
        assert b'"code":"idle"' in received
        raw.close()

    with_bystander(tmp_path, test, ping_interval_s=1)


def test_beyond_the_bound_of_connections_newcomers_are_told_to_come_later(tmp_path: Path) -> None:
    async def test(server: Served, _: WireClient) -> None:
        await server.client("user-2")
        with pytest.raises(Exception, match="503"):
            await server.stranger()

    with_bystander(tmp_path, test, connections_max=2)
