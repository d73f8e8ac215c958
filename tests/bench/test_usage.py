"""What is read from /proc is what the process used."""

import os
import time
from pathlib import Path

import pytest

from folkmoot.bench.usage import TICKS_PER_S, cpu_of, rss_of, usage_of


def test_a_name_may_hold_anything() -> None:
    fields = " ".join(str(n) for n in range(3, 53))
    assert cpu_of(f"12 (a) b (c)) {fields}") == (14 / TICKS_PER_S, 15 / TICKS_PER_S)


def test_memory_is_in_bytes() -> None:
    assert rss_of("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t1\n") == 2_097_152
    assert rss_of("Name:\tended\n") == 0


def test_this_process_uses_time() -> None:
    before = usage_of(os.getpid())
    began_s = time.process_time()
    while time.process_time() - began_s < 0.1:
        pass
    after = usage_of(os.getpid())
    assert 0.05 < after.cpu_s - before.cpu_s < 5
    assert after.rss_bytes > 1_000_000
    assert after.wait_s >= before.wait_s


def test_no_process_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="stat"):
        usage_of(1, tmp_path)
