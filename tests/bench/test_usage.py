"""What is read from /proc is what the process used."""

import os
import threading
import time
from pathlib import Path

import pytest

from folkmoot.bench.usage import TICKS_PER_S, Usage, cpu_of, main_thread_s, rss_of, usage_of, usages_added


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


def test_the_first_thread_is_told_from_the_others() -> None:
    before_s, whole = main_thread_s(os.getpid()), usage_of(os.getpid())
    thread = threading.Thread(target=lambda: sum(n * n for n in range(2_000_000)))
    thread.start()
    thread.join()
    elsewhere_s = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID) - time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
    assert elsewhere_s > 0.05
    assert main_thread_s(os.getpid()) - before_s < usage_of(os.getpid()).cpu_s - whole.cpu_s + 0.02


def test_usages_of_several_processes_are_added() -> None:
    assert usages_added([Usage(1.0, 2.0, 30, 4.0, 0.5), Usage(10.0, 20.0, 300, 40.0, 5.0)]) == Usage(
        11.0, 22.0, 330, 44.0, 5.5
    )


def test_no_process_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="stat"):
        usage_of(1, tmp_path)
