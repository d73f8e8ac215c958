"""A terminal played by a pair of ends: what others say appears above the line that is being typed."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

SCRIPT = """
import asyncio, sys
from folkmoot.cli.terminal import Terminal

async def main():
    terminal = Terminal()
    terminal.show("ready")
    async for line in terminal.lines():
        terminal.show(f"heard {line!r}")
        if line == "later":
            asyncio.get_running_loop().call_later(0.3, terminal.show, "somebody speaks")
        if line == "leave":
            break
    terminal.show("left")

asyncio.run(main())
"""
WAIT_S_MAX = 10.0


class Screen(msgspec.Struct):
    """The end at which a person sits."""

    end: int
    process: "subprocess.Popen[bytes]"
    seen: bytes = b""

    def type(self, keys: str) -> None:
        os.write(self.end, keys.encode())

    def until(self, text: str) -> str:
        """What has appeared since the last wait, up to `text` and what came with it."""
        deadline_s = time.monotonic() + WAIT_S_MAX
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.end], [], [], max(0.0, deadline_s - time.monotonic()))
            assert ready, self.seen
            self.seen += os.read(self.end, 4_096)
        shown, self.seen = self.seen.decode(), b""
        return shown


@pytest.fixture
def screen() -> Iterator[Screen]:
    end, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=other, stdout=other, stderr=other, env=os.environ | {"TERM": "dumb"}
    )
    os.close(other)
    yield Screen(end, process)
    process.kill()
    process.wait()
    os.close(end)


def test_a_line_is_heard_and_wiped_since_it_will_be_shown(screen: Screen) -> None:
    screen.until("> ")
    screen.type("hello\n")
    assert "\x1b[1A\x1b[2K" in screen.until("heard 'hello'")


def test_what_is_being_typed_stands_again_under_what_others_say(screen: Screen) -> None:
    screen.until("> ")
    screen.type("later\n")
    screen.until("heard 'later'")
    screen.type("half a li")
    assert screen.until("somebody speaks\r\n> half a li").count("somebody speaks") == 1
    screen.type("ne\n")
    screen.until("heard 'half a line'")


def test_the_end_of_input_ends_it(screen: Screen) -> None:
    screen.until("> ")
    screen.type("\x04")
    screen.until("left")
    assert screen.process.wait(WAIT_S_MAX) == 0


def test_who_leaves_in_the_middle_of_a_wait_leaves_the_terminal_as_it_was(screen: Screen) -> None:
    import termios

    screen.until("> ")
    screen.type("leave\n")
    screen.until("left")
    assert screen.process.wait(WAIT_S_MAX) == 0
    assert termios.tcgetattr(screen.end)[3] & termios.ECHO


def test_from_a_pipe_or_a_file_lines_come_as_they_are(tmp_path: Path) -> None:
    expected = "ready\nheard 'one'\nheard 'caf\ufffd'\nheard 'last'\nleft\n"
    command = [sys.executable, "-c", SCRIPT]
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:replace"}
    piped = subprocess.run(command, input=b"one\ncaf\xe9\nlast", capture_output=True, check=True, env=environment)
    assert piped.stdout.decode() == expected
    path = tmp_path / "typed"
    path.write_bytes(b"one\ncaf\xe9\nlast")
    with path.open("rb") as file:
        read = subprocess.run(command, stdin=file, capture_output=True, check=True, env=environment)
    assert read.stdout.decode() == expected
