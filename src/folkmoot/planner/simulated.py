"""What `plan --simulate` answers: waiting times of planned fleets, where they break, and how far off it is."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from folkmoot.planner import one_process
from folkmoot.planner.answer import known_of
from folkmoot.planner.capacity import planned
from folkmoot.planner.fleet import BROKEN_MS, Fleet, Times, breaking, day_of, fleet_of, times_of, without
from folkmoot.planner.measurements import Measured, Result

USERS: Final = (1e6, 10e6, 100e6)
SEED: Final = 1
HOP_MS: Final = 0.2
"""One way over network and bus, of three: taken for granted, not measured."""

APPEND_MS: Final = (2.0, 10.0)
"""Median and 99th percentile of an append's time: taken for granted where no measure of the store told."""

DELIVERIES_SHARE_MOST: Final = 0.85
"""Of what a message to a group costs: the rest is to take, decide and store it."""

NOTES: Final = (
    "one gateway process and one router of each fleet are simulated, with their share of its load, and stand for all",
    "sizes of groups have a heavy tail up to 100,000 members; the last member of one of those is what p99.9 shows",
    "arrivals are at random (Poisson) at the rate of the hour; a process does one thing after the other, without pauses"
    " for the machine's own business, so real tails are longer",
    f"a fleet counts as broken where its p99 passes {BROKEN_MS:,.0f} ms, or a process has more to do than it can",
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One fleet: times in ms. `lost`: one machine of each kind is gone, all its clients elsewhere; `back_s`: how long
    until these are, by what a connection costs and what is free. `breaks_at`: times the load."""

    users: float
    gateway_processes: float
    routers: float
    peak: Times
    day: Times
    lost: Times
    back_s: float | None
    breaks_at: float
    breaks_by: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A real run beside its prediction, in ms."""

    scenario: str
    at: str
    rate_per_s: float
    members: int
    run: int
    measured: dict[str, float]
    predicted: dict[str, float]
    fdatasync_ms_p50: float
    fdatasync_ms_p99: float
    load_average: float


class NotMeasured(ValueError):
    """The simulation lacks a cost; the text says which measure tells it."""


def rows_of(
    given: Mapping[str, float],
    measured: Mapping[str, Measured],
    *,
    users: Iterable[float],
    append_ms: tuple[float, float] = APPEND_MS,
    hop_ms: float = HOP_MS,
    seed: int = SEED,
) -> list[Row]:
    """A fleet as the sum plans it for each number of users, simulated. Raises NotMeasured."""
    lacking = sorted({"delivery_us": "fanout", "router_send_us": "roles"}.items())
    for name, scenario in lacking:
        if name not in measured:
            raise NotMeasured(f"the simulation needs {name}: folkmoot bench {scenario}")
    costs = {name: one.median for name, one in measured.items()}
    return [_row(known_of({**given, "users": one}, costs), append_ms, hop_ms, seed) for one in users]


def _row(known: Mapping[str, float], append_ms: tuple[float, float], hop_ms: float, seed: int) -> Row:
    values, machines = planned(known)
    counts = {one.kind: one.count for one in machines}
    needed = fleet_of(values, append_ms, hop_ms)
    # Spare machines are up, and have their share until one is lost.
    fleet = msgspec.structs.replace(
        needed,
        gateways=needed.gateways * _more(counts.get("gateways", 1), values["spare_machines"]),
        routers=math.ceil(needed.routers * _more(counts["routers"], values["spare_machines"])),
    )
    gone = fleet.gateways / counts.get("gateways", 1)
    lost = times_of(without(fleet, gone, fleet.routers / counts["routers"]), seed)
    breaks_at, breaks_by = breaking(fleet, seed)
    return Row(
        users=values["users"], gateway_processes=fleet.gateways, routers=fleet.routers, peak=times_of(fleet, seed),
        day=day_of(fleet, seed, values["peak_share"], values["peak_hours"]), lost=lost,
        back_s=_back_s(values, fleet, gone, lost), breaks_at=breaks_at, breaks_by=breaks_by,
    )  # fmt: skip


def _more(count: int, spare: float) -> float:
    """How many times the processes that the load needs are there, on `count` machines with the spare ones."""
    return count / max(count - spare, 1.0)


def _back_s(values: Mapping[str, float], fleet: Fleet, gone: float, lost: Times) -> float | None:
    """Seconds until the clients of what is gone are connected elsewhere; None where nothing tells."""
    left, free = fleet.gateways - gone, 1 - lost.gateway_busy
    if "connect_us" not in values or left < 1 or free <= 0:
        return None
    moved = values["connections"] * gone / fleet.gateways
    return moved / left * values["connect_us"] / 1e6 / free


def checked(results: Sequence[Result], measured: Mapping[str, Measured], seed: int = SEED) -> list[Checked]:
    """Every run of `latency` and `fanout` among these beside what is predicted for it, by load.

    The prediction has from the run itself what it cost in CPU, how the disk was, what the load took to read, and how
    much of the time others had the core: no time of any message.
    """
    found = []
    for result in results:
        if result.scenario in ("latency", "fanout"):
            for number, run in enumerate(result.good, start=1):
                if run.get("latency_ms_p50") and run.get("deliveries_per_cpu_s") and result.size("rate_per_s"):
                    found.append(_checked(result, number, run, measured, seed))
    return sorted(found, key=lambda one: (one.rate_per_s, one.at, one.run))


def _checked(
    result: Result, number: int, run: Mapping[str, float], measured: Mapping[str, Measured], seed: int
) -> Checked:
    members, rate_per_s = int(result.size("members")), result.size("rate_per_s")
    cores = float(result.machine.get("cores") or 1)
    load = load_of(run, members, rate_per_s, result.size("seconds"), cores, measured)
    times = one_process.simulated(load, seed)
    both = {
        "delivery p50": ("latency_ms_p50", times.delivery_ms_p50),
        "delivery p99": ("latency_ms_p99", times.delivery_ms_p99),
    }
    if "last_ms_p50" in run:
        both |= {"last p50": ("last_ms_p50", times.last_ms_p50), "last p99": ("last_ms_p99", times.last_ms_p99)}
    return Checked(
        scenario=result.scenario, at=result.at, rate_per_s=rate_per_s, members=members, run=number,
        measured={name: run[figure] for name, (figure, _) in both.items()},
        predicted={name: value for name, (_, value) in both.items()},
        fdatasync_ms_p50=run.get("fdatasync_ms_p50", 0.0), fdatasync_ms_p99=run.get("fdatasync_ms_p99", 0.0),
        load_average=run.get("load_average", 0.0),
    )  # fmt: skip


def load_of(
    run: Mapping[str, float],
    members: int,
    rate_per_s: float,
    seconds: float,
    cores: float,
    measured: Mapping[str, Measured],
) -> one_process.Load:
    """A real run as the simulation is given it."""
    message_s = members / run["deliveries_per_cpu_s"]
    # What of a message is its deliveries was measured on roles apart; it cannot be more than nearly all of it.
    told_s = measured["delivery_us"].median / 1e6 * members if "delivery_us" in measured else message_s
    deliveries_s = min(told_s, message_s * DELIVERIES_SHARE_MOST)
    return one_process.Load(
        rate_per_s=rate_per_s, members=members, seconds=max(seconds, 1.0), send_s=message_s - deliveries_s,
        delivery_s=deliveries_s / members, read_s=run.get("load_cpu_share", 0.0) / (rate_per_s * members),
        sync_s_p50=run.get("fdatasync_ms_p50", 0.0) / 1e3, sync_s_p99=run.get("fdatasync_ms_p99", 0.0) / 1e3,
        stolen_share=run.get("server_wait_share", 0.0),
        stall_s=one_process.SLICE_S * max(1.0, run.get("load_average", 0.0) / cores),
    )  # fmt: skip
