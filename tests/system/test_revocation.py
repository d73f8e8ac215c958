"""Whoever is shut out of a real server is out within a second, on sockets, streams and every door; others stay."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from folkmoot.client import Client, ConnectionEnded
from folkmoot.gateway.identity import mint, secret_of
from folkmoot.gateway.rotation import rotate
from folkmoot.protocol.errors import CODES
from folkmoot.testing.served import Served, WireClient, served
from folkmoot.testing.sse_client import SseClient

SECONDS_MAX = 3.0
"""From the answer that says it is done to the end of the last connection: a second, where the machine has the time."""

USER, BYSTANDER = "user-1", "user-2"


class Doors:
    """One token's live connections: a socket and a stream."""

    def __init__(self, socket: WireClient, stream: SseClient) -> None:
        self.socket = socket
        self.stream = stream

    async def leave(self, code: str) -> None:
        """Both end within their time, and say why."""
        async with asyncio.timeout(SECONDS_MAX):
            assert await self.socket.ended() == (code, CODES[code].close)
            assert await self.stream.ended() == code

    async def hear(self, seq: int) -> None:
        """Both are told of an entry."""
        await self.socket.wait("entry", seq=seq)
        await self.stream.wait("entry", seq=seq)


class Office:
    """A server and its operator, and a group of two users of whom one looks on."""

    def __init__(self, server: Served, rest: httpx.AsyncClient, bystander: Doors, group: str) -> None:
        self.server = server
        self.rest = rest
        self.bystander = bystander
        self.group = group
        self._said = 0

    def token(self, user: str = USER, *, device: str = "", lifetime_s: int = 600) -> str:
        now_ms = time.time_ns() // 1_000_000
        return mint(secret_of(self.server.data_dir), user, device=device, lifetime_s=lifetime_s, now_ms=now_ms)

    async def key(self, *scopes: str) -> tuple[str, str]:
        """A new key's id, and its text."""
        answer = await self.rest.post("/keys", json={"name": "shop", "scopes": scopes})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], answer.json()["key"]

    async def done(self, method: str, path: str, **body: object) -> None:
        answer = await self.rest.request(method, path, json=body)
        assert answer.status_code == 200, answer.text

    async def say(self) -> int:
        """The bystander says something; its number."""
        self._said += 1
        sent = await self.bystander.socket.asked(
            "message", {"text": "still here"}, f"say-{self._said}", group=self.group, join=1
        )
        return int(sent["seq"])

    async def send(self, rest: httpx.AsyncClient) -> httpx.Response:
        """What a message to the group, as the user, is answered."""
        headers = {"Idempotency-Key": "late", "Folkmoot-User": USER}
        return await rest.post(f"/groups/{self.group}/messages", json={"text": "x"}, headers=headers)

    async def comes_no_more(self, token: str, code: str, status: int) -> None:
        """The token opens nothing any more."""
        client = await self.server.stranger()
        client.say({"t": "hello", "token": token, "versions": [1]})
        assert (await client.ended())[0] == code
        assert client.all("welcome") == []
        stream = await SseClient.asks(self.server.port, f"/v1/groups/{self.group}/stream", token)
        assert await stream.problem() == (status, code)
        async with self.server.rest(token=token) as rest:
            for answer in (await rest.get("/me"), await self.send(rest)):
                assert (answer.status_code, answer.json()["code"]) == (status, code)


async def doors(server: Served, group: str, token: str) -> Doors:
    """A socket and a stream to which the group is live."""
    client = await server.stranger()
    client.say({"t": "hello", "token": token, "versions": [1]})
    client.say({"t": "resume", "others": True})
    await client.wait("resumed")
    stream = await SseClient.asks(server.port, f"/v1/groups/{group}/stream", token)
    await stream.wait("recovered")
    return Doors(client, stream)


