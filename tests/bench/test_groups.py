"""Groups are made by their first members, through the protocol, as a job expects them."""

import asyncio
from pathlib import Path

import pytest

from folkmoot.bench.groups import GroupsRefused, create_groups, user_named
from folkmoot.testing.served import served


def test_each_group_has_its_own_members(tmp_path: Path) -> None:
    async def body() -> None:
        async with served(tmp_path) as server:
            secret = (tmp_path / "secret.key").read_text()
            ids = await asyncio.to_thread(create_groups, "127.0.0.1", server.port, secret, count=2, members=3)
            assert len(set(ids)) == 2
            client = await server.client(user_named(6))
            client.say({"t": "resume", "groups": dict.fromkeys(ids, "")})
            snapshot = await client.wait("snapshot", group=ids[1])
            assert (snapshot["members"], snapshot["join"], snapshot["seq"]) == (3, 1, 1)
            await client.wait("error", code="no_such_group", ref=ids[0])

    asyncio.run(body())


def test_a_wrong_secret_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with served(tmp_path) as server:
            with pytest.raises(GroupsRefused, match="token_invalid"):
                await asyncio.to_thread(create_groups, "127.0.0.1", server.port, "x" * 40, count=1, members=1)

    asyncio.run(body())
