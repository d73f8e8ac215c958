"""Each example runs as it stands, against a real server, and does what it says: also when it is killed midway."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from folkmoot.client import Client
from folkmoot.testing.served import Served, served

EXAMPLES = Path(__file__).parents[2] / "examples"
LINES_MAX = 40


def with_server(tmp_path: Path, test: Callable[[Served], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(60), served(tmp_path / "server") as server:
            await test(server)

    asyncio.run(body())


async def started(name: str, server: Served, *arguments: str, **env: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"FOLKMOOT_URL": server.url} | env,
    )


async def output(process: asyncio.subprocess.Process) -> list[str]:
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().splitlines()


async def killed(process: asyncio.subprocess.Process) -> None:
    """As a cut of the power to it: no last word."""
    process.send_signal(signal.SIGKILL)
    await process.communicate()


async def ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    assert await process.stdout.readline()


def test_every_example_is_short_and_is_run_here() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < LINES_MAX, f"{path.name}: an example has under {LINES_MAX} lines"
        assert f'"{path.name}"' in Path(__file__).read_text(), f"{path.name}: write a test that runs it"


def test_chat(tmp_path: Path) -> None:
    async def body(server: Served) -> None:
        tokens = {"TOKEN_1": server.token("user-1"), "TOKEN_2": server.token("user-2")}
        lines = await output(await started("chat.py", server, **tokens))
        assert lines == [
            "stored as entry 2",
            "user-1: Is anybody there?",
            "1 group.created user-1 ",
            "2 message user-1 Is anybody there?",
            "3 message user-2 Everybody who joined.",
        ]

    with_server(tmp_path, body)


def test_blocking(tmp_path: Path) -> None:
    async def body(server: Served) -> None:
        process = await started("blocking.py", server, "hello", "", FOLKMOOT_TOKEN=server.token("user-1"))
        assert await output(process) == [
            "not sent, for good: bad_body: a message has a text, or a type",
            "1 group.created",
            "2 hello",
            "3 message",
        ]

    with_server(tmp_path, body)


def test_exactly_once_counts_each_message_once_under_kills(tmp_path: Path) -> None:
    def counted() -> int:
        with sqlite3.connect(tmp_path / "words.db") as db:
            row = db.execute("SELECT sum(count) FROM words").fetchone()
        db.close()
        return int(row[0] or 0)

    async def body(server: Served) -> None:
        token = server.token("bot-1")
        async with Client(server.url, server.token("user-1")) as one:
            group = await one.create_group("room", members=["bot-1"])
            for round_number in range(4):
                process = await started("exactly_once.py", server, str(tmp_path / "words.db"), FOLKMOOT_TOKEN=token)
                await ready(process)
                await asyncio.gather(*(one.send(group, "three more words") for _ in range(20)))
                if round_number < 3:
                    await killed(process)
            async with asyncio.timeout(20):
                while counted() < 240:
                    await one.groups()
            await killed(process)
            assert counted() == 240

    with_server(tmp_path, body)


def test_the_answering_bot_answers_once_under_kills(tmp_path: Path) -> None:
    async def body(server: Served) -> None:
        token = server.token("bot-1")
        async with Client(server.url, server.token("user-1")) as one:
            group = await one.create_group("room", members=["bot-1"])
            for number in range(4):
                process = await started("answering_bot.py", server, str(tmp_path / "bot.db"), FOLKMOOT_TOKEN=token)
                await ready(process)
                await asyncio.gather(*(one.send(group, f"why {number}?") for _ in range(10)))
                if number < 3:
                    await killed(process)
            answers: list[str] = []
            async for entry in one:
                if entry.sender == "bot-1":
                    answers.append(entry.text)
                if len(answers) == 40:
                    break
            await one.send(group, "a last one?")
            async for entry in one:
                if entry.sender == "bot-1":
                    answers.append(entry.text)
                    break
            await killed(process)
            assert answers == ["user-1, nobody knows."] * 41
            bodies = (await one.history(group, before=10_000, limit=100)).entries
            assert sum(entry.sender == "bot-1" for entry in bodies) == 41

    with_server(tmp_path, body)


@pytest.mark.parametrize("name", [path.name for path in EXAMPLES.glob("*.py")])
def test_an_example_says_what_it_is_for(name: str) -> None:
    assert (EXAMPLES / name).read_text().startswith('"""')