def an_office(tmp_path: Path, test: Callable[[Office], Awaitable[None]]) -> None:
    """Run `test` beside a bystander, to whom messages go on coming."""

    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token=server.operator()) as rest:
            maker = await server.client(BYSTANDER)
            made = await maker.asked("group.created", {"name": "g", "members": [USER]}, "make")
            bystander = await doors(server, made["group"], server.token(BYSTANDER))
            office = Office(server, rest, bystander, made["group"])
            await test(office)
            await bystander.hear(await office.say())
            assert maker.all("goodbye") == []

    asyncio.run(run())


def test_a_deactivated_user(tmp_path: Path) -> None:
    async def test(office: Office) -> None:
        token = office.token()
        devices = [await doors(office.server, office.group, office.token(device=name)) for name in ("phone", "tablet")]
        await office.done("PUT", f"/users/{USER}/active", active=False)
        await asyncio.gather(*(one.leave("deactivated") for one in devices))
        await office.comes_no_more(token, "deactivated", 403)
        _, key = await office.key("read", "write")
        async with office.server.rest(token=key) as shop:
            answer = await office.send(shop)
            assert (answer.status_code, answer.json()["code"]) == (403, "deactivated")
        # Groups and memberships stay: whoever is let in again goes on where they were.
        await office.done("PUT", f"/users/{USER}/active", active=True)
        await (await doors(office.server, office.group, token)).hear(await office.say())

    an_office(tmp_path, test)


def test_a_device_and_then_all_are_signed_out(tmp_path: Path) -> None:
    async def test(office: Office) -> None:
        tokens = {name: office.token(device=name) for name in ("phone", "tablet")}
        phone, tablet = [await doors(office.server, office.group, token) for token in tokens.values()]
        await office.done("POST", f"/users/{USER}/sign-out", device="phone")
        await phone.leave("signed_out")
        await office.comes_no_more(tokens["phone"], "signed_out", 401)
        await tablet.hear(await office.say())
        await office.done("POST", f"/users/{USER}/sign-out")
        await tablet.leave("signed_out")
        await office.comes_no_more(tokens["tablet"], "signed_out", 401)
        await (await doors(office.server, office.group, office.token(device="phone"))).hear(await office.say())

    an_office(tmp_path, test)


def test_a_key_the_tokens_that_it_had_made_and_the_streams_by_which_it_acts(tmp_path: Path) -> None:
    async def test(office: Office) -> None:
        key_id, key = await office.key("tokens", "read")
        path = f"/v1/groups/{office.group}/stream"
        async with office.server.rest(token=key) as shop:
            token = (await shop.post(f"/users/{USER}/tokens", json={"lifetime_s": 60})).json()["token"]
            by_token = await doors(office.server, office.group, token)
            by_key = await SseClient.asks(office.server.port, path, key, headers={"Folkmoot-User": USER})
            await by_key.wait("recovered")
            own = await doors(office.server, office.group, office.token())
            await office.done("DELETE", f"/keys/{key_id}")
            await by_token.leave("key_revoked")
            assert await by_key.ended() == "key_revoked"
            await office.comes_no_more(token, "key_revoked", 401)
            assert (await shop.get("/me")).json()["code"] == "key_revoked"
            await own.hear(await office.say())

    an_office(tmp_path, test)


def test_a_token_whose_time_is_over(tmp_path: Path) -> None:
    async def test(office: Office) -> None:
        token = office.token(lifetime_s=3)
        both = await doors(office.server, office.group, token)
        (welcome,) = both.socket.all("welcome")
        await both.socket.ended()
        await both.leave("token_expired")
        late_ms = time.time_ns() // 1_000_000 - welcome["token_expires_ms"]
        # The wheel turns once a second; the rest is what this process took to hear of it.
        assert 0 <= late_ms < SECONDS_MAX * 1_000 + 500
        await office.comes_no_more(token, "token_expired", 401)

    an_office(tmp_path, test)


