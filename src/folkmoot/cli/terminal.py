"""A terminal on which one types while others speak: lines in, and lines shown above the one being typed."""

import asyncio
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Final

import typer

PROMPT: Final = "> "
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
        if not self._is_interactive:
            async for text in _piped():
                yield text
            return
        loop = asyncio.get_running_loop()
        typed: asyncio.Queue[str | None] = asyncio.Queue()
        attributes = _attributes()
        # Not a worker of the loop's own: nothing ends a wait for a key, so nothing must wait for its end.
        threading.Thread(target=self._read, args=(loop, typed), daemon=True).start()
        try:
            while (line := await typed.get()) is not None:
                yield line
        finally:
            _set_attributes(attributes)
            typer.echo()

    def _read(self, loop: asyncio.AbstractEventLoop, typed: "asyncio.Queue[str | None]") -> None:
        line: str | None = ""
        while line is not None:
            self._is_reading = True
            try:
                line = input(PROMPT)
            except (EOFError, OSError, ValueError):
                line = None
            self._is_reading = False
            if line is not None:
                # It will come back as an entry, with its number: once is enough.
                columns = max(1, shutil.get_terminal_size().columns)
                sys.stdout.write(_UP_AND_CLEAR * (1 + (len(PROMPT) + len(line)) // (columns + 1)))
                sys.stdout.flush()
            try:
                loop.call_soon_threadsafe(typed.put_nowait, line)
            except RuntimeError:
                return  # The loop is closed: the command has ended.


async def _piped() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except ValueError:
        # A file: it is there as a whole, and waits for nobody.
        for line in sys.stdin:
            yield line.rstrip("\n")
        return
    while line := await reader.readline():
        yield line.decode("utf-8", "replace").rstrip("\n")


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
