"""Read pointers: moved forwards only, told to the user's other devices, and unread counted from them."""

import asyncio
from pathlib import Path

from folkmoot.testing.served import served


def test_a_pointer_moves_forwards_and_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest("user-1") as owner, server.rest("user-2") as rest:
            body = {"name": "g", "members": ["user-2"]}
            group = (await owner.post("/groups", json=body, headers={"Idempotency-Key": "make"})).json()["group"]
            for name in ("a", "b", "c"):
                await owner.post(f"/groups/{group}/messages", json={"text": name}, headers={"Idempotency-Key": name})
            device = await server.client("user-2")
            device.say({"t": "resume", "groups": {group: ""}})
            await device.wait("recovered", group=group)
            path = f"/groups/{group}/read"
            assert (await rest.get(path)).json() == {"group": group, "read": 0, "unread": 3}
            moved = await rest.put(path, json={"seq": 3})
            assert (moved.status_code, moved.json()) == (200, {"group": group, "read": 3, "unread": 1})
            # It is seen at once by whoever asks, though it is on its way to the store.
            assert (await rest.get(path)).json() == moved.json()
            assert (await rest.get("/chats")).json()["chats"][0]["unread"] == 1
            assert (await device.wait("pointer", group=group, read=3))["unread"] == 1
            assert (await rest.put(path, json={"seq": 2})).json() == moved.json()
            for body_of_none in ({"seq": 5}, {"seq": -1}, {"seq": "3"}, {}, {"seq": 3, "more": 1}):
                answer = await rest.put(path, json=body_of_none)
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
            async with server.rest("user-9") as stranger:
                for answer in (await stranger.get(path), await stranger.put(path, json={"seq": 1})):
                    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_group")

    asyncio.run(run())
