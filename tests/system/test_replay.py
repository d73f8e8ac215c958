"""Real chat through a real server: plain, under kills, and with kills at the worst instants; always a clean verdict."""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from folkmoot.checker.child import ChildServer
from folkmoot.checker.logs import verify_store
from folkmoot.checker.replay import Replay, ReplayReport, ReplaySettings
from folkmoot.gateway.identity import secret_of

DATA = Path(__file__).parent.parent / "data"
FILES = sorted(DATA.glob("*.txt"))


def replay(*options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "folkmoot.cli", "replay", "--json", *map(str, FILES), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.timeout(200)
def test_every_line_reaches_every_member() -> None:
    report = replay()
    assert report["clean"]
    assert (report["files"], report["lines"], report["entries"]) == (2, 3_000, 3_000)
    # Each of the 1,500 lines and the making of the group, to each member.
    assert report["deliveries"] == 1_501 * (108 + 222)


@pytest.mark.timeout(200)
def test_every_line_reaches_every_member_though_the_server_is_killed_again_and_again() -> None:
    report = replay("--kill-every", "2", "--kills-min", "5", "--seed", "7")
    assert report["clean"]
    assert report["kills"] >= 5
    assert report["reconnects"] > 100


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", ["appended", "answered"])
def test_a_kill_between_append_and_answer_or_publish_loses_and_doubles_nothing(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL_AT", point)
    monkeypatch.setenv("FAIL_EVERY", "40")
    lines = FILES[0].read_bytes().split(b"\n")[:400]
    short = tmp_path / "short.txt"
    short.write_bytes(b"\n".join(lines) + b"\n")

    async def run() -> ReplayReport:
        child = ChildServer(
            tmp_path / "data", command=[sys.executable, str(Path(__file__).with_name("failing_server.py"))]
        )
        await child.start()

        async def start_again() -> None:
            while True:
                await child.wait()
                child.kills += 1
                await child.start()

        starter = asyncio.create_task(start_again())
        try:
            secret = secret_of(child.data_dir)
            return await Replay([short], ReplaySettings(), url=child.url, secret=secret, child=child).run()
        finally:
            starter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starter
            await child.kill()

    report = asyncio.run(run())
    assert report.clean, report.verdict
    assert report.lines == 400
    assert report.kills >= 8
    logs = asyncio.run(verify_store(tmp_path / "data" / "folkmoot.db", [], lambda done, total: None))
    assert (logs.groups, logs.broken) == (1, [])
    assert logs.entries == 401
