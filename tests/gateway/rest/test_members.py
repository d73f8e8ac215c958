"""Members: added, listed, given roles, removed; leaving and joining by oneself."""

import asyncio
from pathlib import Path

import httpx

from folkmoot.testing.served import served


async def made(rest: httpx.AsyncClient, **body: object) -> str:
    answer = await rest.post("/groups", json={"name": "Coffee"} | body, headers={"Idempotency-Key": "make"})
    return f"/groups/{answer.json()['group']}"


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def test_members_come_and_go_by_who_may(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as owner, server.rest("user-2") as other:
            path = await made(owner)
            added = await owner.post(f"{path}/members", json={"users": ["user-2", "user-3"]})
            assert (added.status_code, added.json()["seq"]) == (200, 2)
            assert said(await owner.post(f"{path}/members", json={"users": ["user-2"]})) == (409, "already_member")
            assert said(await other.post(f"{path}/members", json={"users": ["user-4"]})) == (403, "not_allowed")
            given = await owner.put(f"{path}/members/user-2/role", json={"role": "admin"})
            assert given.json()["seq"] == 3  # The refusals are stored, but are no entries.
            page = (await other.get(f"{path}/members", params={"limit": 2})).json()
            assert page == {
                "members": [
                    {"user": "user-1", "role": "owner", "join": 1},
                    {"user": "user-2", "role": "admin", "join": 2},
                ],
                "next": "user-2",
            }
            rest = (await other.get(f"{path}/members", params={"after": "user-2"})).json()
            assert rest == {"members": [{"user": "user-3", "role": "member", "join": 2}], "next": None}

    asyncio.run(run())


def test_removing_leaving_and_the_last_owner(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as owner, server.rest("user-2") as other:
            path = await made(owner, members=["user-2", "user-3"])
            assert said(await owner.delete(f"{path}/members/user-1")) == (409, "last_owner")
            assert said(await owner.delete(f"{path}/members/user-9")) == (404, "not_a_member")
            assert said(await other.delete(f"{path}/members/user-3")) == (403, "not_allowed")
            key = {"Idempotency-Key": "leave"}
            left = [await other.delete(f"{path}/members/user-2", headers=key) for _ in range(2)]
            assert [answer.json().get("seq") for answer in left] == [2, 2]
            assert said(await other.get(f"{path}/members")) == (404, "no_such_group")
            assert (await owner.delete(f"{path}/members/user-3")).json()["seq"] == 3

    asyncio.run(run())


def test_an_open_group_is_joined_and_a_closed_one_looks_like_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as owner, server.rest("user-2") as other:
            path = await made(owner, entry="open")
            joined = [await other.post(f"{path}/join", headers={"Idempotency-Key": "in"}) for _ in range(2)]
            assert [answer.json()["seq"] for answer in joined] == [2, 2]
            assert (await other.get(path)).json()["join"] == 2
            closed = await owner.post("/groups", json={"name": "Shut"}, headers={"Idempotency-Key": "shut"})
            answers = [await other.post(f"/groups/{g}/join") for g in (closed.json()["group"], "gnone")]
            assert [said(answer) for answer in answers] == [(404, "no_such_group")] * 2
            assert answers[0].content == answers[1].content

    asyncio.run(run())


def test_members_see_how_the_others_are_shown(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as owner, server.rest("user-2") as other:
            path = await made(owner, members=["user-2"])
            await owner.put("/users/user-1", json={"name": "User One", "data": {"colour": "blue"}})
            page = (await other.get(f"{path}/members", params={"profiles": "true"})).json()
            assert [row["user"] for row in page["members"]] == ["user-1", "user-2"]
            (shown,) = page["profiles"]
            assert (shown["user"], shown["name"], shown["data"]) == ("user-1", "User One", {"colour": "blue"})
            assert "profiles" not in (await other.get(f"{path}/members")).json()
        async with served(tmp_path) as server, server.rest("user-9") as stranger:
            assert said(await stranger.get(f"{path}/members", params={"profiles": "true"})) == (404, "no_such_group")

    asyncio.run(run())
