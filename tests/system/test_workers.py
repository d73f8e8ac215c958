"""`serve --workers` with real processes.

Each is killed while a crowd talks, and everyone gets everything once; strangers are not let onto the bus; a service
manager is told of all of them by one.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.backends.nats.bus import NatsBus
from folkmoot.backends.nats.credentials import BusUnusable
from folkmoot.checker.child import ChildServer
from folkmoot.checker.crowd import Crowd, CrowdSettings
from folkmoot.client import Client
from folkmoot.gateway.identity import mint, secret_of
from folkmoot.ports.clock import SystemClock

RECOVER_S_MAX = 40.0
CROWD = CrowdSettings(clients=8, groups=3, members=5, sends_per_s=40.0, comings_per_s=2.0)
VICTIMS = ("roles=router,delivery", "roles=gateway", "nats-server")
TOLD_S_MAX = 20.0


class Manager:
    """A service manager's socket: what it is told, and the pid of whoever tells it, by the word of the kernel."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._socket.settimeout(TOLD_S_MAX)

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def told(self) -> tuple[int, str]:
        """Who told it what next; of that the first line."""
        return await asyncio.to_thread(self._told)

    def rest(self) -> list[tuple[int, str]]:
        """What is there by now."""
        self._socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self._told())
            except BlockingIOError:
                return found

    def _told(self) -> tuple[int, str]:
        text, extra, _, _ = self._socket.recvmsg(200, socket.CMSG_SPACE(struct.calcsize("3i")))
        return struct.unpack("3i", extra[0][2])[0], text.decode().splitlines()[0]


def processes_of(parent: int) -> dict[int, str]:
    """The command lines of a process's children, by pid."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = {}
    for pid in pids:
        # One may have gone meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[int(pid)] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def pid_of(server: ChildServer) -> int:
    assert server._process is not None
    return server._process.pid


def said(log: Path, event: str) -> int:
    """How often."""
    return log.read_text().count(event)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def strike(server: ChildServer, victim: str) -> None:
    """Kill one of the processes, and return once there is another in its place."""
    before = processes_of(pid_of(server))
    pid = next(pid for pid, command in before.items() if victim in command)
    os.kill(pid, signal.SIGKILL)
    while pid in (now := processes_of(pid_of(server))) or len(now) < len(before):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def test_whoever_is_killed_everyone_gets_everything_once(tmp_path: Path) -> None:
    async def run() -> None:
        server = ChildServer(tmp_path / "data", options=("--workers", "2", "--set", "drain_spread_s=0"))
        await server.start()
        secret = secret_of(tmp_path / "data")

        def client(user: str) -> Client:
            token = mint(secret, user, lifetime_s=3_600, now_ms=SystemClock().wall_ms())
            return Client(server.url, token, fresh="join", reconnect_s_max=0.4, connect_s_max=60.0)

        crowd = Crowd(client, CROWD, random.Random(1))
        try:
            await crowd.open("w")
            talk = asyncio.create_task(crowd.talk())
            assert await crowd.probe(RECOVER_S_MAX)
            for victim in VICTIMS:
                await strike(server, victim)
                assert await crowd.probe(RECOVER_S_MAX), f"not up to date after {victim} was killed"
            talk.cancel()
            await asyncio.gather(talk, return_exceptions=True)
            assert await crowd.settle(RECOVER_S_MAX) == []
            assert crowd.judge().lines() == []
        finally:
            await crowd.close()
            children = processes_of(pid_of(server))
            assert await server.stop() == 0
        assert len(children) == 4
        assert not any(map(is_there, children))

    asyncio.run(run())


def test_only_its_own_processes_are_let_onto_the_bus_also_after_it_died(tmp_path: Path) -> None:
    async def run() -> None:
        server = ChildServer(tmp_path / "data", options=("--workers", "1", "--set", "drain_spread_s=0"))
        await server.start()
        folder = tmp_path / "data" / "nats"
        credentials = folder / "credentials"
        url = "nats://" + json.loads((folder / "nats.conf").read_text())["listen"]
        try:
            written = credentials.read_text()
            assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
            for dies in (True, False):
                with pytest.raises(BusUnusable, match="NATS asks for credentials"):
                    await NatsBus.connect([url])
                await (await NatsBus.connect([url], credentials_file=str(credentials))).close()
                if dies:
                    await strike(server, "nats-server")
            assert credentials.read_text() == written
            # A password on a command line is everybody's.
            password = written.strip().partition(":")[2]
            assert not any(password in command for command in processes_of(pid_of(server)).values())
        finally:
            assert await server.stop() == 0

    asyncio.run(run())


def test_the_service_manager_is_told_by_the_parent_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(manager: Manager) -> None:
        server = ChildServer(tmp_path / "data", options=("--workers", "1", "--set", "drain_spread_s=0"))
        await server.start()
        pid, log = pid_of(server), tmp_path / "data" / "server.log"
        try:
            assert await manager.told() == (pid, "READY=1")
            assert len(processes_of(pid)) == 3
            os.kill(pid, signal.SIGHUP)
            assert await manager.told() == (pid, "RELOADING=1")
            assert await manager.told() == (pid, "READY=1")
            await until(lambda: said(log, "settings read again") == 2)
            # One that is started again has nothing to tell either.
            await strike(server, "roles=gateway")
            await until(lambda: said(log, "a process serves") == 3)
        finally:
            assert await server.stop() == 0
        assert manager.rest() == [(pid, "STOPPING=1")]

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with Manager(tmp_path / "notify") as manager:
        asyncio.run(run(manager))
