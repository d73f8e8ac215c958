"""What people do on terminals, with real processes: the commands that `serve` prints, a stop and a start, kills."""

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import pytest

from folkmoot.checker.child import ChildServer
from folkmoot.checker.replay import Replay, ReplayReport, ReplaySettings
from folkmoot.gateway.identity import secret_of
from folkmoot.model.position import Position

FOLKMOOT = [sys.executable, "-m", "folkmoot.cli"]
TALK = Path(__file__).parent.parent / "data" / "2005-07-06_14.txt"
WAIT_S_MAX = 20.0


def environment(**variables: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("FOLKMOOT_")} | variables


def folkmoot(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [*FOLKMOOT, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S_MAX, check=False, env=environment(**variables)
    )


def printed(*arguments: str, **variables: str) -> str:
    """What a command prints that has to succeed."""
    done = folkmoot(*arguments, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Output(msgspec.Struct):
    """What a process writes to a pipe or a terminal, waited for."""

    end: int
    seen: str = ""

    def until(self, text: str, *, count: int = 1) -> str:
        """Everything since the last wait, once `text` is in it as often."""
        deadline_s = time.monotonic() + WAIT_S_MAX
        while self.seen.count(text) < count:
            ready, _, _ = select.select([self.end], [], [], max(0.0, deadline_s - time.monotonic()))
            assert ready, f"no {text!r} in {self.seen!r}"
            read = os.read(self.end, 65_536)
            assert read, f"ended without {text!r}: {self.seen!r}"
            self.seen += read.decode("utf-8", "replace")
        shown, self.seen = self.seen, ""
        return shown


def output_of(stream: IO[bytes] | None) -> Output:
    assert stream is not None
    return Output(stream.fileno())


class Processes:
    """Started here, and ended at the end of the test whatever happened in it."""

    def __init__(self) -> None:
        self._all: list[subprocess.Popen[bytes]] = []
        self._ends: list[int] = []

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [*FOLKMOOT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**variables)
        )
        self._all.append(process)
        return process

    def terminal(self, script: str) -> "tuple[Output, subprocess.Popen[bytes]]":
        """A shell on a terminal of its own that runs a script, as if it had been typed."""
        end, other = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", script], stdin=other, stdout=other, stderr=other, env=environment(TERM="dumb", COLUMNS="200")
        )
        os.close(other)
        self._all.append(process)
        self._ends.append(end)
        return Output(end), process

    def close(self) -> None:
        for process in self._all:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        for end in self._ends:
            os.close(end)


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    started.close()


def ready(process: "subprocess.Popen[bytes]") -> str:
    """The address of a server that was started with --json."""
    line = output_of(process.stdout).until("\n")
    url: str = json.loads(line)["ready"]
    return url


def test_the_commands_that_serve_prints_let_two_terminals_chat(processes: Processes, tmp_path: Path) -> None:
    server = processes.start("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    welcome = output_of(server.stdout).until("Ctrl-C here stops the server.")
    one, two = welcome.partition("In a second terminal, as user-1:")[2].split("In a third, as user-2:")
    scripts = [" && ".join(line.strip() for line in text.splitlines() if line.startswith("  ")) for text in (one, two)]
    first, _ = processes.terminal(scripts[0])
    first.until("> ")
    second, leaving = processes.terminal(scripts[1])
    assert "user-1 made the group 'tea room'" in second.until("> ")
    os.write(first.end, b"hello from the first\n")
    second.until("user-1: hello from the first")
    os.write(second.end, b"and from the second\n")
    first.until("user-2: and from the second")
    os.write(second.end, b"\x04")
    assert leaving.wait(WAIT_S_MAX) == 0
    # Typed once more, after a restart perhaps, they lead to the same group.
    again, _ = processes.terminal(scripts[0])
    assert "user-1: hello from the first" in again.until("> ", count=1)


def test_a_tail_goes_on_over_a_stop_and_a_start(processes: Processes, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    server = processes.start("serve", "--json", "--port", "0", "--data-dir", data, "--set", "drain-spread-s=0.2")
    url = ready(server)
    group = printed("group", "create", "tea", "--as", "user-1", "--data-dir", data, "--url", url)
    token = printed("token", "user-1", "--data-dir", data)
    tail = processes.start("tail", group, "--from", "0", "--json", FOLKMOOT_TOKEN=token, FOLKMOOT_URL=url)
    shown = output_of(tail.stdout)
    shown.until('"seq": 1,')
    assert printed("send", group, "before", FOLKMOOT_TOKEN=token, FOLKMOOT_URL=url) == "2"
    shown.until('"before"')
    elsewhere = processes.start(
        "tail",
        group,
        "--from",
        str(Position(1, 1, b"another.")),
        "--data-dir",
        data,
        "--as",
        "user-1",
        FOLKMOOT_URL=url,
    )
    output_of(elsewhere.stderr).until("the position is not one of this log")

    server.send_signal(signal.SIGTERM)
    assert server.wait(WAIT_S_MAX) == 0
    log = output_of(server.stderr)
    log.until("stopped")
    assert ready(processes.start("serve", "--json", "--port", url.rpartition(":")[2], "--data-dir", data)) == url

    assert printed("send", group, "after", FOLKMOOT_TOKEN=token, FOLKMOOT_URL=url) == "3"
    assert shown.until('"after"').count('"seq"') == 1
    assert output_of(elsewhere.stdout).until("after").count("user-1") == 1
    tail.send_signal(signal.SIGINT)
    assert tail.wait(WAIT_S_MAX) == 130


def test_a_store_that_was_killed_again_and_again_verifies(tmp_path: Path) -> None:
    path = tmp_path / "talk.txt"
    path.write_bytes(b"".join(line + b"\n" for line in TALK.read_bytes().split(b"\n")[:150]))

    async def run() -> tuple[ReplayReport, str]:
        child = ChildServer(tmp_path / "data")
        await child.start()
        try:
            settings = ReplaySettings(kill_every_s=0.4, kills_min=4, seed=3)
            secret = secret_of(child.data_dir)
            report = await Replay([path], settings, url=child.url, secret=secret, child=child).run()
            while_it_runs = await asyncio.to_thread(printed, "verify", "--data-dir", str(child.data_dir))
        finally:
            assert await child.stop() == 0
        return report, while_it_runs

    report, while_it_runs = asyncio.run(run())
    assert report.verdict.lines() == []
    assert report.kills >= 4
    expected = f"{report.files} groups, {151 * report.files} entries, 0 broken"
    assert while_it_runs == expected
    assert printed("verify", "--data-dir", str(tmp_path / "data")) == expected
