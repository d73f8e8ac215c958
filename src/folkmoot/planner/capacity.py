"""What that takes: from deliveries, sends and bytes to cores and machines of each kind, by what was measured. Pure.

A step whose figures were not measured is left out, and so is all that builds on it; costs in ASIDE count as nothing
then, which has to be said.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from folkmoot.planner.demand import DEMAND, Given
from folkmoot.planner.formula import Step, names_in, reckon

HEADER_BYTES: Final = 66
"""What Ethernet, IP and TCP with its time stamps put before a frame that has a packet to itself."""

ROUNDS: Final = 12
ROUND: Final = "a round"
"""The unit of a step that is only on the way to another."""

MACHINES: Final = (
    Given("machine_cores", 8, 1, 1_024, "cores", "Cores of one machine.", whole=True),
    Given("machine_memory_gib", 32, 0.5, 24_576, "GiB", "Memory of one machine."),
    Given("machine_disk_tb", 2, 0.01, 10_000, "TB", "Disk of one node of the store."),
    Given("machine_network_gbit", 10, 0.01, 1_600, "Gbit/s", "Network of one machine, one way."),
    Given("headroom", 0.30, 0, 0.95, "of a machine", "Share of every machine that is left free in the peak."),
    Given("spare_machines", 1, 0, 100, "machines", "Machines of each kind that may be lost in the peak.", whole=True),
    Given("keep_days", 365, 1, 36_500, "days", "How long messages are kept.", whole=True),
    Given("replication", 3, 1, 7, "copies", "Copies of each entry.", whole=True),
)

ONE_PROCESS: Final = (
    Step("cores", "deliveries_per_s / deliveries_per_cpu_s", "cores", "all of it, at what one core delivers"),
    Step("cores_whole", "ceil(cores)", "cores", "whole cores, without headroom or a spare"),
)
"""The plain sum again: `per_server` is what one core was measured to do."""


def _cores(name: str, formula: str, what: str) -> Step:
    return Step(name, f"{formula} / 1000000", "cores", what)


def _edges() -> list[Step]:
    """How many gateway processes there are, and how many of them hear of a message.

    A process has one core, and a message to a group is one push to each process that has a member of it. So pushes
    grow with processes, and these with pushes: it is reckoned again until it stays, or nearly.
    """
    steps, pushes = [], "0"
    for n in range(1, ROUNDS + 1):
        cores = f"fanout_cores + take_cores + pointer_cores + sends_per_s * {pushes} * push_us / 1000000"
        last = n == ROUNDS
        edges, pushes = ("edges", "pushes_per_send") if last else (f"edges_{n}", f"pushes_{n}")
        unit = "" if last else ROUND
        steps.append(Step(edges, f"max(1, ceil(({cores}) / core_share))", unit, "gateway processes"))
        heard = f"{edges} * (1 - pow(1 - 1 / {edges}, group_size * online_share))"
        steps.append(Step(pushes, heard, unit, "of them hear of a message"))
    return steps


CAPACITY: Final = (
    Step("connections", "users * online_share", "", "connections"),
    Step("deliveries_online_per_s", "deliveries_per_s * online_share", "a second", "deliveries to who is connected"),
    Step("pointer_moves_per_s", "deliveries_online_per_s * read_share", "a second", "read pointers that move"),
    Step("core_share", "1 - headroom", "of a machine", "is used, at most"),
    _cores("fanout_cores", "deliveries_online_per_s * delivery_us", "gateways: deliveries"),
    _cores("take_cores", "sends_per_s * gateway_send_us", "gateways: sends"),
    _cores("pointer_cores", "pointer_moves_per_s * pointer_us", "gateways: read pointers"),
    *_edges(),
    _cores("push_cores", "sends_per_s * pushes_per_send * push_us", "gateways: pushes"),
    _cores("router_cores", "sends_per_s * router_send_us", "routers and delivery: sends"),
    _cores("bus_send_cores", "sends_per_s * bus_send_us", "bus: sends"),
    _cores("bus_push_cores", "sends_per_s * pushes_per_send * bus_push_us", "bus: pushes"),
    _cores("append_cores", "sends_per_s * append_us * replication", "store: appends"),
    _cores("pointer_write_cores", "pointer_moves_per_s * pointer_write_us * replication", "store: read pointers"),
    Step("memory_bytes", "connections * connection_bytes", "bytes", "memory of connections"),
    Step(
        "network_bits_per_s",
        f"deliveries_online_per_s * (frame_bytes + {HEADER_BYTES}) * 8",
        "bit/s",
        "network of deliveries",
    ),
    Step(
        "growth_bytes_per_day", "messages_per_day * entry_bytes * replication", "bytes a day", "logs grow, all copies"
    ),
    Step("kept_bytes", "growth_bytes_per_day * keep_days", "bytes", "logs kept, all copies"),
)


ASIDE: Final = ("push_us", "gateway_send_us", "pointer_us", "pointer_write_us")
"""What is left out of the sum where it was not measured, rather than that the sum is."""


class Need(msgspec.Struct, frozen=True):
    """One thing that a kind of machine can run out of: how many it takes, not yet whole, is `step`."""

    step: Step
    by: str


class Kind(msgspec.Struct, frozen=True):
    """A kind of machine. `least`: a formula for the fewest that make sense, whatever the load.

    `wanted` is the need without which nothing is said of it.
    """

    name: str
    what: str
    least: str
    needs: tuple[Need, ...]
    wanted: str
    cores: tuple[str, ...]


def _by_cores(kind: str, *cores: str) -> Need:
    formula = f"({' + '.join(cores)}) / (machine_cores * core_share)"
    return Need(Step(f"{kind}_by_cores", formula, "machines", "by cores"), "cores")


def _need(kind: str, by: str, formula: str) -> Need:
    return Need(Step(f"{kind}_by_{by.replace(' ', '_')}", formula, "machines", f"by {by}"), by)


KINDS: Final = (
    Kind(
        "gateways", "hold connections and write to them", "1",
        (
            _need("gateways", "deliveries", "(fanout_cores + push_cores) / (machine_cores * core_share)"),
            _need("gateways", "sends", "take_cores / (machine_cores * core_share)"),
            _need("gateways", "read pointers", "pointer_cores / (machine_cores * core_share)"),
            _by_cores("gateways", "fanout_cores", "push_cores", "take_cores", "pointer_cores"),
            _need("gateways", "memory", "memory_bytes / (machine_memory_gib * 1073741824 * core_share)"),
            _need("gateways", "network", "network_bits_per_s / (machine_network_gbit * 1000000000 * core_share)"),
        ),
        "gateways_by_deliveries",
        ("fanout_cores", "push_cores", "take_cores", "pointer_cores"),
    ),
    Kind(
        "routers", "decide, store, and pass on", "1",
        (_by_cores("routers", "router_cores"),), "routers_by_cores", ("router_cores",),
    ),
    Kind(
        "bus", "carries it: NATS", "3",
        (_by_cores("bus", "bus_send_cores", "bus_push_cores"),), "bus_by_cores", ("bus_send_cores", "bus_push_cores"),
    ),
    Kind(
        "store", "keeps it: Cassandra", "replication",
        (
            _need("store", "appends", "append_cores / (machine_cores * core_share)"),
            _need("store", "read pointers", "pointer_write_cores / (machine_cores * core_share)"),
            _by_cores("store", "append_cores", "pointer_write_cores"),
            _need("store", "disk", "kept_bytes / (machine_disk_tb * 1000000000000 * core_share)"),
        ),
        "store_by_appends",
        ("append_cores", "pointer_write_cores"),
    ),
)  # fmt: skip


CORE_NEEDS: Final = {"deliveries", "sends", "read pointers", "appends"}
"""Needs that share the cores of one machine."""


class Machines(msgspec.Struct, frozen=True):
    """How many of a kind, the loss of `spare_machines` allowed for; `by` is what binds, `of` each need's own number."""

    kind: str
    what: str
    count: int
    by: str
    of: dict[str, float]
    cores: float


