"""The child server: starts, keeps its ports, can be killed and paused, and does not outlive who started it."""

import asyncio
import stat
import sys
from pathlib import Path

import pytest

from folkmoot.backends.nats.bus import NatsBus
from folkmoot.backends.nats.server import NatsServer, NatsUser, ServerFailed, free_port

WAIT_S_MAX = 20.0

PARENT = """
import asyncio, os, sys, pathlib
from folkmoot.backends.nats.server import NatsServer

async def run():
    server = NatsServer(pathlib.Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(run())
"""


def test_it_starts_again_on_its_port_after_a_stop_and_a_kill(tmp_path: Path) -> None:
    async def run() -> None:
        server = NatsServer(tmp_path / "new")
        await server.start()
        await server.start()
        assert server.starts == 1
        url, pid = server.url, server.pid
        await server.kill()
        assert server.pid is None
        await server.start()
        await server.restart()
        assert server.url == url
        assert server.pid not in {None, pid}
        server.pause()
        await server.stop()
        await server.stop()
        assert server.pid is None
        assert "Server is ready" in server.log_file.read_text()

    asyncio.run(run())


def test_its_config_with_passwords_is_read_by_its_owner_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path, users=(NatsUser(name="user-1", password="secret"),)) as server:
            assert stat.S_IMODE((tmp_path / "nats.conf").stat().st_mode) == 0o600
            assert "secret" not in server.url + server.log_file.read_text()

    asyncio.run(run())


def test_a_port_that_another_server_has_is_an_error_that_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path / "one") as one:
            two = NatsServer(tmp_path / "two", name="two", port=one.port)
            with pytest.raises(ServerFailed, match="address already in use"):
                await two.start()

    asyncio.run(run())


def test_it_keeps_nothing_and_listens_on_loopback_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path, port=free_port()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            info = await reader.readline()
            writer.close()
            await writer.wait_closed()
            assert b'"jetstream":true' not in info
            assert b'"host":"127.0.0.1"' in info

    asyncio.run(run())


@pytest.mark.skipif(sys.platform != "linux", reason="another system has no such call")
def test_it_ends_with_the_process_that_started_it_however_that_ends(tmp_path: Path) -> None:
    async def run() -> None:
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout is not None
        async with asyncio.timeout(WAIT_S_MAX):
            pid = int(await parent.stdout.readline())
            assert _runs(pid)
            parent.kill()
            await parent.wait()
            while _runs(pid):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    asyncio.run(run())


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_bus_closes_while_its_server_is_paused(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server:
            bus = await NatsBus.connect([server.url])
            server.pause()
            bus.publish("a.1", bytes(1_000_000))
            async with asyncio.timeout(WAIT_S_MAX):
                await bus.close()
            server.resume()

    asyncio.run(run())
