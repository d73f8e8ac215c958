"""Clocks and chance of one simulated process: each clock goes at its own pace and may jump; chance is the seed's."""

import asyncio
import random
from typing import Final

from folkmoot.testing.virtual_loop import VirtualLoop

EPOCH_MS: Final = 1_760_000_000_000
"""Where wall clocks start."""


class WorldClock:
    """A process's clocks. `pace` 1.01: it gains a second in a hundred. A jump moves the wall clock only."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._pace = 1.0
        self._since_s = loop.time()
        self._then_s = loop.time()
        self._jumped_ms = 0

    def wall_ms(self) -> int:
        return EPOCH_MS + int(self.monotonic_s() * 1_000) + self._jumped_ms

    def monotonic_s(self) -> float:
        return self._then_s + (self._loop.time() - self._since_s) * self._pace

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._pace)

    def jump(self, by_ms: int) -> None:
        self._jumped_ms += by_ms

    def set_right(self) -> None:
        """Take back all jumps."""
        self._jumped_ms = 0

    def drift(self, pace: float) -> None:
        """Go at another pace from now on."""
        self._then_s, self._since_s = self.monotonic_s(), self._loop.time()
        self._pace = pace


class WorldChance:
    """Draws and bytes of one life of a process."""

    def __init__(self, seed: int, name: str) -> None:
        self._random = random.Random(f"{seed}/{name}")

    def draw(self) -> float:
        return self._random.random()

    def token(self, size_bytes: int) -> bytes:
        return self._random.randbytes(size_bytes)
