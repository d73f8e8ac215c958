"""A server as a child: what a short program in its place lets one see of starts, kills, ends and last words."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from folkmoot.checker import child as module
from folkmoot.checker.child import ChildFailed, ChildServer

STANDS_IN = """
import json, pathlib, signal, sys, threading
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder = pathlib.Path(options["--data-dir"])
with (folder / "ports").open("a") as ports:
    ports.write(options["--port"] + "\\n")
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
{before}
port = "4242" if options["--port"] == "0" else options["--port"]
print(json.dumps({{"ready": "http://127.0.0.1:" + port}}), flush=True)
stop.wait(60)
"""


def stand_in(tmp_path: Path, before: str = "", options: tuple[str, ...] = ()) -> ChildServer:
    command = [sys.executable, "-c", STANDS_IN.format(before=before)]
    return ChildServer(tmp_path / "data", command=command, options=options)


def ports(server: ChildServer) -> list[str]:
    return (server.data_dir / "ports").read_text().split()


def test_it_is_started_killed_and_started_again_on_the_same_port(tmp_path: Path) -> None:
    async def run() -> None:
        server = stand_in(tmp_path)
        await server.start()
        assert server.url == "http://127.0.0.1:4242"
        await server.kill()
        assert await server.wait() == -signal.SIGKILL
        await server.kill()
        await server.start()
        assert (server.starts, server.kills) == (2, 1)
        assert ports(server) == ["0", "4242"]
        assert await server.stop() == 0
        assert await server.stop() == 0

    asyncio.run(run())


def test_one_that_was_never_started_has_nothing_to_stop(tmp_path: Path) -> None:
    assert asyncio.run(stand_in(tmp_path).stop()) == 0


@pytest.mark.parametrize("before", ["sys.exit('no disk')", "print('not json: no disk', file=sys.stderr); print('x')"])
def test_one_that_does_not_come_up_says_why(tmp_path: Path, before: str) -> None:
    async def run() -> None:
        with pytest.raises(ChildFailed, match="no disk"):
            await stand_in(tmp_path, before).start()

    asyncio.run(run())


def test_one_that_is_not_ready_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READY_S_MAX", 0.3)

    async def run() -> None:
        server = stand_in(tmp_path, "stop.wait(60)")
        with pytest.raises(ChildFailed):
            await server.start()
        assert await server.wait() == -signal.SIGKILL
        assert server.kills == 0

    asyncio.run(run())


def test_one_that_does_not_drain_is_killed_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_S_MAX", 0.3)

    async def run() -> None:
        server = stand_in(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        await server.start()
        assert await server.stop() == -signal.SIGKILL
        assert server.kills == 0

    asyncio.run(run())


def test_where_its_port_is_taken_for_a_moment_it_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STARTS_PAUSE_S", 0.01)
    taken = """
if options["--port"] != "0" and len((folder / "ports").read_text().split()) < 4:
    sys.exit("address in use")
"""

    async def run() -> None:
        server = stand_in(tmp_path, taken)
        await server.start()
        await server.kill()
        await server.start()
        assert ports(server) == ["0", "4242", "4242", "4242"]
        assert (server.starts, server.kills) == (2, 1)
        await server.kill()

    asyncio.run(run())


def test_a_start_that_is_given_up_leaves_no_process(tmp_path: Path) -> None:
    async def run() -> None:
        server = stand_in(tmp_path, "(folder / 'runs').write_text('it runs'); stop.wait(60)")
        server.data_dir.mkdir()
        os.mkfifo(server.data_dir / "runs")
        starting = asyncio.create_task(server.start())
        assert await asyncio.to_thread((server.data_dir / "runs").read_text) == "it runs"
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert await server.wait() == -signal.SIGKILL

    asyncio.run(run())


def test_options_are_handed_on(tmp_path: Path) -> None:
    async def run() -> None:
        server = stand_in(tmp_path, "(folder / 'options').write_text(json.dumps(options))", ("--log-level", "error"))
        await server.start()
        await server.kill()
        options = json.loads((server.data_dir / "options").read_text())
        assert options == {"--port": "0", "--data-dir": str(server.data_dir), "--log-level": "error"}

    asyncio.run(run())


def test_a_paused_one_does_nothing_and_goes_on(tmp_path: Path) -> None:
    def state(server: ChildServer) -> str:
        assert server._process is not None
        return Path(f"/proc/{server._process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    async def run() -> None:
        server = stand_in(tmp_path)
        server.pause()
        await server.start()
        server.pause()
        while state(server) != "T":  # noqa: ASYNC110
            await asyncio.sleep(0)
        server.resume()
        while state(server) == "T":  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert await server.stop() == 0
        server.resume()

    asyncio.run(run())
