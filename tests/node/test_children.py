"""Children: a short program in a server's place lets one see starts, deaths, restarts and stops."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from folkmoot.node.children import AGAIN_S, AGAIN_S_MAX, WELL_S, Child, ChildFailed
from folkmoot.ports.clock import SystemClock

STANDS_IN = """
import json, os, pathlib, signal, sys, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
notes = pathlib.Path(os.environ["NOTES"])
signal.signal(signal.SIGHUP, lambda *_: notes.with_name("reloaded").touch())
with notes.open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
{before}
print(json.dumps({{"ready": "http://127.0.0.1:4242"}}), flush=True)
stop.wait(60)
"""

# As a server does nothing yet at a signal until it is ready.
STARTS_SLOWLY = """
theirs = signal.signal(signal.SIGHUP, signal.SIG_DFL)
notes.with_name("starts").touch()
while not notes.with_name("go").exists():
    stop.wait(0.01)
signal.signal(signal.SIGHUP, theirs)
"""


class LongClock(SystemClock):
    """So many seconds pass between any two looks at it; who sleeps is noted, and wakes at once."""

    def __init__(self, step_s: float) -> None:
        self.slept_s: list[float] = []
        self._step_s = step_s
        self._now_s = 0.0

    def monotonic_s(self) -> float:
        self._now_s += self._step_s
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await asyncio.sleep(0)


def child(
    tmp_path: Path,
    before: str = "",
    *,
    clock: SystemClock | None = None,
    program: Path | str = sys.executable,
    **settings: object,
) -> Child:
    return Child(
        "one",
        settings,
        clock or SystemClock(),
        environment={**os.environ, "NOTES": str(tmp_path / "notes")},
        command=(str(program), "-c", STANDS_IN.format(before=before)),
    )


def starts(tmp_path: Path) -> int:
    return len((tmp_path / "notes").read_text().splitlines())


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(body())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("served_s", "slept_s"), [(2 * WELL_S, []), (WELL_S / 2, [2 * AGAIN_S, 4 * AGAIN_S])], ids=["well", "soon"]
)
def test_one_that_served_well_is_started_again_at_once_and_one_that_soon_dies_waits_longer(
    served_s: float, slept_s: list[float], tmp_path: Path
) -> None:
    async def test() -> None:
        clock = LongClock(served_s)
        one = child(tmp_path, clock=clock)
        await one.start()
        keeping = asyncio.create_task(one.keep())
        for restarts in (1, 2):
            pid = one.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda restarts=restarts, pid=pid: one.restarts == restarts and one.pid not in (None, pid))  # type: ignore[misc]
            await until(lambda restarts=restarts: starts(tmp_path) == restarts + 1)  # type: ignore[misc]
        await one.stop()
        await keeping
        assert clock.slept_s == slept_s

    run(test)


def test_it_is_started_with_its_settings_and_drained(tmp_path: Path) -> None:
    async def test() -> None:
        one = child(tmp_path, roles=("router", "delivery"), port=0)
        await one.start()
        assert one.url == "http://127.0.0.1:4242"
        assert (tmp_path / "notes").read_text() == '["--set", "roles=router,delivery", "--set", "port=0"]\n'
        one.reload()
        await until((tmp_path / "reloaded").exists)
        await one.stop()
        assert one.pid is None
        await one.stop()

    run(test)


def test_one_that_is_killed_is_started_again_until_it_is_stopped(tmp_path: Path) -> None:
    async def test() -> None:
        one = child(tmp_path)
        await one.start()
        told = []
        keeping = asyncio.create_task(one.keep(lambda: told.append(True)))
        for count in (1, 2):
            pid = one.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda count=count: len(told) == count)  # type: ignore[misc]
        assert (one.restarts, starts(tmp_path)) == (2, 3)
        await one.stop()
        await keeping
        assert starts(tmp_path) == 3

    run(test)


@pytest.mark.parametrize("before", ["sys.exit(1)", "print('nonsense', flush=True)"])
def test_one_that_does_not_come_up_is_an_error_and_leaves_nothing(tmp_path: Path, before: str) -> None:
    async def test() -> None:
        one = child(tmp_path, before)
        with pytest.raises(ChildFailed, match="one did not come up"):
            await one.start()
        assert one.pid is None

    run(test)


def test_one_that_fails_to_come_up_again_is_tried_again(tmp_path: Path) -> None:
    async def test() -> None:
        once = (
            f"path = pathlib.Path({str(tmp_path / 'fails')!r})\nif path.exists():\n    path.unlink()\n    sys.exit(1)"
        )
        one = child(tmp_path, once)
        await one.start()
        (tmp_path / "fails").touch()
        told = asyncio.Event()
        keeping = asyncio.create_task(one.keep(told.set))
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
        await told.wait()
        assert starts(tmp_path) == 3
        await one.stop()
        await keeping

    run(test)


def test_one_that_the_system_gives_no_process_for_is_tried_again_with_growing_bounded_pauses(tmp_path: Path) -> None:
    async def test() -> None:
        program, clock = tmp_path / "program", LongClock(WELL_S / 2)
        program.symlink_to(sys.executable)
        one = child(tmp_path, clock=clock, program=program)
        await one.start()
        program.unlink()
        told = asyncio.Event()
        keeping = asyncio.create_task(one.keep(told.set))
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
        await until(lambda: len(clock.slept_s) >= 8 or keeping.done())
        program.symlink_to(sys.executable)
        await told.wait()
        assert (one.pid is not None, starts(tmp_path)) == (True, 2)
        assert clock.slept_s[:4] == [2 * AGAIN_S, 4 * AGAIN_S, 8 * AGAIN_S, 16 * AGAIN_S]
        assert set(clock.slept_s[4:]) == {AGAIN_S_MAX}
        await one.stop()
        await keeping

    run(test)


def test_one_that_starts_reads_its_settings_again_once_it_is_ready_and_does_not_end_by_it(tmp_path: Path) -> None:
    async def test() -> None:
        one = child(tmp_path, STARTS_SLOWLY)
        starting = asyncio.create_task(one.start())
        await until((tmp_path / "starts").exists)
        one.reload()
        (tmp_path / "go").touch()
        await starting
        await until((tmp_path / "reloaded").exists)
        await one.stop()

    run(test)


def test_it_does_not_speak_to_the_service_manager_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        one = child(tmp_path, "if 'NOTIFY_SOCKET' in os.environ:\n    sys.exit(1)")
        await one.start()
        await one.stop()

    run(test)
