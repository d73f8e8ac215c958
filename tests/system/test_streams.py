"""Streams of a real server that is killed again and again: whoever gives the last id back misses nothing."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from folkmoot.bench.usage import usage_of
from folkmoot.checker.child import ChildServer
from folkmoot.model.position import parse_position
from folkmoot.testing.served import Served, served
from folkmoot.testing.sse_client import SseClient

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "stream.md"
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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


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
    answered: list[int] = []

    def sent(count: int) -> bool:
        return len(answered) >= count

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
                tasks.create_task(sends(server, group, answered))
                for follower in followers:
                    tasks.create_task(follower.follow(last))
                for kill in range(1, KILLS + 1):
                    await until(partial(sent, kill * MESSAGES // (KILLS + 1)))
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


def test_the_reader_on_the_page_prints_each_message_once(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    reader = tmp_path / "follow.py"
    printed = tmp_path / "printed"

    async def started(server: Served, group: str) -> asyncio.subprocess.Process:
        reader.write_text(program.replace("http://127.0.0.1:8420", server.url))
        env = os.environ | {"GROUP": group, "TOKEN": server.token("user-1"), "no_proxy": "127.0.0.1"}
        with printed.open("a") as out:
            return await asyncio.create_subprocess_exec(sys.executable, str(reader), cwd=tmp_path, env=env, stdout=out)

    def lines(count: int) -> bool:
        return len(printed.read_text().splitlines()) >= count

    def kept(seq: int) -> bool:
        place = tmp_path / "place"
        text = place.read_text() if place.exists() else ""
        return text != "" and parse_position(text).seq >= seq

    async def run() -> None:
        child = ChildServer(tmp_path / "data")
        await child.start()
        server = Served(child.url, child.data_dir)
        async with server.rest("user-1") as rest:
            group = (await rest.post("/groups", json={"name": "g"}, headers={"Idempotency-Key": "make"})).json()[
                "group"
            ]
        process = await started(server, group)
        try:
            for number in range(1, 9):
                async with server.rest("user-1") as rest:
                    headers = {"Idempotency-Key": f"m-{number}"}
                    await rest.post(f"/groups/{group}/messages", json={"text": f"text {number}"}, headers=headers)
                await until(partial(lines, number))
                if number % 3 == 1:
                    await child.kill()
                    await child.start()
                if number % 3 == 2:
                    # Its place is kept a moment after it has printed: before that, it would print once more.
                    await until(partial(kept, number + 1))
                    process.kill()
                    await process.wait()
                    process = await started(server, group)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await child.stop()
        assert printed.read_text().splitlines() == [f"{n + 1} user-1 text {n}" for n in range(1, 9)]

    asyncio.run(run())


def test_the_commands_on_the_page_stream(tmp_path: Path) -> None:
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))

    async def run() -> str:
        async with served(tmp_path) as server:
            process = await asyncio.create_subprocess_exec(
                "bash", "-c", commands.replace("http://127.0.0.1:8420", server.url),
                stdout=asyncio.subprocess.PIPE,
                env={
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "FOLKMOOT_DATA_DIR": str(tmp_path), "FOLKMOOT_URL": server.url, "no_proxy": "127.0.0.1",
                },
            )  # fmt: skip
            return (await process.communicate())[0].decode()

    said = re.findall("^event: (.*)$", asyncio.run(run()), re.MULTILINE)
    story = ["welcome", "joined", "entry", "recovered"]
    assert said == [*story, *story, "resumed"]


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
