"""A real server told to read its settings again: what changes at once, what needs a restart, and what is broken."""

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from folkmoot.testing.served import Served, WireClient

SERVE = [sys.executable, "-m", "folkmoot.cli", "serve", "--json", "--port", "0"]


class Operated:
    """A server process with a file of settings, its log, line by line, and what it tells a service manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._manager.setblocking(False)
        self.log: list[dict[str, Any]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._stopped = False

    async def __aenter__(self) -> "Operated":
        self.write("")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FOLKMOOT_")}
        environment["NOTIFY_SOCKET"] = str(self.folder / "notify")
        self._process = await asyncio.create_subprocess_exec(
            *SERVE, "--data-dir", str(self.folder / "data"), "--config", str(self.folder / "folkmoot.toml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment,
        )  # fmt: skip
        assert self._process.stdout is not None
        ready = json.loads(await self._process.stdout.readline())
        self.served = Served(ready["ready"], self.folder / "data")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self.stop()
        assert await asyncio.wait_for(self._process.wait(), 20) == 0
        self._manager.close()

    def stop(self) -> None:
        """Once: a second SIGTERM would not wait for the drain."""
        if not self._stopped and self._process is not None:
            self._stopped = True
            self._process.terminate()

    async def told(self) -> list[str]:
        """The next thing that the service manager is told, by lines."""
        async with asyncio.timeout(10):
            return (await asyncio.get_running_loop().sock_recv(self._manager, 200)).decode().splitlines()

    def write(self, text: str) -> None:
        (self.folder / "folkmoot.toml").write_text(text)

    async def hang_up(self, event: str) -> dict[str, Any]:
        """Send SIGHUP and return the next line of the log that says `event`."""
        assert self._process is not None
        assert self._process.stderr is not None
        self._process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while True:
                line: dict[str, Any] = json.loads(await self._process.stderr.readline())
                self.log.append(line)
                if line["event"] == event:
                    return line


async def sent(client: WireClient, group: str, count: int, name: str) -> list[str]:
    """Send messages at once; what each was answered: accepted, or the code."""
    for n in range(count):
        body = {"text": "x"}
        client.say({"t": "send", "id": f"{name}{n}", "group": group, "kind": "message", "join": 1, "body": body})
    ids = {f"{name}{n}" for n in range(count)}

    def answers() -> dict[str, str]:
        given = [event for event in client.events if event["t"] in ("accepted", "undecided") and event["id"] in ids]
        return {event["id"]: event.get("code", "accepted") for event in given}

    await client.until(lambda: len(answers()) == count)
    return list(answers().values())


def run(test: Callable[[Operated], Any], tmp_path: Path) -> None:
    async def body() -> None:
        async with Operated(tmp_path) as server:
            await test(server)

    asyncio.run(body())


def test_rates_change_at_once_on_open_connections_and_other_things_need_a_restart(tmp_path: Path) -> None:
    async def test(server: Operated) -> None:
        client = await server.served.client("user-1")
        made = await client.asked("group.created", {"name": "g"}, "make")
        assert await sent(client, made["group"], 20, "a") == ["accepted"] * 20
        server.write("sends_burst = 5\nsends_per_s = 0.01\nsqlite_readers = 1\n")
        told = await server.hang_up("these settings need a restart")
        assert told["settings"] == ["sqlite_readers"]
        assert (told["level"], server.log[-2]["changed"]) == ("warning", ["sends_per_s", "sends_burst"])
        assert (await sent(client, made["group"], 20, "b")).count("accepted") == 5

    run(test, tmp_path)


def test_a_broken_file_leaves_the_old_settings_and_a_mended_one_is_taken(tmp_path: Path) -> None:
    async def test(server: Operated) -> None:
        client = await server.served.client("user-1")
        made = await client.asked("group.created", {"name": "g"}, "make")
        server.write("sends_burst = 1\nsends_per_s = 'fast'\n")
        told = await server.hang_up("the settings cannot be read, the old ones stay")
        assert told["detail"].startswith("sends_per_s in folkmoot.toml: ")
        assert await sent(client, made["group"], 20, "a") == ["accepted"] * 20
        server.write("sends_burst = 1\nsends_per_s = 0.01\n")
        await server.hang_up("settings read again")
        assert "accepted" in await sent(client, made["group"], 3, "b")
        assert (await sent(client, made["group"], 3, "c")) == ["rate_limited"] * 3

    run(test, tmp_path)


def test_the_log_level_changes_at_once(tmp_path: Path) -> None:
    async def test(server: Operated) -> None:
        assert server._process is not None
        assert await server.told() == ["READY=1"]
        for level in ("error", "info"):
            server.write(f'log_level = "{level}"\n')
            server._process.send_signal(signal.SIGHUP)
            assert (await server.told())[0] == "RELOADING=1"
            assert await server.told() == ["READY=1"]
        server.write("port = 'x'\n")
        await server.hang_up("the settings cannot be read, the old ones stay")
        # The first was said at a level that was no longer logged.
        assert [line["changed"] for line in server.log if line["event"] == "settings read again"] == [["log_level"]]

    run(test, tmp_path)


def test_a_server_whose_terminal_is_closed_stops(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE_TERMINAL, *SERVE, "--data-dir", str(tmp_path)],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        heard = b""
        while b'"ready":' not in heard:
            heard += os.read(ours, 4_096)
        os.close(ours)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_a_service_manager_is_told_of_each_step(tmp_path: Path) -> None:
    async def body() -> None:
        server = Operated(tmp_path)
        async with server:
            assert await server.told() == ["READY=1"]
            await server.hang_up("settings read again")
            reloading, since = await server.told()
            assert reloading == "RELOADING=1"
            assert int(since.removeprefix("MONOTONIC_USEC=")) > 0
            assert await server.told() == ["READY=1"]
            server.stop()
            assert await server.told() == ["STOPPING=1"]

    asyncio.run(body())


# A session's first process gets the terminal that it opens as its own: as a shell in a window has it.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
