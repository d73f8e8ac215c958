"""One process with all roles under the load of `bench fanout`, simulated: what its times should be, from its CPU costs.

A send waits for the process's core, is decided, waits for the commit under way and for its own, waits for the core
again, and is written to one member after the other; the load, a process too, reads what has come each NAP_S.
"""

import math
from random import Random
from typing import Final

import msgspec

from folkmoot.planner.chance import Skewed, quantile_of
from folkmoot.planner.queues import Calendar, Core, GroupCommit

NAP_S: Final = 0.000_5
BEFORE: Final = 0.6
"""Of what a send costs beside its deliveries: before it is stored. The rest is its answer and the push."""

SLICE_S: Final = 0.003
"""What the system gives a process at a stretch, about, while others want the core too."""

BUSY_MOST: Final = 0.95
"""Of a core, with what is stolen of it: a run that had its result was not without end."""

LOOKS: Final = 10
"""So many of a message's deliveries are looked at, the last among them; the others are reckoned with."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and what a thing costs: seconds of CPU; the disk's sync by median and 99th percentile.

    `stolen_share` of the time others have the core while there is work for it, `stall_s` at a stretch.
    """

    rate_per_s: float
    members: int
    seconds: float
    send_s: float
    delivery_s: float
    read_s: float
    sync_s_p50: float
    sync_s_p99: float
    load_processes: int = 1
    stolen_share: float = 0.0
    stall_s: float = SLICE_S


class Times(msgspec.Struct, frozen=True):
    """From when a send was meant to be made, in ms: to its deliveries, and to the last of each message."""

    delivery_ms_p50: float
    delivery_ms_p99: float
    last_ms_p50: float
    last_ms_p99: float
    busy_share: float
    entries_per_commit: float


def simulated(load: Load, seed: int) -> Times:
    """The times of a run, the same for the same seed; of more than a core can do they grow with the run."""
    calendar, core, readers = Calendar(), Core(), [Core() for _ in range(load.load_processes)]
    disk = GroupCommit(calendar, Skewed(Random(seed), load.sync_s_p50, load.sync_s_p99))
    stalls = _Stalls(load, Random(seed + 1))
    seen: list[tuple[float, float]] = []
    lasts: list[float] = []
    count = int(load.rate_per_s * load.seconds)

    def arrive(number: int, meant_s: float) -> None:
        reader = readers[number % len(readers)]

        def taken(now_s: float) -> None:
            takes_s = stalls.stretched(load.send_s * BEFORE)
            begins_s = core.work(now_s, takes_s)
            calendar.at(begins_s + takes_s, lambda at_s: disk.append(at_s, stored))

        def stored(now_s: float) -> None:
            answer_s = stalls.stretched(load.send_s * (1 - BEFORE))
            fan_out_s = stalls.stretched(load.members * load.delivery_s)
            begins_s = core.work(now_s, answer_s + fan_out_s) + answer_s
            calendar.at(begins_s + fan_out_s, lambda _: written(begins_s, fan_out_s))

        def written(first_s: float, fan_out_s: float) -> None:
            for look in range(LOOKS):
                share = (look + 1) / LOOKS
                there_s = first_s + share * fan_out_s
                wakes_s = math.ceil(there_s / NAP_S) * NAP_S
                read_s = reader.work(wakes_s, load.read_s * load.members / LOOKS) + load.read_s
                seen.append((read_s - meant_s, 1.0))
            lasts.append(seen[-1][0])

        # It is the load that makes the request, when it is awake and has read what there was.
        calendar.at(max(math.ceil(meant_s / NAP_S) * NAP_S, reader.free_s), taken)

    for number in range(count):
        meant_s = number / load.rate_per_s
        calendar.at(meant_s, lambda at_s, number=number: arrive(number, at_s))  # type: ignore[misc]
    calendar.run()
    return Times(
        delivery_ms_p50=quantile_of(seen, 0.5) * 1_000,
        delivery_ms_p99=quantile_of(seen, 0.99) * 1_000,
        last_ms_p50=quantile_of([(last, 1.0) for last in lasts], 0.5) * 1_000,
        last_ms_p99=quantile_of([(last, 1.0) for last in lasts], 0.99) * 1_000,
        busy_share=core.busy_s / load.seconds,
        entries_per_commit=count / disk.commits if disk.commits else 0.0,
    )


class _Stalls:
    """While others want the core, work takes longer by whole stretches of theirs."""

    def __init__(self, load: Load, draw: Random) -> None:
        own = load.rate_per_s * (load.send_s + load.members * load.delivery_s)
        stolen = min(load.stolen_share, max(0.0, BUSY_MOST - own))
        self._per_s = stolen / own / load.stall_s if own and load.stall_s else 0.0
        """Stalls for a second of own work."""
        self._draw, self._stall_s = draw, load.stall_s

    def stretched(self, takes_s: float) -> float:
        """How long work of `takes_s` takes."""
        if not self._per_s:
            return takes_s
        at_s, count = self._draw.expovariate(self._per_s), 0
        while at_s < takes_s:
            count += 1
            at_s += self._draw.expovariate(self._per_s)
        return takes_s + count * self._stall_s
