"""Time and chance come in through here, so that a run can be repeated."""

import asyncio
import os
import random
import secrets
import threading
import time
from typing import Final, Protocol

DRAWN_BYTES: Final = 2_048


class Clock(Protocol):
    """Wall time for people, monotonic time for intervals, and waiting."""

    def wall_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Chance(Protocol):
    """Draws for jitter and bytes for salts and ids."""

    def draw(self) -> float:
        """Uniform in [0, 1)."""

    def token(self, size_bytes: int) -> bytes:
        """Bytes that nobody can guess."""


class SystemClock:
    """The machine's clocks."""

    # Itself, with nothing around it: eight times a message is it asked.
    monotonic_s = staticmethod(time.monotonic)

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemChance:
    """The machine's chance."""

    def draw(self) -> float:
        return random.random()

    def token(self, size_bytes: int) -> bytes:
        return _DRAWN.take(size_bytes)


class _Drawn:
    """Bytes drawn ahead: each is handed out once, and to the process alone that drew it."""

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> bytes:
        if size_bytes > DRAWN_BYTES:
            return secrets.token_bytes(size_bytes)
        with self._lock:
            if self._at + size_bytes > len(self._bytes):
                # Asking the system costs as much for a page as for a few bytes.
                self._bytes, self._at = secrets.token_bytes(DRAWN_BYTES), 0
            taken = self._bytes[self._at : self._at + size_bytes]
            self._at += size_bytes
            return taken

    def forget(self) -> None:
        """In a process that was forked from this one: else both would hand out the same."""
        self._bytes, self._at = b"", 0
        self._lock = threading.Lock()


_DRAWN: Final = _Drawn()
os.register_at_fork(after_in_child=_DRAWN.forget)
