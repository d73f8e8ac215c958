"""A child process on cores of its own, that ends when this one does: the server, the floor and the load are such."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from folkmoot.bench.usage import Usage, usage_of

STOP_S_MAX: Final = 20.0
LAST_WORDS_BYTES: Final = 2_000


class ChildFailed(Exception):
    """The process did not come up, or ended; the text is what it said last."""


class Child:
    """One process. Lines go in at its standard input, which ends when this process does; lines come out."""

    def __init__(self, command: Sequence[str], *, cores: Collection[int], log: Path) -> None:
        """Start it on `cores` (none: on any). What it complains of goes to `log`."""
        self._log = log
        with log.open("ab") as errors, pinned(cores):
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def usage(self) -> Usage:
        """What it has used so far. Raises ChildFailed where it has ended."""
        try:
            return usage_of(self.pid)
        except OSError:
            raise ChildFailed(self.last_words()) from None

    def tell(self, line: bytes) -> None:
        """Write a line to it. Raises ChildFailed where it has ended."""
        assert self._process.stdin is not None
        view = memoryview(line + b"\n")
        try:
            while view:
                view = view[self._process.stdin.write(view) :]
        except OSError:
            raise ChildFailed(self.last_words()) from None

    def hear(self, timeout_s: float) -> bytes:
        """The next line that it says. Raises ChildFailed where it ends, or takes longer."""
        overdue = threading.Timer(timeout_s, self._process.kill)
        overdue.start()
        try:
            line = self._read_line()
        finally:
            overdue.cancel()
        if not line:
            self._process.wait()
            raise ChildFailed(self.last_words())
        return line

    def kill(self) -> None:
        """End it at once, as if the power had gone (SIGKILL)."""
        self._process.kill()
        self.stop()

    def stop(self) -> bytes:
        """End its input and wait until it is gone, by force if need be; what it still said."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        assert self._process.stdout is not None
        overdue = threading.Timer(STOP_S_MAX, self._process.kill)
        overdue.start()
        try:
            said = b"" if self._process.stdout.closed else self._process.stdout.read() or b""
            self._process.wait()
        finally:
            overdue.cancel()
        self._process.stdout.close()
        return said

    def last_words(self) -> str:
        try:
            return self._log.read_bytes()[-LAST_WORDS_BYTES:].decode("utf-8", "replace").strip() or "it said nothing"
        except OSError:
            return "it said nothing"

    def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        pieces = []
        # Unbuffered, so that nothing is held here that `stop` would miss; a tally comes in few pieces.
        while piece := self._process.stdout.readline():
            pieces.append(piece)
            if piece.endswith(b"\n"):
                break
        return b"".join(pieces)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this installation."""
    return [sys.executable, "-m", module, *arguments]


@contextlib.contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """On these cores, as what is started meanwhile; none, or a system that cannot: as before."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
