"""What a measure says in the end: runs, medians and spread, targets and the machine; as JSON and as text."""

import datetime
from collections.abc import Sequence
from typing import Final

import msgspec

from folkmoot.bench.figures import Spread, spread_of
from folkmoot.bench.machine import UNSYNCED, Machine
from folkmoot.bench.plan import SIZES, Plan, Target, targets_of
from folkmoot.bench.run import Run

MEANINGS: Final = {
    "deliveries_per_cpu_s": "deliveries per CPU-second of the server",
    "floor_deliveries_per_cpu_s": "deliveries per CPU-second of the floor, mean of before and after",
    "floor_deliveries_per_s": "deliveries a second of the floor",
    "floor_cpu_share": "the floor, share of a core",
    "ratio_to_floor": "deliveries per CPU-second, of the floor's",
    "floor_spread": "how far the floor before and after are apart, of their mean",
    "sends_per_s": "durable sends a second",
    "sends_per_cpu_s": "durable sends per CPU-second of the server",
    "pages_per_s": "pages a second",
    "pages_per_cpu_s": "pages per CPU-second of the server",
    "ready_s": "from the command to ready, s",
    "ready_cpu_s": "server's CPU until it was ready, s",
    "there_s_all": "until all were there, s",
    "there_s_p50": "until half were there, s",
    "restart_s": "of that, from the kill until the server was ready again, s",
    "join_cpu_ms": "server's CPU for one to join and to be told to the others, ms",
    "rss_bytes_per_socket": "memory that a connection adds, bytes",
    "connect_cpu_ms_per_socket": "server's CPU for one connection to come up, ms",
    "last_ms_p50": "to the last member, ms, median",
    "last_ms_p99": "to the last member, ms, 99th percentile",
    "last_ms_p999": "to the last member, ms, 99.9th percentile",
    **{f"delivery_us_of_{size}": f"CPU of a delivery in groups of {size:,}, us" for size in SIZES},
    **{f"floor_us_of_{size}": f"the floor's, in groups of {size:,}, us" for size in SIZES},
    **{f"last_ms_p99_of_{size}": f"to the last of {size:,}, ms, 99th percentile" for size in SIZES},
    "delivery_us_spread": "how much more the dearest costs than the cheapest, from groups of 130 on",
    "slow_cost_ratio": "CPU of a delivery with slow readers, of that without",
    "slow_p50_ratio": "end to end to the others with slow readers, of that without, median",
    "slow_p99_ratio": "end to end to the others with slow readers, of that without, 99th percentile",
    "rss_bytes_per_slow": "memory that a slow reader adds, bytes",
    "slow_readers": "slow readers off the live feed at the end",
    "rss_bytes_per_minute": "memory that is added in a minute, after the first quarter, bytes",
    "lists_per_s": "lists a second",
    "lists_per_cpu_s": "lists per CPU-second of the server",
    "chats_ms_p50": "50 chats of a thousand with what is unread, ms, median",
    "chats_ms_p99": "50 chats of a thousand with what is unread, ms, 99th percentile",
    "groups_ms_p50": "100 groups of a thousand with what is unread, ms, median",
    "groups_ms_p99": "100 groups of a thousand with what is unread, ms, 99th percentile",
    "latency_ms_p50": "end to end, ms, median",
    "latency_ms_p99": "end to end, ms, 99th percentile",
    "floor_latency_ms_p50": "end to end over the floor, ms, median",
    "floor_latency_ms_p99": "end to end over the floor, ms, 99th percentile",
    "answer_ms_p50": "send to its answer, ms, median",
    "answer_ms_p99": "send to its answer, ms, 99th percentile",
    "forwards_ms_p50": "a page forwards, ms, median",
    "forwards_ms_p99": "a page forwards, ms, 99th percentile",
    "backwards_ms_p50": "a page backwards, ms, median",
    "backwards_ms_p99": "a page backwards, ms, 99th percentile",
    "deliveries_per_s": "deliveries a second",
    "deliveries": "deliveries counted, warming up included",
    "messages": "messages sent, warming up included",
    "frame_bytes": "bytes of one delivery, or page",
    "page_bytes": "bytes of a page",
    "entries_per_commit": "entries in one synced transaction",
    "commits_per_s": "synced transactions a second",
    "gateway_us_per_delivery": "a delivery at the gateway, us of CPU",
    "gateway_us_per_push": "what a gateway is told of a message, beside its deliveries, us of CPU",
    "gateway_us_per_send": "a send at the gateway, us of CPU",
    "router_us_per_send": "a send at router, delivery and the store's writer, us of CPU",
    "bus_us_per_send": "a send at the bus, us of CPU",
    "delivery_us_per_send": "a send at delivery, us of CPU",
    "router_us_per_append": "an append in the router's event loop, us of CPU",
    "driver_us_per_append": "an append in the driver's threads, us of CPU",
    "cassandra_us_per_append": "an append in Cassandra, us of CPU",
    "cassandra_us_per_pointer": "a read pointer that moves, in Cassandra, us of CPU",
    "entries_per_append": "entries in one append",
    "appends_per_s": "appends a second",
    "conflicts_per_s": "appends that another was before, a second",
    "bus_us_per_push": "a push at the bus, us of CPU",
    "pointer_us": "a read pointer that moves, all roles, us of CPU",
    "store_bytes_per_entry": "bytes of the store's files for an entry",
    "server_rss_bytes": "server's memory, bytes",
    "empty_rss_bytes": "server's memory without connections, bytes",
    "store_bytes": "bytes of the store's files",
    "server_cpu_share": "server, share of a core",
    "server_wait_share": "server's threads kept from running, share of the time",
    "load_cpu_share": "busiest load process, share of a core",
    "load_wait_share": "load kept from running by others, share of the time",
    "load_busy_share": "busiest load process until all were there, share of a core",
    "late_ms_p99": "how much later than meant the load asked, ms, 99th percentile",
    "load_average": "load average of the machine, last minute",
    "fdatasync_ms_p50": "fdatasync of the disk meanwhile, ms, median",
    "fdatasync_ms_p99": "fdatasync of the disk meanwhile, ms, 99th percentile",
}
"""What each figure is, with its unit, in the order in which they are shown: results, then what they depend on."""


