"""Steps that work for too long are found and named; many short ones are not, and nothing stays behind."""

import asyncio
import time

from folkmoot.testing.long_steps import long_steps

SECONDS_MAX = 0.02


def work(seconds: float) -> None:
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pass


async def greedy() -> None:
    work(2 * SECONDS_MAX)


async def polite() -> None:
    for _ in range(10):
        work(SECONDS_MAX / 5)
        await asyncio.sleep(0)


def test_a_step_that_works_for_long_is_found_and_named() -> None:
    with long_steps(SECONDS_MAX) as found:
        asyncio.run(greedy())
    (step,) = found
    assert "greedy" in step


def test_the_same_work_with_turns_in_between_is_fine() -> None:
    with long_steps(SECONDS_MAX) as found:
        asyncio.run(polite())
    assert found == []


def test_outside_nothing_is_looked_at() -> None:
    before = asyncio.Handle._run
    with long_steps(SECONDS_MAX) as found:
        pass
    asyncio.run(greedy())
    assert found == []
    assert asyncio.Handle._run is before
