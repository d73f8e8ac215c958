"""Clocks that jump and drift, and chance from the seed."""

import asyncio

from folkmoot.testing.virtual_loop import VirtualLoop
from folkmoot.testing.world_clock import WorldChance, WorldClock


def test_a_jump_moves_the_wall_clock_only() -> None:
    clock = WorldClock(VirtualLoop(0))
    wall_ms, monotonic_s = clock.wall_ms(), clock.monotonic_s()
    clock.jump(5_000)
    assert clock.wall_ms() - wall_ms == 5_000
    assert clock.monotonic_s() == monotonic_s
    clock.set_right()
    assert clock.wall_ms() == wall_ms


def test_a_fast_clock_sleeps_less() -> None:
    loop = VirtualLoop(0)

    async def main() -> tuple[float, float]:
        clock = WorldClock(loop)
        await asyncio.sleep(10)
        clock.drift(2.0)
        await clock.sleep(10)
        return loop.time(), clock.monotonic_s()

    assert loop.run(main()) == (15.0, 20.0)


def test_each_life_has_chance_of_its_own_and_the_same_again() -> None:
    one, again, other = (WorldChance(1, name) for name in ("a/1", "a/1", "a/2"))
    assert one.token(8) == again.token(8) != other.token(8)
    assert one.draw() == again.draw() != other.draw()
