"""The list of chats over the wire: newest first, with last entry and unread, in pages."""

import asyncio
from pathlib import Path

from folkmoot.testing.served import served


def test_chats_come_by_last_activity_in_pages(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as rest, server.rest("user-2") as other:
            groups = {}
            for name in ("a", "b", "c"):
                body = {"name": name, "members": ["user-2"]}
                made = await rest.post("/groups", json=body, headers={"Idempotency-Key": name})
                groups[name] = made.json()["group"]
            key = {"Idempotency-Key": "m"}
            await rest.post(f"/groups/{groups['a']}/messages", json={"text": "last"}, headers=key)
            names, cursor = [], ""
            while cursor is not None:
                page = (await other.get("/chats", params={"limit": 2, "cursor": cursor})).json()
                names += [chat["name"] for chat in page["chats"]]
                cursor = page["next"]
            assert sorted(names) == ["a", "b", "c"]
            chats = (await other.get("/chats")).json()["chats"]
            times = [chat["last"]["time_ms"] for chat in chats]
            assert times == sorted(times, reverse=True)
            first = next(chat for chat in chats if chat["name"] == "a")
            assert (first["last"]["body"], first["unread"], first["messages"]) == ({"text": "last"}, 1, 1)
            assert first["last"] == (await other.get(f"/groups/{groups['a']}/entries/2")).json()
            bad = await other.get("/chats", params={"cursor": "!"})
            assert (bad.status_code, bad.json()["code"]) == (400, "bad_cursor")
            await rest.delete(f"/groups/{groups['a']}/members/user-2")
            assert sorted(chat["name"] for chat in (await other.get("/chats")).json()["chats"]) == ["b", "c"]

    asyncio.run(run())
