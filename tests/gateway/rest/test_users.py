"""Users: profiles of oneself and by a key, deactivation, sign-outs, and tokens made for them."""

import asyncio
from pathlib import Path

import httpx
import pytest

from folkmoot.testing.served import Served, served


async def a_key(server: Served, *scopes: str) -> str:
    async with server.rest(token=server.operator()) as operator:
        answer = await operator.post("/keys", json={"name": "backend", "scopes": scopes})
    key: str = answer.json()["key"]
    return key


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def test_one_writes_and_reads_ones_own_profile_and_no_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest:
            raw = b'{"name":"User One","picture":"https://example.org/1.png","data":{"colour":  "blue"}}'
            written = await rest.put("/users/user-1", content=raw)
            assert written.status_code == 200
            assert b'"data":{"colour":  "blue"}' in written.content
            read = (await rest.get("/users/user-1")).json()
            assert (read["name"], read["active"], read["changed_ms"] > 0) == ("User One", True, True)
            assert said(await rest.get("/users/user-2")) == (403, "not_allowed")
            assert said(await rest.put("/users/user-2", json={})) == (403, "not_allowed")
            assert said(await rest.get("/users")) == (403, "not_allowed")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b'{"data":[]}', 400, "bad_request"),
        (b'{"data":null}', 400, "bad_request"),
        (b'{"name":null}', 400, "bad_request"),
        (b'{"more":1}', 400, "bad_request"),
        (b'{"name":"' + b"x" * 201 + b'"}', 413, "too_long"),
        (b'{"data":{"a":"' + b"x" * 16_384 + b'"}}', 413, "too_long"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_profile(tmp_path: Path, content: bytes, status: int, code: str) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest:
            assert said(await rest.put("/users/user-1", content=content)) == (status, code)

    asyncio.run(run())


def test_a_key_looks_users_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token=await a_key(server, "users")) as backend:
            assert said(await backend.get("/users/user-1")) == (404, "no_such_user")
            for number in (1, 2, 3):
                await backend.put(f"/users/user-{number}", json={"name": f"User {number}"})
            page = (await backend.get("/users", params={"limit": 2})).json()
            assert ([user["user"] for user in page["users"]], page["next"]) == (["user-1", "user-2"], "user-2")
            rest = (await backend.get("/users", params={"after": "user-2"})).json()
            assert ([user["name"] for user in rest["users"]], rest["next"]) == (["User 3"], None)
            named = (await backend.get("/users", params={"ids": ["user-3", "user-9", "user-1"]})).json()
            assert [user["user"] for user in named["users"]] == ["user-3", "user-1"]
            # It may not read as a user: it has not that scope.
            assert said(await backend.get("/groups", headers={"Folkmoot-User": "user-1"})) == (403, "not_allowed")

    asyncio.run(run())


def test_a_key_acts_for_a_user_who_it_has_to_name(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            key = await a_key(server, "read", "write")
            async with server.rest(token=key) as nobody, server.rest(token=key, acting_as="user-1") as backend:
                assert said(await nobody.get("/groups")) == (400, "bad_request")
                made = await backend.post("/groups", json={"name": "g"}, headers={"Idempotency-Key": "make"})
                assert made.status_code == 201
                async with server.rest("user-1") as rest:
                    assert (await rest.get(f"/groups/{made.json()['group']}")).json()["role"] == "owner"
                me = (await backend.get("/me")).json()
                assert (me["user"], me["scopes"], me["key"]) == ("user-1", ["read", "write"], key.split("_")[1])

    asyncio.run(run())


def test_who_is_deactivated_is_out_and_may_come_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest:
            live = await server.client("user-1")
            async with server.rest(token=await a_key(server, "users")) as backend:
                answer = await backend.put("/users/user-1/active", json={"active": False})
                assert (answer.status_code, answer.json()["active"]) == (200, False)
                assert (await live.ended())[0] == "deactivated"
                assert said(await rest.get("/me")) == (403, "deactivated")
                await backend.put("/users/user-1/active", json={"active": True})
                assert (await rest.get("/me")).status_code == 200
            assert said(await rest.put("/users/user-1/active", json={"active": True})) == (403, "not_allowed")

    asyncio.run(run())


def test_signing_out_ends_what_was_made_before_and_nothing_later(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest:
            live = await server.client("user-1")
            answer = await rest.post("/users/user-1/sign-out")
            assert (answer.status_code, answer.json()) == (200, {"user": "user-1", "device": ""})
            assert (await live.ended())[0] == "signed_out"
            assert said(await rest.get("/me")) == (401, "signed_out")
            async with server.rest(token=await a_key(server, "tokens")) as backend:
                made = await backend.post("/users/user-1/tokens", json={"device": "phone", "lifetime_s": 60})
                assert made.status_code == 201
            async with server.rest(token=made.json()["token"]) as again:
                me = (await again.get("/me")).json()
                assert (me["user"], me["device"], me["expires_ms"]) == ("user-1", "phone", made.json()["expires_ms"])
                await again.post("/users/user-1/sign-out", json={"device": "phone"})
                assert said(await again.get("/me")) == (401, "signed_out")

    asyncio.run(run())


def test_who_may_make_tokens(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest:
            assert said(await rest.post("/users/user-1/tokens")) == (403, "not_allowed")
            async with server.rest(token=await a_key(server, "tokens")) as backend:
                for body in ({"lifetime_s": 0}, {"lifetime_s": 10**9}, {"device": "a b"}, {"scopes": ["keys"]}):
                    assert said(await backend.post("/users/user-1/tokens", json=body)) == (400, "bad_request")
                assert (await backend.post("/users/user-1/tokens")).status_code == 201

    asyncio.run(run())


def test_who_am_i_without_saying_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token="") as rest, server.rest(token="x.y.z") as liar:
            for answer in (await rest.get("/me"), await liar.get("/me")):
                assert said(answer) == (401, "token_invalid")
                assert answer.headers["www-authenticate"] == "Bearer"

    asyncio.run(run())
