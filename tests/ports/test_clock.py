"""The machine's clocks and chance keep what their ports say."""

import asyncio
import time

from folkmoot.ports.clock import Chance, Clock, SystemChance, SystemClock


def test_the_clocks() -> None:
    clock: Clock = SystemClock()
    assert abs(clock.wall_ms() - time.time() * 1_000) < 5_000
    before = clock.monotonic_s()
    asyncio.run(clock.sleep(0))
    assert clock.monotonic_s() >= before


def test_chance() -> None:
    chance: Chance = SystemChance()
    assert all(0 <= chance.draw() < 1 for _ in range(100))
    assert len(chance.token(16)) == 16
    assert chance.token(16) != chance.token(16)
