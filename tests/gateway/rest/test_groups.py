"""Groups: made once however often it is asked, listed, read, renamed, deleted; a stranger sees none of it."""

import asyncio
from pathlib import Path

from folkmoot.model.ids import group_id
from folkmoot.testing.served import served

KEY = {"Idempotency-Key": "make"}


def test_a_group_is_made_once_however_often_it_is_asked(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest:
            body = {"name": "Coffee", "members": ["user-2"], "history": "all", "entry": "open"}
            answers = await asyncio.gather(*(rest.post("/groups", json=body, headers=KEY) for _ in range(4)))
            group = group_id("user-1", "make")
            assert {(a.status_code, a.text) for a in answers} == {(201, f'{{"id":"make","group":"{group}","seq":1}}')}
            other = await rest.post("/groups", json=body | {"name": "Tea"}, headers=KEY)
            assert (other.status_code, other.json()["code"], other.json()["definite"]) == (
                409,
                "send_id_conflict",
                True,
            )
            assert other.headers["content-type"] == "application/problem+json"
            read = (await rest.get(f"/groups/{group}")).json()
            position = read.pop("position")
            assert read == {
                "group": group, "name": "Coffee", "history": "all", "entry": "open", "members": 2, "role": "owner",
                "join": 1, "seq": 1, "messages": 0, "read": 0, "unread": 0,
            }  # fmt: skip
            entry = (await rest.get(f"/groups/{group}/entries/1")).json()
            assert entry["position"] == position

    asyncio.run(run())


def test_groups_are_listed_by_id_in_pages(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest:
            for name in "abcde":
                await rest.post("/groups", json={"name": name}, headers={"Idempotency-Key": name})
            found, after = [], ""
            while after is not None:
                page = (await rest.get("/groups", params={"after": after, "limit": 2})).json()
                assert len(page["groups"]) <= 2
                found += page["groups"]
                after = page["next"]
            assert [row["group"] for row in found] == sorted(group_id("user-1", name) for name in "abcde")
            assert {row["name"] for row in found} == set("abcde")

    asyncio.run(run())


def test_only_a_member_sees_a_group_and_only_owners_delete_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            served(tmp_path) as server,
            server.rest("user-1") as owner,
            server.rest("user-2") as member,
            server.rest("user-9") as stranger,
        ):
            made = await owner.post("/groups", json={"name": "Coffee", "members": ["user-2"]}, headers=KEY)
            path = f"/groups/{made.json()['group']}"
            again = {"Idempotency-Key": "again"}
            renamed = [await owner.patch(path, json={"name": "Tea"}, headers=again) for _ in range(2)]
            assert [(answer.status_code, answer.json()["seq"]) for answer in renamed] == [(200, 2)] * 2
            assert (await member.get(path)).json()["name"] == "Tea"
            for call in (member.patch(path, json={"name": "No"}), member.delete(path)):
                refused = await call
                assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
            unknown = "/groups/" + group_id("user-1", "never made")
            for method in ("GET", "DELETE"):
                answers = [await stranger.request(method, one) for one in (path, unknown)]
                assert [answer.status_code for answer in answers] == [404, 404]
                assert answers[0].content == answers[1].content
            deleted = [await owner.delete(path, headers={"Idempotency-Key": "end"}) for _ in range(2)]
            assert [answer.json()["seq"] for answer in deleted] == [3, 3]
            for rest in (owner, member):
                gone = await rest.get(path)
                assert (gone.status_code, gone.json()["code"]) == (404, "no_such_group")
                assert (await rest.get("/groups")).json() == {"groups": [], "next": None}

    asyncio.run(run())
