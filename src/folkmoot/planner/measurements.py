"""What was measured, as costs of one thing each: from results of `folkmoot bench`, newest first, with their spread."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

MICRO: Final = 1_000_000
ALL_ROLES: Final = "with all roles' work"
"""Said of a cost that was measured where one process is all roles."""


class Result(msgspec.Struct, frozen=True):
    """One report of `folkmoot bench`, as far as it is looked at: results of other versions are read too."""

    scenario: str
    at: str
    plan: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    runs: list["ResultRun"] = []

    @property
    def good(self) -> list[Mapping[str, float]]:
        """The figures of the runs that gave a result."""
        return [run.figures for run in self.runs if not run.refusals]

    def size(self, name: str) -> float:
        """A number of its plan, 0 where it has none of that name."""
        value = self.plan.get(name, 0)
        return float(value) if isinstance(value, int | float) else 0.0


class ResultRun(msgspec.Struct, frozen=True):
    """One run of it."""

    figures: dict[str, float] = {}
    refusals: list[str] = []


class Measured(msgspec.Struct, frozen=True):
    """One cost: median over the runs, the least and the most of them; where, when and how it was measured."""

    name: str
    median: float
    least: float
    most: float
    unit: str
    what: str
    how: str
    at: str
    processor: str
    runs: int
    conditions: dict[str, float] = {}


class Cost(msgspec.Struct, frozen=True):
    """How a cost is read from a result: `of` gives a run's own, None where the run has not got it.

    `fits` says whether a result is large enough to tell it; of two costs of a name the first that was measured counts.
    """

    name: str
    unit: str
    what: str
    scenario: str
    of: Callable[[Result, Mapping[str, float]], float | None]
    fits: Callable[[Result], bool]


class Unreadable(ValueError):
    """A file is not one of `folkmoot bench`; the text says which, and why."""


def results_in(content: bytes, name: str) -> list[Result]:
    """The reports of one file. Raises Unreadable."""
    try:
        return msgspec.json.decode(content, type=dict[str, list[Result]], strict=False)["reports"]
    except (msgspec.DecodeError, KeyError) as error:
        raise Unreadable(f"{name}: not written by folkmoot bench --json: {error}") from error


def measured_of(results: Iterable[Result]) -> dict[str, Measured]:
    """Each cost by name, from the newest result that tells it; what nobody measured is not there."""
    newest = sorted(results, key=lambda result: result.at, reverse=True)
    found: dict[str, Measured] = {}
    for cost in COSTS:
        if cost.name in found:
            continue
        for result in newest:
            if result.scenario == cost.scenario and cost.fits(result) and (values := _values(cost, result)):
                found[cost.name] = _measured(cost, result, values)
                break
    return found


def missing_of(measured: Mapping[str, Measured]) -> list[Cost]:
    """Costs that nothing measured tells, each once."""
    return list({cost.name: cost for cost in reversed(COSTS) if cost.name not in measured}.values())[::-1]


CONDITIONS: Final = ("load_average", "fdatasync_ms_p50", "fdatasync_ms_p99", "server_wait_share")


def _measured(cost: Cost, result: Result, values: Sequence[float]) -> Measured:
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    seen = [run for run in result.good if cost.of(result, run) is not None]
    conditions = {
        name: sum(run[name] for run in seen) / len(seen) for name in CONDITIONS if all(name in run for run in seen)
    }
    return Measured(
        name=cost.name, median=middle, least=ordered[0], most=ordered[-1], unit=cost.unit, what=cost.what,
        how=_how(result), at=result.at, processor=_processor(result), runs=len(ordered), conditions=conditions,
    )  # fmt: skip


def _values(cost: Cost, result: Result) -> list[float]:
    found = [cost.of(result, run) for run in result.good]
    return [value for value in found if value is not None and value > 0]


def _how(result: Result) -> str:
    sizes = [
        f"{result.size(name):,.0f} {word}"
        for name, word in (("sockets", "sockets"), ("members", "a group"), ("rate_per_s", "a second"))
        if result.size(name)
    ]
    return f"bench {result.scenario}" + (f" ({', '.join(sizes)})" if sizes else "")


def _processor(result: Result) -> str:
    return f"{result.machine.get('processor') or 'an unknown processor'}, {result.machine.get('cores', '?')} cores"


def _figure(name: str) -> Callable[[Result, Mapping[str, float]], float | None]:
    return lambda _, run: run.get(name)


def _inverse(name: str) -> Callable[[Result, Mapping[str, float]], float | None]:
    return lambda _, run: MICRO / run[name] if run.get(name) else None


def _thousand(name: str) -> Callable[[Result, Mapping[str, float]], float | None]:
    return lambda _, run: run[name] * 1_000 if name in run else None


def _large_fanout(result: Result) -> bool:
    large = result.size("sockets") >= 1_000 and result.size("members") >= 50
    return large and not result.size("acks_per_s") and _one_process(result)


def _many_pairs(result: Result) -> bool:
    return result.size("sockets") >= 100 and result.size("members") == 2 and _one_process(result)


def _one_process(result: Result) -> bool:
    """With settings as they come: what was tried with others is no base for a plan."""
    return not (result.size("workers") or result.size("cluster") or result.plan.get("settings"))


def _cluster(result: Result) -> bool:
    return bool(result.size("cluster")) and not result.plan.get("settings")


def _router_on_cluster(_: Result, run: Mapping[str, float]) -> float | None:
    """Of a send: its part of an append in the router and in the driver's threads, and what delivery does with it."""
    parts = ("router_us_per_append", "driver_us_per_append", "delivery_us_per_send", "entries_per_append")
    if not all(run.get(part) for part in parts):
        return None
    router, driver, delivery, entries = (run[part] for part in parts)
    return (router + driver) / entries + delivery


