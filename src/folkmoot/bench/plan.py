"""How large a measure is, where it runs, and what its result has to be at full size."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from folkmoot.bench.figures import Spread

SCENARIOS: Final = {
    "floor": "what a loop over send() in C costs: no server can do the same for less",
    "fanout": "messages to many members each, stored durably, between two runs of the floor",
    "blast": "the same as fast as one core gives it, and the floor as fast as it can",
    "latency": "from a message to the last member of its group",
    "ladder": "what a delivery costs in groups of 2 to 10,000",
    "hot": "one group in which everyone talks",
    "slow": "one reader in each group that does not read: what it costs the others, and its memory",
    "sustained": "messages to many for ten minutes: what becomes of the memory",
    "idle": "memory of connections that only are there",
    "storm": "the server killed under all of its clients: until all are back, and have what they missed",
    "joins": "strangers who join groups all at once: until all follow them",
    "sends": "messages in pairs, one a group at a time: how fast sends become durable",
    "history": "pages of a long log, forwards and backwards",
    "lists": "chats with what is unread, and groups, of users who are in a thousand",
    "roles": "what gateway, router and bus cost as processes apart",
    "pointers": "what a read pointer that moves costs a cluster with Cassandra",
    "start": "a store of many groups that nobody reads: how soon it is served from",
}

SIZES: Final = (2, 10, 130, 1_000, 10_000)
"""Members of a group, on the ladder; those that the plan's sockets make a group of are measured."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One measure. Rates are of the whole; a rate of 0 in `sends` is one unanswered send a group, as fast as answers
    come. `cores_load` none: every core but the server's. `acks_per_s`: acknowledgements of entries, as clients send.
    `back_s_max`: the longest that a client in a storm waits between two attempts. `in_turn`: each group has its turn to
    talk, where groups are drawn at random otherwise.
    `unanswered` is how many sends of a group may be. `workers` 0: one process; else `serve --workers`, on
    the cores that the load leaves.
    `cluster`: roles apart on NATS and Cassandra, on any core.
    """

    scenario: str
    sockets: int = 13_000
    members: int = 130
    rate_per_s: float = 500.0
    seconds: float = 20.0
    warm_s: float = 5.0
    text_bytes: int = 180
    acks_per_s: float = 0.0
    in_turn: bool = False
    unanswered: int = 1
    workers: int = 0
    cluster: bool = False
    door: Literal["socket", "rest"] = "socket"
    page_entries: int = 50
    log_entries: int = 20_000
    groups_stored: int = 200_000
    back_s_max: float = 30.0
    runs: int = 1
    core_server: int = 0
    cores_load: tuple[int, ...] = ()
    settings: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def groups(self) -> int:
        return max(1, self.sockets // self.members)


DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = {
    "floor": {},
    "fanout": {},
    "blast": {"seconds": 10.0},
    "latency": {"seconds": 30.0},
    "ladder": {"sockets": 10_000, "rate_per_s": 200.0, "seconds": 8.0, "warm_s": 3.0},
    "hot": {"sockets": 1_000, "members": 1_000, "rate_per_s": 50.0, "seconds": 10.0},
    "slow": {"sockets": 1_300, "rate_per_s": 300.0, "seconds": 10.0, "warm_s": 5.0, "text_bytes": 1_000},
    "sustained": {"rate_per_s": 250.0, "seconds": 600.0},
    "idle": {"rate_per_s": 0.0, "warm_s": 10.0, "seconds": 30.0},
    "storm": {"rate_per_s": 100.0, "warm_s": 3.0},
    "joins": {"sockets": 2_600, "warm_s": 1.0},
    "sends": {"sockets": 1_000, "members": 2, "rate_per_s": 3_000.0},
    "history": {"sockets": 100, "members": 2, "rate_per_s": 300.0, "warm_s": 2.0},
    "lists": {"sockets": 20, "members": 20, "groups_stored": 1_000, "rate_per_s": 20.0, "warm_s": 2.0},
    "roles": {"rate_per_s": 250.0, "seconds": 10.0, "warm_s": 4.0, "acks_per_s": 3_000.0},
    "pointers": {
        "sockets": 1_300,
        "rate_per_s": 50.0,
        "acks_per_s": 1_000.0,
        "seconds": 15.0,
        "warm_s": 15.0,
        "cluster": True,
    },
    "start": {"members": 2, "runs": 3},
}
"""Where a scenario's own size is another than `Plan` says."""

ON_CLUSTER: Final[Mapping[str, object]] = {"rate_per_s": 800.0, "warm_s": 20.0}
"""The same of `sends` on a cluster: Java compiles what it runs often, and until then an append costs three times as
much."""


class Target(msgspec.Struct, frozen=True):
    """What a result was to be, in words, and whether it is."""

    wanted: str
    met: bool


def targets_of(plan: Plan, figures: Mapping[str, Spread]) -> list[Target]:
    """The targets of a measure at full size, by the medians; none where it was smaller, or gave no figures."""
    if not figures:
        return []

    def median(name: str) -> float:
        return figures[name].median if name in figures else 0.0

    full = plan.sockets >= 13_000
    match plan.scenario:
        case "fanout" if full and not plan.workers and plan.members >= 130 and plan.rate_per_s >= 500:
            met = median("deliveries_per_cpu_s") >= 110_000 or median("ratio_to_floor") >= 0.60
            return [Target("110,000 deliveries a CPU-second, or 0.60 of the floor in the same run", met)]
        case "latency" if full and plan.members >= 130 and plan.rate_per_s >= 500:
            met = median("last_ms_p50") <= 3 and median("last_ms_p99") <= 12 and median("last_ms_p999") <= 25
            return [Target("to the last of 130 members p50 at most 3 ms, p99 12 ms, p99.9 25 ms", met)]
        case "ladder" if plan.sockets >= 10_000:
            return [Target("the same within 20 % in groups of 130 to 10,000", median("delivery_us_spread") <= 0.20)]
        case "slow":
            kept = median("rss_bytes_per_slow") <= 64 * 1_024
            return [
                Target("a slow reader costs the others nothing measurable (5 %)", median("slow_cost_ratio") <= 1.05),
                Target("a slow reader takes at most 64 KB", kept),
            ]
        case "storm" if full:
            return [Target("all back and complete within 10 s", median("there_s_all") <= 10)]
        case "idle" if full:
            return [Target("at most 12 KB of RSS a connection", median("rss_bytes_per_socket") <= 12 * 1_024)]
        case "sends" if plan.cluster and plan.unanswered >= 8:
            return [Target("3,000 durable sends a second in eights", median("sends_per_s") >= 2_970)]
        case "sends" if plan.cluster:
            return [Target("800 durable sends a second in pairs", median("sends_per_s") >= 792)]
        case "sends" if plan.rate_per_s == 0 or plan.rate_per_s >= 3_000:
            return [Target("3,000 durable sends a second", median("sends_per_s") >= 2_970)]
        case "start" if plan.groups_stored >= 200_000:
            return [Target("ready in under 2 s", median("ready_s") < 2.0)]
        case _:
            return []