def test_a_member_who_is_removed(tmp_path: Path) -> None:
    async def test(office: Office) -> None:
        both = await doors(office.server, office.group, office.token())
        removed = await office.bystander.socket.asked(
            "member.removed", {"user": USER}, "out", group=office.group, join=1
        )
        async with asyncio.timeout(SECONDS_MAX):
            told = await both.socket.wait("ended", group=office.group), await both.stream.wait("ended")
            await both.stream.until(lambda: both.stream.lost)
        assert [event["seq"] for event in told] == [removed["seq"]] * 2
        await office.bystander.hear(await office.say())
        # The removal is the last that they were told.
        assert both.socket.seqs(office.group)[-1] == both.stream.seqs(office.group)[-1] == removed["seq"]

    an_office(tmp_path, test)


def test_a_secret_that_is_changed(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            maker = await server.client(USER)
            group = (await maker.asked("group.created", {"name": "g"}, "make"))["group"]
            both = await doors(server, group, server.token(USER))
            rotate(tmp_path, keep_old_ms=0, now_ms=time.time_ns() // 1_000_000)
            await both.leave("token_invalid")
            assert (await doors(server, group, server.token(USER))).socket.all("welcome")

    asyncio.run(run())


def test_an_sdk_asks_for_another_token_after_a_sign_out_and_gives_up_when_deactivated(tmp_path: Path) -> None:
    async def test(office: Office) -> None:
        given: list[str] = []

        def token() -> str:
            given.append(office.token())
            return given[-1]

        async with Client(office.server.url, token) as client:
            await client.send(office.group, "before")
            await office.done("POST", f"/users/{USER}/sign-out")
            await client.send(office.group, "after")
            assert len(given) == 2
            await office.done("PUT", f"/users/{USER}/active", active=False)
            with pytest.raises(ConnectionEnded) as ended:
                async for _ in client:
                    pass
            assert ended.value.code == "deactivated"
            assert len(given) == 2

    an_office(tmp_path, test)


@pytest.mark.parametrize("users", [100])
def test_many_at_once(tmp_path: Path, users: int) -> None:
    async def test(office: Office) -> None:
        names = [f"crowd-{n}" for n in range(users)]
        added = await office.bystander.socket.asked(
            "member.added", {"users": names}, "crowd", group=office.group, join=1
        )
        assert added["t"] == "accepted", added
        crowd = [await doors(office.server, office.group, office.token(name)) for name in names]
        await asyncio.gather(*(office.done("PUT", f"/users/{name}/active", active=False) for name in names))
        await asyncio.gather(*(one.leave("deactivated") for one in crowd))

    an_office(tmp_path, test)


def test_a_key_asks_within_its_rate(tmp_path: Path) -> None:
    async def test(office: Office) -> None:
        made = (await office.rest.post("/keys", json={"name": "slow", "scopes": ["read"], "requests_per_s": 1})).json()
        async with office.server.rest(token=made["key"]) as slow:
            answers = [await slow.get("/me") for _ in range(4)]
        assert [answer.status_code for answer in answers][:2] == [200, 200]
        assert answers[-1].status_code == 429
        assert answers[-1].json()["code"] == "rate_limited"
        assert int(answers[-1].headers["retry-after"]) == 1

    an_office(tmp_path, test)


def test_metrics_ask_for_the_scope(tmp_path: Path) -> None:
    async def test(office: Office) -> None:
        url = f"{office.server.url}/metrics"
        credentials = ["", (await office.key("read"))[1], (await office.key("metrics"))[1], office.server.operator()]
        statuses = []
        for credential in credentials:
            async with office.server.rest(token=credential) as rest:
                statuses.append((await rest.get(url)).status_code)
                for path in ("/healthz", "/readyz"):
                    assert (await rest.get(office.server.url + path)).status_code == 200
        assert statuses == [401, 403, 200, 200]

    an_office(tmp_path, test)
