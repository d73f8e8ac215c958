"""Streams of a real server that is killed again and again: whoever gives the last id back misses nothing."""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import httpx

from folkmoot.bench.usage import usage_of
from folkmoot.checker.child import ChildServer
from folkmoot.testing.served import Served
from folkmoot.testing.sse_client import SseClient

KILLS: Final = 5
MESSAGES: Final = 200
STREAMS: Final = 1_000
STREAM_BYTES_MAX: Final = 12 * 1_024
"""The aim of sockets; a stream was seen to take 7,300 bytes."""


class Follower:
    """A reader that comes back by itself, as a browser's does: with the last id, whenever its stream breaks."""

    def __init__(self, server: Served, user: str, group: str) -> None:
        self.server = server
        self.user = user
        self.group = group
        self.seqs: list[int] = []
        self.streams = 0

    async def follow(self, until_seq: int) -> None:
        position: str | None = None
        path = f"/v1/groups/{self.group}/stream?fresh=join"
        while until_seq not in self.seqs:
            try:
                reader = await SseClient.asks(
                    self.server.port, path, self.server.token(self.user), last_event_id=position
                )
            except ConnectionError:
                await asyncio.sleep(0.05)
                continue
            if reader.status == 200:
                self.streams += 1
                await self._hear(reader, until_seq)
            reader.drop()
            self.seqs += reader.seqs(self.group)
            position = reader.last_event_id or position

    async def _hear(self, reader: SseClient, until_seq: int) -> None:
        await reader.until(lambda: reader.lost or until_seq in reader.seqs(self.group))


async def sends(server: Served, group: str, answered: list[int]) -> None:
    """Messages one after another, each asked for again under its key until it is answered."""
    async with server.rest("user-1") as rest:
        for number in range(MESSAGES):
            headers = {"Idempotency-Key": f"m-{number}"}
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await rest.post(f"/groups/{group}/messages", json={"text": str(number)}, headers=headers)
                    if answer.status_code == 201:
                        answered.append(answer.json()["seq"])
                        break
                await asyncio.sleep(0.05)


def test_readers_of_a_server_that_is_killed_get_every_entry_once_and_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        child = ChildServer(tmp_path / "data")
        await child.start()
        server = Served(child.url, child.data_dir)
        try:
            async with server.rest("user-1") as rest:
                asked = {"name": "g", "members": ["user-2", "user-3"]}
                made = await rest.post("/groups", json=asked, headers={"Idempotency-Key": "make"})
            group = made.json()["group"]
            last = MESSAGES + 1
            followers = [Follower(server, user, group) for user in ("user-1", "user-2", "user-2", "user-3")]
            async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
                answered: list[int] = []
                tasks.create_task(sends(server, group, answered))
                for follower in followers:
                    tasks.create_task(follower.follow(last))
                for kill in range(1, KILLS + 1):
                    while len(answered) < kill * MESSAGES // (KILLS + 1):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                    await child.kill()
                    await child.start()
            assert answered == list(range(2, last + 1))
            for follower in followers:
                assert follower.seqs == list(range(1, last + 1))
            assert child.kills == KILLS
            assert max(follower.streams for follower in followers) > 1
        finally:
            await child.stop()

    asyncio.run(run())


def test_a_thousand_idle_streams_cost_less_than_as_many_sockets_may(tmp_path: Path) -> None:
    async def opened(server: Served, group: str, users: list[str]) -> list[SseClient]:
        path = f"/v1/groups/{group}/stream"
        readers = [await SseClient.asks(server.port, path, server.token(user)) for user in users]
        for reader in readers:
            await reader.wait("recovered")
        return readers

    async def run() -> None:
        child = ChildServer(tmp_path / "data")
        await child.start()
        server = Served(child.url, child.data_dir)
        users = [f"user-{number}" for number in range(1, STREAMS + 1)]
        readers: list[SseClient] = []
        try:
            async with server.rest("user-1") as rest:
                asked = {"name": "g", "members": users[1:]}
                group = (await rest.post("/groups", json=asked, headers={"Idempotency-Key": "make"})).json()["group"]
                # What the first ones warm up is not theirs alone.
                readers += await opened(server, group, users[:100])
                before = usage_of(child.pid).rss_bytes
                readers += await opened(server, group, users[100:])
                each = (usage_of(child.pid).rss_bytes - before) / (STREAMS - 100)
                assert each < STREAM_BYTES_MAX
                await rest.post(f"/groups/{group}/messages", json={"text": "x"}, headers={"Idempotency-Key": "m"})
            for reader in readers:
                await reader.wait("entry", seq=2)
        finally:
            for reader in readers:
                reader.drop()
            await child.stop()

    asyncio.run(run())
