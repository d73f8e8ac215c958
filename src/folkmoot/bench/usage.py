"""What a process has used, as the operating system counts it: CPU time and memory, from /proc."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Usage(msgspec.Struct, frozen=True):
    """CPU time of all threads since the process began, user and system, in seconds; resident memory in bytes.

    `run_s` is the same to the nanosecond, of the threads that are there now; `wait_s` how long they could have run and
    did not, since something else had the core. Both are 0 on a kernel that does not count them.
    """

    user_s: float
    system_s: float
    rss_bytes: int
    run_s: float = 0.0
    wait_s: float = 0.0

    @property
    def cpu_s(self) -> float:
        """User and system time: as exactly as it is known, threads that have ended included."""
        return max(self.user_s + self.system_s, self.run_s)


def usage_of(pid: int, proc: Path = Path("/proc")) -> Usage:
    """What the process has used so far. Raises OSError where there is none."""
    its = proc / str(pid)
    user_s, system_s = cpu_of((its / "stat").read_text())
    run_s, wait_s = _scheduled_s(its / "task")
    return Usage(user_s, system_s, rss_of((its / "status").read_text()), run_s, wait_s)


def usages_added(usages: Iterable[Usage]) -> Usage:
    """What several processes have used together."""
    each = list(usages)
    return Usage(
        user_s=sum(one.user_s for one in each),
        system_s=sum(one.system_s for one in each),
        rss_bytes=sum(one.rss_bytes for one in each),
        run_s=sum(one.run_s for one in each),
        wait_s=sum(one.wait_s for one in each),
    )


def main_thread_s(pid: int, proc: Path = Path("/proc")) -> float:
    """How long a process's first thread ran, in seconds: in Python the one with the event loop. Raises OSError."""
    its = proc / str(pid) / "task" / str(pid)
    user_s, system_s = cpu_of((its / "stat").read_text())
    return max(user_s + system_s, _ran_ns(its) / 1e9)


def cpu_of(stat: str) -> tuple[float, float]:
    """User and system time in seconds, from the line in `stat`."""
    # The name in parentheses may hold anything, spaces and parentheses too: what is counted stands after the last.
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) / TICKS_PER_S, int(fields[12]) / TICKS_PER_S


def rss_of(status: str) -> int:
    """VmRSS in bytes, from `status`; 0 for a process that has ended."""
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1_024
    return 0


def _ran_ns(task: Path) -> int:
    with contextlib.suppress(OSError):
        return int((task / "schedstat").read_text().split()[0])
    return 0


def _scheduled_s(tasks: Path) -> tuple[float, float]:
    """How long the threads ran, and how long they waited to run, in seconds."""
    ran_ns = waited_ns = 0
    for task in tasks.iterdir():
        # A kernel without these counts has no such file; a thread may end while it is looked at.
        with contextlib.suppress(OSError):
            ran, waited, _ = (task / "schedstat").read_text().split()
            ran_ns += int(ran)
            waited_ns += int(waited)
    return ran_ns / 1e9, waited_ns / 1e9
