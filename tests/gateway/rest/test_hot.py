"""A page that is plainly asked for is byte by byte the one that the application gives; all else is left to it."""

import asyncio
from pathlib import Path

from folkmoot.testing.served import Served, served

GENERAL = {"Origin": "http://nowhere.example"}
"""A header with which a call goes to the application."""


async def a_group(server: Served) -> str:
    async with server.rest("user-1") as rest:
        key = {"Idempotency-Key": "make"}
        made = await rest.post("/groups", json={"name": "g", "members": ["user-2"]}, headers=key)
        path = f"/groups/{made.json()['group']}"
        for n in range(5):
            said = await rest.post(f"{path}/messages", json={"text": f'"{n}" ü'}, headers={"Idempotency-Key": f"m-{n}"})
            assert said.json()["seq"] == n + 2
    return path


def test_a_page_is_the_same_by_both_ways(tmp_path: Path) -> None:
    queries = ["", "?limit=2", "?after=0", "?after=2&limit=2", "?before=4&limit=2", "?before=1", "?after=99"]

    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_group(server)
            async with server.rest("user-1") as rest:
                for query in queries:
                    hot = await rest.get(f"{path}/entries{query}")
                    general = await rest.get(f"{path}/entries{query}", headers=GENERAL)
                    assert hot.status_code == general.status_code == 200
                    assert hot.content == general.content
                    for name in ("content-type", "cache-control", "x-content-type-options", "content-length"):
                        assert hot.headers[name] == general.headers[name]

    asyncio.run(run())


def test_what_is_not_plain_is_answered_by_the_application(tmp_path: Path) -> None:
    queries = {
        "?limit=0": 400,
        "?limit=101": 400,
        "?after=-1": 400,
        "?after=1&before=2": 400,
        "?after=99999999999999999999": 400,
        "?after=1&after=2": 200,
        "?limit=2&after=1": 200,
        "?at=0": 200,
        "?unknown=1": 200,
        "?after=1&": 200,
        "?&after=1": 200,
    }

    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_group(server)
            async with server.rest("user-1") as rest:
                for query, status in queries.items():
                    plain = await rest.get(f"{path}/entries{query}")
                    general = await rest.get(f"{path}/entries{query}", headers=GENERAL)
                    assert (plain.status_code, plain.content) == (status, general.content), query

    asyncio.run(run())


def test_nobody_else_is_shown_anything(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_group(server)
            async with server.rest("user-3") as rest:
                assert (await rest.get(f"{path}/entries")).json()["code"] == "no_such_group"
                assert (await rest.get("/groups/gnone/entries")).json()["code"] == "no_such_group"
            async with server.rest("user-2") as rest:
                nobody = await rest.get(f"{path}/entries", headers={"Authorization": "Bearer x"})
                assert (nobody.status_code, nobody.json()["code"]) == (401, "token_invalid")
                other = await rest.get(f"{path}/entries", headers={"Folkmoot-User": "user-1"})
                assert other.json()["code"] == "not_allowed"
                assert (await rest.head(f"{path}/entries")).status_code == 405

    asyncio.run(run())


def test_a_call_is_counted_once_also_where_the_application_answers(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path, requests_per_s=0.001, requests_burst=3) as server:
            async with server.rest("user-3") as rest:
                codes = [(await rest.get("/groups/gnone/entries")).json()["code"] for _ in range(4)]
            assert codes == ["no_such_group"] * 3 + ["rate_limited"]

    asyncio.run(run())
