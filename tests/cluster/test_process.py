"""Processes of the cluster: struck by pid and start time, tied to whoever started them or not, found again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.cluster.process import Identity, Process, ProcessFailed, free_port, identity_of, is_running, send

WAITS = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
IGNORES = (
    sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)",
)  # fmt: skip


async def spawned(tmp_path: Path, command: tuple[str, ...] = WAITS, *, tied: bool = True) -> Process:
    """A process that has said a word."""
    process = Process.spawn(command, tmp_path / "words.log", tied=tied)
    while "here" not in process.last_words():
        assert process.is_running
        await asyncio.sleep(0.01)
    return process


async def seen(condition: Callable[[], bool]) -> bool:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return True
            await asyncio.sleep(0.01)


def test_a_process_is_killed_and_that_is_seen(tmp_path: Path) -> None:
    async def run() -> None:
        process = await spawned(tmp_path)
        assert identity_of(process.identity.pid) == process.identity
        assert await process.kill()
        assert not process.is_running
        assert not await process.kill()

    asyncio.run(run())


def test_a_pid_that_is_another_s_by_now_is_not_struck(tmp_path: Path) -> None:
    async def run() -> None:
        process = await spawned(tmp_path)
        other = Identity(process.identity.pid, process.identity.started - 1)
        assert not is_running(other)
        assert not send(other, signal.SIGKILL)
        assert process.is_running
        await process.kill()

    asyncio.run(run())


def test_one_that_is_taken_up_again_is_struck_as_one_s_own(tmp_path: Path) -> None:
    async def run() -> None:
        mine = await spawned(tmp_path)
        again = Process(mine.log, mine.identity)
        assert again.is_running
        assert await again.kill()
        assert not mine.is_running

    asyncio.run(run())


def test_one_that_was_paused_stops_all_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        process = await spawned(tmp_path)
        process.send(signal.SIGSTOP)
        assert await seen(lambda: process.is_paused)
        assert process.is_running
        assert await process.stop(10)
        assert not process.is_running

    asyncio.run(run())


def test_one_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    async def run() -> None:
        process = await spawned(tmp_path, IGNORES)
        assert not await process.stop(0.1)
        assert not process.is_running

    asyncio.run(run())


def test_no_such_program_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="no-such-program"):
        Process.spawn(("no-such-program",), tmp_path / "words.log", tied=False)


@pytest.mark.parametrize("tied", [True, False])
def test_one_that_is_tied_ends_with_its_parent_however_that_ends(tmp_path: Path, tied: bool) -> None:
    parent = (
        "import os, pathlib, signal\n"
        "from folkmoot.cluster.process import Process\n"
        f"child = Process.spawn({WAITS!r}, pathlib.Path({str(tmp_path / 'words.log')!r}), tied={tied})\n"
        "while 'here' not in child.last_words(): pass\n"
        "print(child.identity.pid, child.identity.started, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid, started = map(int, done.stdout.split())
    child = Process(tmp_path / "words.log", Identity(pid, started))
    if tied:
        assert asyncio.run(child.gone(10))
    else:
        assert child.is_running
        assert asyncio.run(child.kill())


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        assert taken.getsockname() == ("127.0.0.1", port)


def test_this_very_process_runs() -> None:
    me = identity_of(os.getpid())
    assert me is not None
    assert is_running(me)
