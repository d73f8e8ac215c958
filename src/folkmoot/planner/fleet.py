"""A cluster in its peak, over a day, and with a machine lost, simulated: from a send to the last member that gets it.

What is simulated is a slice: one gateway process and one router, each with its share of the fleet's load, since all
are alike. A message is then put together from what was seen there: its way in, its router, its append, and the slowest
of the gateways that hear of it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Final

import msgspec

from folkmoot.planner.chance import Drawn, Sizes, Skewed, hours_of, quantile_of
from folkmoot.planner.queues import Core

JOBS: Final = 20_000
"""Pushes of a slice, and sends: what is before a fifth of them is warming up."""

WARM_SHARE: Final = 0.2
SECONDS_MAX: Final = 60.0
SPREAD_S: Final = 2.0
"""A read pointer is written within this after the delivery that moves it."""

BROKEN_MS: Final = 1_000.0
FACTOR_MOST: Final = 16.0
HOURS_SEEN: Final = 6
"""So many hours stand for the whole day, the busiest among them."""


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """What there is and what it costs: processes of one core each, seconds of CPU, rates a second."""

    sends_per_s: float
    group_size: float
    online_share: float
    read_share: float
    gateways: float
    routers: float
    take_s: float
    router_s: float
    push_s: float
    delivery_s: float
    pointer_s: float
    append_s_p50: float
    append_s_p99: float
    hop_s: float


class Times(msgspec.Struct, frozen=True):
    """From a send to the last member that is connected, in ms; how busy a gateway process and a router are."""

    p50: float
    p99: float
    p999: float
    gateway_busy: float
    router_busy: float


def fleet_of(values: Mapping[str, float], append_ms: tuple[float, float], hop_ms: float) -> Fleet:
    """The fleet that a plan comes to; `append_ms` is the median and the 99th percentile of an append's time."""
    return Fleet(
        sends_per_s=values["sends_per_s"],
        group_size=values["group_size"],
        online_share=values["online_share"],
        read_share=values["read_share"],
        gateways=values["edges"],
        routers=max(1.0, math.ceil(values["router_cores"] / values["core_share"])),
        take_s=values["gateway_send_us"] / 1e6,
        router_s=values["router_send_us"] / 1e6,
        push_s=values["push_us"] / 1e6,
        delivery_s=values["delivery_us"] / 1e6,
        pointer_s=values["pointer_us"] / 1e6,
        append_s_p50=append_ms[0] / 1e3,
        append_s_p99=append_ms[1] / 1e3,
        hop_s=hop_ms / 1e3,
    )


def times_of(fleet: Fleet, seed: int, factor: float = 1.0) -> Times:
    """At `factor` times the fleet's load. The same for the same seed."""
    totals, gateway_busy, router_busy = _totals(fleet, seed, factor)
    p50, p99, p999 = (quantile_of([(one, 1.0) for one in totals], share) for share in (0.5, 0.99, 0.999))
    return Times(p50, p99, p999, gateway_busy, router_busy)


