"""`serve --workers 2` with real processes: each is killed while a crowd talks, and everyone gets everything once."""

import asyncio
import os
import random
import signal
from pathlib import Path

from folkmoot.checker.child import ChildServer
from folkmoot.checker.crowd import Crowd, CrowdSettings
from folkmoot.client import Client
from folkmoot.gateway.identity import mint, secret_of
from folkmoot.ports.clock import SystemClock

RECOVER_S_MAX = 40.0
CROWD = CrowdSettings(clients=8, groups=3, members=5, sends_per_s=40.0, comings_per_s=2.0)
VICTIMS = ("roles=router,delivery", "roles=gateway", "nats-server")


def processes_of(parent: int) -> dict[int, str]:
    """The command lines of a process's children, by pid."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in pids}


def pid_of(server: ChildServer) -> int:
    assert server._process is not None
    return server._process.pid


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


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
