"""The machine's clocks and chance keep what their ports say."""

import asyncio
import subprocess
import sys
import time

from folkmoot.ports.clock import DRAWN_BYTES, Chance, Clock, SystemChance, SystemClock


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


def test_no_byte_is_handed_out_twice() -> None:
    chance = SystemChance()
    tokens = [chance.token(16) for _ in range(2_000)] + [chance.token(DRAWN_BYTES - 1), chance.token(DRAWN_BYTES + 1)]
    assert [len(token) for token in tokens[-3:]] == [16, DRAWN_BYTES - 1, DRAWN_BYTES + 1]
    eights = [token[at : at + 8] for token in tokens for at in range(0, len(token) - 7, 8)]
    assert len(set(eights)) == len(eights)


def test_a_forked_process_draws_for_itself() -> None:
    # In a process of its own, which has no threads that a fork would lose.
    code = """
import os
from folkmoot.ports.clock import SystemChance
chance = SystemChance()
chance.token(16)
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, chance.token(16))
    os._exit(0)
own = chance.token(16)
os.wait()
print(os.read(reading, 16) != own)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