class Report(msgspec.Struct, kw_only=True):
    """One measure. `figures` has the median and the spread over those runs that gave a result."""

    scenario: str
    at: str
    plan: Plan
    machine: Machine
    runs: list[Run]
    figures: dict[str, Spread]
    targets: list[Target]
    warnings: list[str]

    @property
    def refused(self) -> bool:
        """Whether a run gave no result."""
        return any(run.refusals for run in self.runs)


def report_of(plan: Plan, machine: Machine, runs: list[Run], *, at: datetime.datetime) -> Report:
    """Sum up the runs of a plan."""
    good = [run for run in runs if not run.refusals]
    names = [name for name in MEANINGS if any(name in run.figures for run in good)]
    figures = {name: spread_of([run.figures[name] for run in good if name in run.figures]) for name in names}
    return Report(
        scenario=plan.scenario,
        at=at.isoformat(timespec="seconds"),
        plan=plan,
        machine=machine,
        runs=runs,
        figures=figures,
        targets=targets_of(plan, figures),
        warnings=warnings_of(plan, machine),
    )


def warnings_of(plan: Plan, machine: Machine) -> list[str]:
    """What makes the figures less than they seem, in words."""
    warnings = []
    if machine.file_system in UNSYNCED:
        warnings.append(f"the store is on {machine.file_system}: a sync costs nothing there, and nothing is durable")
    if machine.cores < 2:
        warnings.append("one core only: the load takes its time from the server")
    if machine.load_average > machine.cores * 0.5:
        warnings.append(f"the machine was busy before (load {machine.load_average}): trust ratios, not times")
    if plan.settings:
        changed = ", ".join(f"{name}={value}" for name, value in sorted(plan.settings.items()))
        warnings.append(f"settings are changed: {changed}")
    return warnings


def as_json(reports: Sequence[Report]) -> bytes:
    """All of it, for machines: an object with `reports`."""
    return msgspec.json.format(msgspec.json.encode({"reports": reports}), indent=2)


def lines_of(report: Report) -> list[str]:
    """All of it, for people."""
    done = len([run for run in report.runs if not run.refusals])
    lines = [f"{report.scenario}: {done} of {len(report.runs)} runs gave a result"]
    width = max((len(MEANINGS[name]) for name in report.figures), default=0)
    for name, spread in report.figures.items():
        between = "" if spread.least == spread.most else f"  ({shown(spread.least)} to {shown(spread.most)})"
        lines.append(f"  {MEANINGS[name]:<{width}}  {shown(spread.median):>12}{between}")
    for number, run in enumerate(report.runs, start=1):
        lines += [f"  NO RESULT of run {number}: {why}" for why in run.refusals]
    lines += [f"  {'met' if target.met else 'MISSED'}: {target.wanted}" for target in report.targets]
    lines += [f"  note: {warning}" for warning in report.warnings]
    return lines


def shown(value: float) -> str:
    """A figure with as many digits as mean something."""
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"
