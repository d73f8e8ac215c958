"""Whoever is shut out of a real server is out within a second, on live connections and by every door; others stay."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from folkmoot.client import Client, ConnectionEnded
from folkmoot.testing.served import Served, WireClient, served

SECONDS_MAX = 1.0
"""From the answer that says it is done to the end of the last connection."""


class Office:
    """A server and its operator, and a group with two members on live connections."""

    def __init__(self, server: Served, rest: httpx.AsyncClient) -> None:
        self.server = server
        self.rest = rest
        self.group = ""

    async def key(self, *scopes: str) -> tuple[str, httpx.AsyncClient]:
        """A new key's id, and a client that asks with it."""
        answer = await self.rest.post("/keys", json={"name": "shop", "scopes": scopes})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], self.server.rest(token=answer.json()["key"])

    async def put(self, path: str, **body: object) -> None:
        answer = await self.rest.put(path, json=body)
        assert answer.status_code == 200, answer.text

    async def post(self, path: str, **body: object) -> None:
        answer = await self.rest.post(path, json=body)
        assert answer.status_code == 200, answer.text

    async def send(self, rest: httpx.AsyncClient, acting_as: str = "user-1") -> httpx.Response:
        """What a message to the group is answered."""
        headers = {"Idempotency-Key": "late", "Folkmoot-User": acting_as}
        return await rest.post(f"/groups/{self.group}/messages", json={"text": "x"}, headers=headers)

    async def socket(self, token: str, device: str = "") -> WireClient:
        client = await self.server.stranger()
        client.say({"t": "hello", "token": token, "versions": [1], "device": device})
        client.say({"t": "resume", "others": True})
        await client.wait("resumed")
        return client

    async def leaves(self, client: WireClient, code: str, close: int) -> None:
        """The connection ends within its second, and says why."""
        begun = time.monotonic()
        assert await client.ended() == (code, close)
        assert time.monotonic() - begun < SECONDS_MAX

    async def comes_no_more(self, token: str, code: str, status: int) -> None:
        """The token opens nothing any more."""
        client = await self.server.stranger()
        client.say({"t": "hello", "token": token, "versions": [1]})
        assert (await client.ended())[0] == code
        assert client.all("welcome") == []
        async with self.server.rest(token=token) as rest:
            for answer in (
                await rest.get("/me"),
                await self.send(rest),
            ):
                assert (answer.status_code, answer.json()["code"]) == (status, code)


def an_office(tmp_path: Path, test: Callable[[Office, WireClient], Awaitable[None]]) -> None:
    """Run `test` with a bystander, to whom messages have to go on coming."""

    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token=server.operator()) as rest:
            office = Office(server, rest)
            bystander = await server.client("user-2")
            made = await bystander.asked("group.created", {"name": "g", "members": ["user-1"]}, "make")
            office.group = made["group"]
            bystander.say({"t": "resume", "others": True})
            await bystander.wait("resumed")
            await test(office, bystander)
            sent = await bystander.asked("message", {"text": "still here"}, "last", group=office.group, join=1)
            await bystander.wait("entry", seq=sent["seq"])
            assert bystander.all("goodbye") == []
            members = (await rest.get(f"/groups/{office.group}/members", headers={"Folkmoot-User": "user-2"})).json()
            assert "user-2" in [row["user"] for row in members["members"]]

    asyncio.run(run())


def test_a_deactivated_user(tmp_path: Path) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        token = office.server.token("user-1")
        phone, tablet = await office.socket(token, "phone"), await office.socket(token, "tablet")
        await office.put("/users/user-1/active", active=False)
        await asyncio.gather(office.leaves(phone, "deactivated", 4206), office.leaves(tablet, "deactivated", 4206))
        await office.comes_no_more(token, "deactivated", 403)
        _, shop = await office.key("read", "write")
        async with shop:
            answer = await office.send(shop)
            assert (answer.status_code, answer.json()["code"]) == (403, "deactivated")
        # Groups and memberships stay: whoever is let in again goes on where they were.
        await office.put("/users/user-1/active", active=True)
        again = await office.socket(token)
        assert [event["group"] for event in again.all("snapshot")] == [office.group]

    an_office(tmp_path, test)


