"""Time and chance come in through here, so that a run can be repeated."""

import asyncio
import random
import secrets
import time
from typing import Protocol


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

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemChance:
    """The machine's chance."""

    def draw(self) -> float:
        return random.random()

    def token(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)
