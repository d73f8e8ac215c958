"""One stretch of load on one process, and everything that was read of it from outside; what makes it no result."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from folkmoot.bench.disk import DiskProbe, DiskTimes
from folkmoot.bench.figures import Histogram
from folkmoot.bench.fleet import Fleet
from folkmoot.bench.jobs import Tally
from folkmoot.bench.usage import TICKS_PER_S, Usage

LOAD_BUSY_SHARE_MAX: Final = 0.90
"""Of its core, running or waiting for it. A load process with no time of its own to spare measures itself."""

LATE_MS_MAX: Final = 50.0
"""Of how much later than meant the load asked, the 99th percentile: beyond it, the times tell of the load."""

QUANTILES: Final = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen while the window was open. CPU time in seconds; shares are of one core.

    `counted`: what the server's own counts rose by; `counted_at_close`: what they were.
    """

    seconds: float
    before: Usage
    after: Usage
    load_cpu_share: float
    load_wait_share: float
    tally: Tally
    disk: DiskTimes
    load_average: float
    counted: dict[str, float]
    counted_at_close: dict[str, float] = {}

    @property
    def cpu_s(self) -> float:
        """What the server took; a tick of the clock where it took less than can be told, so that one may divide."""
        return self.after.cpu_s - self.before.cpu_s or 1 / TICKS_PER_S

    def conditions(self) -> dict[str, float]:
        """What the figures beside them depend on."""
        return {
            "server_cpu_share": self.cpu_s / self.seconds,
            "server_wait_share": (self.after.wait_s - self.before.wait_s) / self.seconds,
            "load_cpu_share": self.load_cpu_share,
            "load_wait_share": self.load_wait_share,
            "late_ms_p99": self.tally.late.quantile_ms(0.99),
            "fdatasync_ms_p50": self.disk.fdatasync_ms_p50,
            "fdatasync_ms_p99": self.disk.fdatasync_ms_p99,
            "load_average": self.load_average,
        }


class Watched(Protocol):
    """Whatever has used something."""

    def usage(self) -> Usage: ...


def watch(
    child: Watched,
    fleet: Fleet,
    folder: Path,
    *,
    warm_s: float,
    seconds: float,
    counts: Callable[[], dict[str, float]] = dict,
    muted: int = 0,
) -> Window:
    """Have the fleet's traffic, and read what it costs the child. `counts` is read as the window opens and closes.

    Raises LoadFailed, ChildFailed.
    """
    seen: list[tuple[float, Usage, list[Usage], dict[str, float]]] = []

    def look() -> None:
        # What asking for the counts costs falls outside of the window at both ends.
        counted = counts() if not seen else {}
        usage, loads, at_s = child.usage(), fleet.usages(), time.monotonic()
        seen.append((at_s, usage, loads, counted or counts()))

    with DiskProbe(folder) as probe:
        tally = fleet.measure(warm_s=warm_s, seconds=seconds, on_open=look, on_close=look, muted=muted)
        disk = probe.times()
    (open_s, before, loads_before, counts_before), (close_s, after, loads_after, counts_after) = seen
    wall_s = close_s - open_s
    loads = list(zip(loads_before, loads_after, strict=True))
    return Window(
        seconds=wall_s,
        before=before,
        after=after,
        load_cpu_share=max((b.cpu_s - a.cpu_s) / wall_s for a, b in loads),
        load_wait_share=max((b.wait_s - a.wait_s) / wall_s for a, b in loads),
        tally=tally,
        disk=disk,
        load_average=round(os.getloadavg()[0], 2),
        counted={name: value - counts_before.get(name, 0.0) for name, value in counts_after.items()},
        counted_at_close=counts_after,
    )


def refusals_of(window: Window, *, shares_cores: bool = False) -> list[str]:
    """Why the window gives no result, in words; none where it does.

    `shares_cores`: the load is meant to have its cores together with what is measured. That it waits for them, and is
    late for it, is then in the times, which count from when each request was meant to be made.
    """
    tally, conditions = window.tally, window.conditions()
    reasons = []
    ran, waited = conditions["load_cpu_share"], conditions["load_wait_share"]
    if ran + waited > LOAD_BUSY_SHARE_MAX and not shares_cores:
        what = f"the load was saturated: it ran {ran:.0%} of the time, and waited for its core {waited:.0%}"
        reasons.append(f"{what}. Less rate, more cores for it, or a quieter machine")
    if conditions["late_ms_p99"] > LATE_MS_MAX and not shares_cores:
        late_ms = conditions["late_ms_p99"]
        reasons.append(f"the load was late: it asked up to {late_ms:.0f} ms (p99) after it meant to. A quieter machine")
    if tally.lost:
        reasons.append(f"{tally.lost} sockets were lost")
    if tally.out_of_order:
        reasons.append(f"{tally.out_of_order} entries were not the next of their group")
    if tally.delivered != tally.expected:
        reasons.append(f"{tally.delivered} deliveries came where {tally.expected} were due: the server did not keep up")
    reasons += [f"{count} requests were answered {code}" for code, count in sorted(tally.failed.items())]
    return reasons


def times_of(name: str, times: Histogram) -> dict[str, float]:
    """The median and the tail, as figures."""
    return {f"{name}_ms_p50": times.quantile_ms(0.5), f"{name}_ms_p99": times.quantile_ms(0.99)}


def tail_of(name: str, times: Histogram) -> dict[str, float]:
    """The same, with the tail of the tail; of at least some thousand times."""
    return times_of(name, times) | {f"{name}_ms_p999": times.quantile_ms(0.999)}


def curve_of(times: Histogram) -> list[tuple[float, float]]:
    """Points of the times by their share, for a plot."""
    return [(share, times.quantile_ms(share)) for share in QUANTILES] if times.count else []


def by_second(tally: Tally) -> list[tuple[float, float]]:
    """Arrivals in each second, for a plot; the last second is not whole."""
    return [(float(second), float(count)) for second, count in enumerate(tally.by_second[:-1])]


def per_commit(counted: Mapping[str, float]) -> float:
    """How many entries one synced transaction held, 0 where nothing was committed."""
    commits = counted.get("folkmoot_store_commits_total", 0.0)
    return counted.get("folkmoot_router_appended_total", 0.0) / commits if commits else 0.0