def day_of(fleet: Fleet, seed: int, peak_share: float, peak_hours: float) -> Times:
    """Over all messages of a day, in which `fleet` has its load in the peak."""
    hours = hours_of(peak_share, peak_hours)
    seen: list[tuple[float, float]] = []
    step = max(1, len(hours) // HOURS_SEEN)
    for at in range(0, len(hours), step):
        stretch = hours[at : at + step]
        factor = stretch[0] / hours[0]
        if factor > 0:
            # The same draws as in the peak: what differs between hours is the load alone.
            totals, _, _ = _totals(fleet, seed, factor)
            seen += [(one, sum(stretch) / len(totals)) for one in totals]
    peak = times_of(fleet, seed)
    p50, p99, p999 = (quantile_of(seen, share) for share in (0.5, 0.99, 0.999))
    return Times(p50, p99, p999, peak.gateway_busy, peak.router_busy)


def without(fleet: Fleet, gateways: float, routers: float) -> Fleet:
    """The fleet without so many of its processes; those left have the load of all. At least one of each stays."""
    left = {"gateways": max(1.0, fleet.gateways - gateways), "routers": max(1.0, fleet.routers - routers)}
    return msgspec.structs.replace(fleet, **left)


def breaking(fleet: Fleet, seed: int) -> tuple[float, str]:
    """At how many times its load the p99 passes BROKEN_MS, FACTOR_MOST at most; and which of its parts is full then."""
    low, high = 0.0, 1.0
    while high < FACTOR_MOST and not _broken(fleet, seed, high):
        low, high = high, high * 2
    for _ in range(6):
        middle = (low + high) / 2
        low, high = (low, middle) if _broken(fleet, seed, middle) else (middle, high)
    at = times_of(fleet, seed, high)
    return high, "gateways" if at.gateway_busy >= at.router_busy else "routers"


def _broken(fleet: Fleet, seed: int, factor: float) -> bool:
    times = times_of(fleet, seed, factor)
    return times.p99 > BROKEN_MS or max(times.gateway_busy, times.router_busy) >= 1


def _totals(fleet: Fleet, seed: int, factor: float) -> tuple[list[float], float, float]:
    """Times of messages in ms, and how busy one gateway and one router were."""
    draw = Random(seed)
    sizes = Sizes(draw, fleet.group_size)
    waits, gateway_busy = _gateway(fleet, draw, sizes, fleet.sends_per_s * factor)
    routed, router_busy = _router(fleet, draw, fleet.sends_per_s * factor / fleet.routers)
    at_gateway, at_router = Drawn(waits), Drawn(routed)
    totals = []
    for _ in range(JOBS):
        online = max(1.0, sizes() * fleet.online_share)
        hears = fleet.gateways * (1 - (1 - 1 / fleet.gateways) ** online)
        there = online / fleet.gateways
        # The fullest of several draws, by how far such a count strays; the slowest is taken to be the fullest too.
        most = min(online, there + math.sqrt(2 * there * math.log(max(hears, 1.0)))) if hears > 1 else there
        in_s = at_gateway.largest_of(1, draw) + fleet.take_s
        out_s = at_gateway.largest_of(hears, draw) + fleet.push_s + max(1.0, most) * fleet.delivery_s
        totals.append((in_s + at_router.largest_of(1, draw) + out_s + 3 * fleet.hop_s) * 1_000)
    return totals, gateway_busy, router_busy


def _gateway(fleet: Fleet, draw: Random, sizes: Sizes, sends_per_s: float) -> tuple[list[float], float]:
    """How long work waits for a gateway process, and the share of time that it is busy."""
    # Of so many sends, some are not for this gateway.
    mean = fleet.gateways * (1 - (1 - 1 / fleet.gateways) ** max(1.0, fleet.group_size * fleet.online_share))
    seconds = min(SECONDS_MAX, JOBS / (sends_per_s * max(mean / fleet.gateways, 0.01)))
    jobs = list(_pushes(fleet, draw, sizes, sends_per_s, seconds))
    jobs += [(at_s, fleet.take_s) for at_s in _arrivals(draw, sends_per_s / fleet.gateways, seconds)]
    return _waited(jobs, seconds)


def _pushes(
    fleet: Fleet, draw: Random, sizes: Sizes, sends_per_s: float, seconds: float
) -> Iterator[tuple[float, float]]:
    """When a push comes and what it takes, with the pointers that it moves soon after."""
    for at_s in _arrivals(draw, sends_per_s, seconds):
        here = _of_many(draw, sizes() * fleet.online_share / fleet.gateways)
        if here:
            yield at_s, fleet.push_s + here * fleet.delivery_s
            if moved_s := here * fleet.read_share * fleet.pointer_s:
                # Around the end what is moved comes to the beginning: the stretch stands for one as long as you like.
                yield (at_s + draw.random() * SPREAD_S) % seconds, moved_s


def _router(fleet: Fleet, draw: Random, sends_per_s: float) -> tuple[list[float], float]:
    """From a send's coming to a router until it is stored, in seconds, and the share of time that it is busy."""
    seconds = min(SECONDS_MAX, JOBS / sends_per_s)
    waits, busy = _waited([(at_s, fleet.router_s) for at_s in _arrivals(draw, sends_per_s, seconds)], seconds)
    append = Skewed(draw, fleet.append_s_p50, fleet.append_s_p99)
    # Appends of different groups do not wait for one another.
    return [wait + fleet.router_s + append() for wait in waits], busy


def _waited(jobs: Sequence[tuple[float, float]], seconds: float) -> tuple[list[float], float]:
    core, waits = Core(), []
    for at_s, takes_s in sorted(jobs):
        begins_s = core.work(at_s, takes_s)
        if at_s >= WARM_SHARE * seconds:
            waits.append(begins_s - at_s)
    return waits or [0.0], core.busy_s / seconds


def _arrivals(draw: Random, per_s: float, seconds: float) -> Iterator[float]:
    at_s = draw.expovariate(per_s)
    while at_s < seconds:
        yield at_s
        at_s += draw.expovariate(per_s)


def _of_many(draw: Random, mean: float) -> int:
    """How many of many there are where each is seldom: by Poisson, where they are many by the normal."""
    if mean > 30:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, draw.random()
    while product > limit:
        count += 1
        product *= draw.random()
    return count
