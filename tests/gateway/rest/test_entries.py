"""History: pages at both ends, by date and one by one; nothing from outside one's memberships."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from folkmoot.testing.served import Served, served


async def a_history(server: Served) -> str:
    """1 made with user-2, 2 said, 3 user-2 removed, 4 said, 5 user-2 added, 6 said."""
    async with server.rest("user-1") as rest:
        made = await rest.post(
            "/groups", json={"name": "g", "members": ["user-2"]}, headers={"Idempotency-Key": "make"}
        )
        path = f"/groups/{made.json()['group']}"
        await rest.post(f"{path}/messages", json={"text": "2"}, headers={"Idempotency-Key": "m-2"})
        await rest.delete(f"{path}/members/user-2")
        await rest.post(f"{path}/messages", json={"text": "4"}, headers={"Idempotency-Key": "m-4"})
        await rest.post(f"{path}/members", json={"users": ["user-2"]})
        await rest.post(f"{path}/messages", json={"text": "6"}, headers={"Idempotency-Key": "m-6"})
    return path


@pytest.mark.parametrize(
    ("user", "query", "seqs", "more"),
    [
        ("user-1", {}, [1, 2, 3, 4, 5, 6], False),
        ("user-1", {"limit": 2}, [5, 6], True),
        ("user-1", {"after": 0, "limit": 2}, [1, 2], True),
        ("user-1", {"after": 4}, [5, 6], False),
        ("user-1", {"before": 3}, [1, 2], False),
        ("user-1", {"at": 0, "limit": 3}, [1, 2, 3], True),
        ("user-1", {"at": 2**62}, [], False),
        ("user-2", {}, [5, 6], True),
        ("user-2", {"before": 5}, [1, 2, 3], False),
        ("user-2", {"after": 3}, [5, 6], False),
        ("user-2", {"at": 0}, [1, 2, 3], True),
    ],
)
def test_pages(tmp_path: Path, user: str, query: dict[str, Any], seqs: list[int], more: bool) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_history(server)
            async with server.rest(user) as rest:
                page = (await rest.get(f"{path}/entries", params=query)).json()
            assert ([entry["seq"] for entry in page["entries"]], page["more"], page["head"]) == (seqs, more, 6)

    asyncio.run(run())


def test_an_entry_is_what_the_socket_shows_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_history(server)
            client = await server.client("user-1")
            client.say({"t": "read", "ref": "r", "group": path.rpartition("/")[2], "limit": 100})
            shown = (await client.wait("page"))["entries"]
            async with server.rest("user-1") as rest:
                page = (await rest.get(f"{path}/entries")).json()["entries"]
                one = (await rest.get(f"{path}/entries/4")).json()
            assert [{"t": "entry"} | entry for entry in page] == shown
            assert one == page[3]

    asyncio.run(run())


def test_a_date_begins_with_the_first_entry_that_is_not_older(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_history(server)
            async with server.rest("user-1") as rest:
                times = {e["seq"]: e["time_ms"] for e in (await rest.get(f"{path}/entries")).json()["entries"]}
                for at_ms in sorted(set(times.values())):
                    page = (await rest.get(f"{path}/entries", params={"at": at_ms, "limit": 1})).json()
                    assert page["entries"][0]["seq"] == min(seq for seq, time_ms in times.items() if time_ms >= at_ms)

    asyncio.run(run())


def test_what_one_may_not_see_is_as_what_is_not_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_history(server)
            async with server.rest("user-2") as member, server.rest("user-9") as stranger:
                hidden, none = [await member.get(f"{path}/entries/{seq}") for seq in (4, 7)]
                assert (hidden.status_code, hidden.json()["code"]) == (404, "no_such_entry")
                assert hidden.content == none.content
                answers = [
                    await stranger.get(f"{one}/entries{rest}") for one in (path, "/groups/gx") for rest in ("", "/2")
                ]
                assert {(a.status_code, a.json()["code"]) for a in answers} == {(404, "no_such_group")}
                assert len({answer.content for answer in answers}) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=1&before=2", "at=1&after=1", "limit=0", "limit=101", "limit=", f"before={2**63}"],
)
def test_what_is_no_page(tmp_path: Path, query: str) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            path = await a_history(server)
            async with server.rest("user-1") as rest:
                answer = await rest.get(f"{path}/entries?{query}")
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")

    asyncio.run(run())