def reckonable(steps: Sequence[Step], known: Collection[str]) -> list[Step]:
    """Those whose quantities are all known, or come from steps before them that are."""
    names, found = set(known), []
    for step in steps:
        if names.issuperset(names_in(step.formula)):
            names.add(step.name)
            found.append(step)
    return found


def steps_of(known: Collection[str]) -> list[Step]:
    """All that can be reckoned from these in order, machines of each kind last."""
    needs = [need.step for kind in KINDS for need in kind.needs]
    steps = reckonable([*DEMAND, *ONE_PROCESS, *CAPACITY, *needs], known)
    there = {step.name for step in steps}
    return [*steps, *(_count(kind, there) for kind in KINDS if kind.wanted in there)]


def planned(known: Mapping[str, float]) -> tuple[dict[str, float], list[Machines]]:
    """Every quantity by name, and the machines of each kind for which anything was measured."""
    values = reckon(steps_of(known), known)
    return values, [_machines(kind, values) for kind in KINDS if kind.name in values]


def _count(kind: Kind, there: Collection[str]) -> Step:
    most = ", ".join([*(need.step.name for need in kind.needs if need.step.name in there), kind.least])
    return Step(kind.name, f"ceil(max({most})) + spare_machines", "machines", f"{kind.name}: {kind.what}")


def _machines(kind: Kind, values: Mapping[str, float]) -> Machines:
    of = {need.by: values[need.step.name] for need in kind.needs if need.step.name in values}
    fewest = values[kind.least] if kind.least in values else float(kind.least)
    by = max(of, key=lambda name: of[name])
    if fewest >= of[by]:
        by = f"{fewest:.0f} at least"
    elif by == "cores" and (parts := [name for name in of if name in CORE_NEEDS]):
        by = f"cores, most of them for {max(parts, key=lambda name: of[name])}"
    cores = sum(values[name] for name in kind.cores if name in values)
    return Machines(kind.name, kind.what, int(values[kind.name]), by, of, cores)