def test_a_device_and_then_all_are_signed_out(tmp_path: Path) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        token = office.server.token("user-1")
        phone, tablet = await office.socket(token, "phone"), await office.socket(token, "tablet")
        await office.post("/users/user-1/sign-out", device="phone")
        await office.leaves(phone, "signed_out", 4102)
        tablet.say({"t": "ping", "ref": "still here"})
        await tablet.wait("pong", ref="still here")
        await office.post("/users/user-1/sign-out")
        await office.leaves(tablet, "signed_out", 4102)
        await office.comes_no_more(token, "signed_out", 401)
        assert (await office.socket(office.server.token("user-1"))).all("welcome")

    an_office(tmp_path, test)


def test_a_key_and_the_tokens_that_it_had_made(tmp_path: Path) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        key_id, shop = await office.key("tokens", "read")
        async with shop:
            token = (await shop.post("/users/user-1/tokens", json={"lifetime_s": 60})).json()["token"]
            client = await office.socket(token)
            own = await office.socket(office.server.token("user-1"))
            answer = await office.rest.delete(f"/keys/{key_id}")
            assert answer.status_code == 200
            await office.leaves(client, "key_revoked", 4103)
            await office.comes_no_more(token, "key_revoked", 401)
            assert (await shop.get("/me")).json()["code"] == "key_revoked"
            assert own.all("goodbye") == []

    an_office(tmp_path, test)


def test_a_token_whose_time_is_over(tmp_path: Path) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        token = office.server.token("user-1", lifetime_s=2)
        client = await office.socket(token)
        (welcome,) = client.all("welcome")
        assert await client.ended() == ("token_expired", 4100)
        late_ms = time.time_ns() // 1_000_000 - welcome["token_expires_ms"]
        assert 0 <= late_ms < SECONDS_MAX * 1_000 + 200  # The wheel turns once a second; the rest is this process's.
        await office.comes_no_more(token, "token_expired", 401)

    an_office(tmp_path, test)


def test_a_member_who_is_removed(tmp_path: Path) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        client = await office.socket(office.server.token("user-1"))
        removed = await bystander.asked("member.removed", {"user": "user-1"}, "out", group=office.group, join=1)
        begun = time.monotonic()
        ended = await client.wait("ended", group=office.group)
        assert time.monotonic() - begun < SECONDS_MAX
        assert ended["seq"] == removed["seq"] == client.seqs(office.group)[-1]

    an_office(tmp_path, test)


def test_an_sdk_asks_for_another_token_after_a_sign_out_and_gives_up_when_deactivated(tmp_path: Path) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        given: list[str] = []

        def token() -> str:
            given.append(office.server.token("user-1"))
            return given[-1]

        async with Client(office.server.url, token) as client:
            await client.send(office.group, "before")
            await office.post("/users/user-1/sign-out")
            await client.send(office.group, "after")
            assert len(given) == 2
            await office.put("/users/user-1/active", active=False)
            with pytest.raises(ConnectionEnded) as ended:
                async for _ in client:
                    pass
            assert ended.value.code == "deactivated"
            assert len(given) == 2

    an_office(tmp_path, test)


@pytest.mark.parametrize("users", [200])
def test_many_at_once(tmp_path: Path, users: int) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        clients = {
            user: await office.socket(office.server.token(user)) for user in (f"crowd-{n}" for n in range(users))
        }
        await asyncio.gather(*(office.put(f"/users/{user}/active", active=False) for user in clients))
        await asyncio.gather(*(office.leaves(client, "deactivated", 4206) for client in clients.values()))

    an_office(tmp_path, test)


def test_a_key_asks_within_its_rate(tmp_path: Path) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        made = (await office.rest.post("/keys", json={"name": "slow", "scopes": ["read"], "requests_per_s": 1})).json()
        async with office.server.rest(token=made["key"]) as slow:
            answers = [await slow.get("/me") for _ in range(4)]
        assert [answer.status_code for answer in answers][:2] == [200, 200]
        assert answers[-1].status_code == 429
        assert answers[-1].json()["code"] == "rate_limited"
        assert int(answers[-1].headers["retry-after"]) == 1

    an_office(tmp_path, test)


def test_metrics_ask_for_the_scope(tmp_path: Path) -> None:
    async def test(office: Office, bystander: WireClient) -> None:
        _, reader = await office.key("read")
        _, prometheus = await office.key("metrics")
        url = f"{office.server.url}/metrics"
        async with reader, prometheus, office.server.rest(token="") as stranger:
            statuses = [(await client.get(url)).status_code for client in (stranger, reader, prometheus, office.rest)]
            assert statuses == [401, 403, 200, 200]
            for path in ("/healthz", "/readyz"):
                assert (await stranger.get(office.server.url + path)).status_code == 200

    an_office(tmp_path, test)