def _append_on_cluster(_: Result, run: Mapping[str, float]) -> float | None:
    entries, append = run.get("entries_per_append"), run.get("cassandra_us_per_append")
    return append / entries if append and entries else None


def _crowd(result: Result) -> bool:
    return result.size("sockets") >= 1_000 and _one_process(result)


def _any(result: Result) -> bool:
    return not result.plan.get("settings")


def _costs() -> tuple[Cost, ...]:
    deliveries = _figure("deliveries_per_cpu_s")
    whole, large, us = "deliveries of one core: every message decided, stored and passed on", _large_fanout, "us of CPU"
    kept = "an entry on the disk, logs in SQLite"
    return (
        # Not of full blast, where messages of one group share writes: in a fleet a group has hardly two at a time.
        Cost("deliveries_per_cpu_s", "a CPU-second", whole, "fanout", deliveries, large),
        Cost("deliveries_per_cpu_s", "a CPU-second", whole, "latency", deliveries, large),
        Cost("delivery_us", us, "a delivery, at the gateway", "roles", _figure("gateway_us_per_delivery"), _any),
        Cost("delivery_us", us, f"a delivery, {ALL_ROLES}", "fanout", _inverse("deliveries_per_cpu_s"), large),
        Cost("push_us", us, "a gateway told of a message", "roles", _figure("gateway_us_per_push"), _any),
        Cost("gateway_send_us", us, "a send, at the gateway", "roles", _figure("gateway_us_per_send"), _any),
        Cost(
            "router_send_us", us, "a send, at router and delivery, on Cassandra", "sends", _router_on_cluster, _cluster
        ),
        Cost("router_send_us", us, "a send, past the gateway, on SQLite", "roles", _figure("router_us_per_send"), _any),
        Cost("router_send_us", us, f"a send, {ALL_ROLES}", "sends", _inverse("sends_per_cpu_s"), _many_pairs),
        Cost("bus_send_us", us, "a send, at the bus", "roles", _figure("bus_us_per_send"), _any),
        Cost("bus_push_us", us, "a push, at the bus", "roles", _figure("bus_us_per_push"), _any),
        Cost("pointer_us", us, "a read pointer that moves, beside the store", "pointers", _figure("pointer_us"), _any),
        Cost("pointer_us", us, "a read pointer that moves, on SQLite", "roles", _figure("pointer_us"), _any),
        Cost("connection_bytes", "bytes", "memory of a connection", "idle", _figure("rss_bytes_per_socket"), _crowd),
        Cost("connect_us", us, "a connection to come up", "idle", _thousand("connect_cpu_ms_per_socket"), _crowd),
        Cost("frame_bytes", "bytes", "a delivery on the wire, before TCP", "fanout", _figure("frame_bytes"), large),
        Cost("frame_bytes", "bytes", "a delivery on the wire, before TCP", "latency", _figure("frame_bytes"), large),
        Cost("entry_bytes", "bytes", kept, "history", _figure("store_bytes_per_entry"), _any),
        Cost("append_us", us, "a send, at each node of Cassandra", "sends", _append_on_cluster, _cluster),
        Cost(
            "pointer_write_us",
            us,
            "a pointer, at a node of Cassandra",
            "pointers",
            _figure("cassandra_us_per_pointer"),
            _any,
        ),
    )


COSTS: Final = _costs()
"""Where each cost comes from, the better source first."""
