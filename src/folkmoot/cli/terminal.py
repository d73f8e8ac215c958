"""A terminal on which one types while others speak: lines in, and lines shown above the one being typed."""

import asyncio
import contextlib
import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import typer

PROMPT: Final = "> "
CHUNK_BYTES: Final = 65_536
LINES_AHEAD_MAX: Final = 100
"""What is piped in faster than it is taken waits in the pipe."""

_UP_AND_CLEAR: Final = "\x1b[1A\x1b[2K"
_CLEAR: Final = "\r\x1b[2K"


class Terminal:
    """Standard input and output. Where they are no terminal, lines are read and shown as they are."""

    def __init__(self) -> None:
        self._is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._is_reading = False
        self._typed = _editing() if self._is_interactive else str

    def show(self, text: str) -> None:
        """Show a line; what is being typed stands under it again."""
        if not self._is_reading:
            typer.echo(text)
            return
        sys.stdout.write(f"{_CLEAR}{text}\n{PROMPT}{self._typed()}")
        sys.stdout.flush()

    async def lines(self) -> AsyncIterator[str]:
        """The lines that are typed, until the end of input."""
        loop = asyncio.get_running_loop()
        typed: asyncio.Queue[str | None] = asyncio.Queue()
        room = threading.Semaphore(LINES_AHEAD_MAX)
        attributes = _attributes() if self._is_interactive else None

        def hand_over(line: str | None) -> None:
            room.acquire()
            loop.call_soon_threadsafe(typed.put_nowait, line)

        # Not a worker of the loop's own: nothing ends a wait for a key, so nothing must wait for its end.
        threading.Thread(target=self._read, args=(hand_over,), daemon=True).start()
        try:
            while (line := await typed.get()) is not None:
                room.release()
                yield line
        finally:
            _set_attributes(attributes)
            if self._is_interactive:
                typer.echo()

    def _read(self, hand_over: Callable[[str | None], None]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: the command has ended.
            for line in self._typed_lines() if self._is_interactive else _piped_lines():
                hand_over(line)
            hand_over(None)

    def _typed_lines(self) -> Iterator[str]:
        while True:
            self._is_reading = True
            try:
                line = input(PROMPT)
            except (EOFError, OSError, ValueError):
                return
            finally:
                self._is_reading = False
            # It will come back as an entry, with its number: once is enough.
            columns = max(1, shutil.get_terminal_size().columns)
            sys.stdout.write(_UP_AND_CLEAR * (1 + (len(PROMPT) + len(line)) // (columns + 1)))
            sys.stdout.flush()
            yield line


def _piped_lines() -> Iterator[str]:
    rest = b""
    # Past Python's own buffer: its lock, held here at the end of the process, would break that end.
    while chunk := os.read(sys.stdin.fileno(), CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def _editing() -> Callable[[], str]:
    """Let lines be edited, with those before them; what stands on the one that is being typed."""
    try:
        import readline
    except ImportError:
        return str
    return readline.get_line_buffer


def _attributes() -> "list[object] | None":
    """How the terminal is set: whoever stops in the middle of a line leaves it without an echo."""
    try:
        import termios

        return termios.tcgetattr(sys.stdin)
    except (ImportError, OSError):
        return None


def _set_attributes(attributes: "list[object] | None") -> None:
    if attributes is not None:
        import termios

        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, attributes)  # type: ignore[arg-type]
