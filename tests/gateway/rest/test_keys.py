"""API keys: made by whoever may, shown once, listed without their secrets, revoked for ever."""

import asyncio
from pathlib import Path

from folkmoot.testing.served import served


def test_a_key_is_shown_once_and_revoked_for_ever(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token=server.operator()) as operator:
            made = await operator.post("/keys", json={"name": "backend", "scopes": ["users", "tokens"]})
            assert made.status_code == 201
            key = made.json()
            async with server.rest(token=key["key"]) as backend:
                token = (await backend.post("/users/user-1/tokens")).json()["token"]
                refused = await backend.get("/keys")
                assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
                listed = await operator.get("/keys")
                assert [(row["id"], row["revoked_ms"]) for row in listed.json()["keys"]] == [(key["id"], None)]
                assert key["key"].rpartition("_")[2] not in listed.text
                revoked = [(await operator.delete(f"/keys/{key['id']}")).json() for _ in range(2)]
                assert revoked[0]["revoked_ms"] > 0
                assert revoked[0] == revoked[1]
                for rest in (backend, server.rest(token=token)):
                    gone = await rest.get("/me")
                    assert (gone.status_code, gone.json()["code"]) == (401, "key_revoked")
                    await rest.aclose()
            none = await operator.delete("/keys/none")
            assert (none.status_code, none.json()["code"]) == (404, "no_such_key")

    asyncio.run(run())


def test_a_key_gives_no_more_than_it_has(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token=server.operator()) as operator:
            made = await operator.post("/keys", json={"name": "maker", "scopes": ["keys", "read"]})
            async with server.rest(token=made.json()["key"]) as maker:
                more = await maker.post("/keys", json={"name": "more", "scopes": ["users"]})
                assert (more.status_code, more.json()["code"]) == (403, "not_allowed")
                same = await maker.post("/keys", json={"name": "same", "scopes": ["read"], "requests_per_s": 5})
                assert (same.status_code, same.json()["requests_per_s"]) == (201, 5.0)
            for body in (
                {"name": "", "scopes": ["read"]},
                {"name": "n", "scopes": []},
                {"name": "n", "scopes": ["all"]},
            ):
                bad = await operator.post("/keys", json=body)
                assert (bad.status_code, bad.json()["code"]) == (400, "bad_request")
            async with server.rest("user-1") as user:
                assert (await user.post("/keys", json={"name": "n", "scopes": ["read"]})).status_code == 403

    asyncio.run(run())


def test_a_keys_quota_is_kept(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token=server.operator()) as operator:
            body = {"name": "slow", "scopes": ["read"], "requests_per_s": 1}
            made = await operator.post("/keys", json=body)
            async with server.rest(token=made.json()["key"], acting_as="user-1") as backend:
                answers = [await backend.get("/groups") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
            assert int(answers[-1].headers["retry-after"]) >= 1
            assert answers[-1].json()["code"] == "rate_limited"

    asyncio.run(run())
