"""What Prometheus reads: the counts that roles keep anyway, read when they are asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from folkmoot.model.histogram import SECONDS, SIZES, Histogram

Figure: TypeAlias = int | Histogram
Statistics: TypeAlias = Mapping[str, Mapping[str, Figure]]


class Measure(NamedTuple):
    """One metric: where its figure stands among the statistics, what kind it is, and what it says.

    With a `label`, every statistic that is called `<name>_<something>` is one of its values, labelled so. A histogram
    has `bounds`, in the unit that its name ends with; without a unit it counts things.
    """

    role: str
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    label: str = ""
    bounds: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        return f"folkmoot_{self.role}_{self.name}"

    @property
    def series(self) -> tuple[str, ...]:
        """The names that can be asked for, without labels."""
        if self.kind == "histogram":
            return tuple(f"{self.full_name}_{part}" for part in ("bucket", "count", "sum"))
        return (f"{self.full_name}_total" if self.kind == "counter" else self.full_name,)


MEASURES: Final = (
    Measure("gateway", "connections", "gauge", "connections open"),
    Measure("gateway", "users", "gauge", "users with a connection"),
    Measure("gateway", "sends", "counter", "sends passed on to a router"),
    Measure("gateway", "answers", "counter", "sends answered, by what became of them", label="outcome"),
    Measure(
        "gateway",
        "accepted_seconds",
        "histogram",
        "from a send's frame read to its `accepted` written",
        bounds=SECONDS,
    ),
    Measure(
        "gateway",
        "pushed_seconds",
        "histogram",
        "from a send's frame read, at any gateway, to the entry written to the members here; one a push, of its oldest",
        bounds=SECONDS,
    ),
    Measure("gateway", "deliveries", "counter", "entries written live to members, each member counted"),
    Measure("gateway", "write_errors", "counter", "writes that failed, of sockets that were going away"),
    Measure("gateway", "feeds", "gauge", "groups with a member connected"),
    Measure("gateway", "feeds_behind", "gauge", "feeds behind their log's head, being filled from the store"),
    Measure("gateway", "lag_entries", "gauge", "entries by which those feeds are behind, together"),
    Measure("gateway", "feeds_filled", "counter", "entries that feeds read from the store, having missed their push"),
    Measure("gateway", "feeds_broken", "counter", "feeds that the store contradicted"),
    Measure("gateway", "resets", "counter", "positions that are not of their log"),
    Measure("gateway", "slow_readers", "gauge", "connections whose socket is full now"),
    Measure("gateway", "fell_behind", "counter", "slow readers moved to catching up from the log"),
    Measure("gateway", "caught_up", "counter", "entries sent from the log rather than live"),
    Measure("gateway", "buffered_bytes", "gauge", "bytes that wait on sockets, together"),
    Measure("gateway", "buffered_bytes_largest", "gauge", "bytes that wait on the fullest socket"),
    Measure("gateway", "no_answer", "counter", "sends that no router answered in time"),
    Measure("gateway", "ended", "counter", "connections ended by the server, by error code", label="code"),
    Measure("router", "waiting", "gauge", "sends waiting to be decided"),
    Measure("router", "waiting_max", "gauge", "the bound of that: one more is not taken in"),
    Measure("router", "appended", "counter", "entries appended"),
    Measure("router", "refused", "counter", "refusals stored"),
    Measure("router", "batches", "counter", "conditional writes that happened"),
    Measure("router", "batch_entries", "histogram", "entries in a conditional write", bounds=SIZES),
    Measure("router", "append_seconds", "histogram", "from a conditional write asked for to durable", bounds=SECONDS),
    Measure("router", "conflicts", "counter", "conditional writes that lost to another"),
    Measure("router", "unknown", "counter", "writes of which the store did not say whether they happened"),
    Measure("router", "overflowed", "counter", "sends not taken in for want of room"),
    Measure("router", "groups_cached", "gauge", "groups whose state is held"),
    Measure("router", "audited", "counter", "groups whose counts were compared with their log"),
    Measure("router", "drift", "counter", "groups whose counts were not what their log says: run `folkmoot verify`"),
    Measure("delivery", "groups", "gauge", "groups in the roster"),
    Measure("delivery", "users", "gauge", "users in the roster"),
    Measure("delivery", "edges", "gauge", "edges in the rosters"),
    Measure("delivery", "pushes", "counter", "messages pushed to edges"),
    Measure("delivery", "comparisons", "gauge", "announcements being compared with the store, and other tasks"),
    Measure("delivery", "comparisons_max", "gauge", "the bound of that"),
    Measure("delivery", "skipped_comparisons", "counter", "announcements left to the sweep, for want of room"),
    Measure("bus", "waiting_largest", "gauge", "messages that wait in the longest queue of a subscription"),
    Measure("bus", "waiting_max", "gauge", "the bound of that: one more is lost, and its listener told of a gap"),
    Measure("bus", "lost", "counter", "messages lost at that bound"),
    Measure("bus", "gaps", "counter", "times a subscription was told that it may have missed something (NATS)"),
    Measure("bus", "connected", "gauge", "1 while there is a connection to a server of NATS"),
    Measure("bus", "reconnects", "counter", "connections to NATS after the first: each was a cut"),
    Measure("bus", "outbox", "gauge", "messages that wait to be written to NATS"),
    Measure("bus", "dropped", "counter", "messages dropped: NATS was away, too slow, or takes none of that size"),
    Measure("bus", "refused", "counter", "times NATS refused a subject for want of a right"),
    Measure("store", "commits", "counter", "transactions committed"),
    Measure("store", "commit_writes", "histogram", "writes in a transaction", bounds=SIZES),
    Measure("store", "commit_seconds", "histogram", "how long a transaction took, with its sync", bounds=SECONDS),
    Measure("store", "waiting", "gauge", "writes waiting for a transaction"),
    Measure("store", "waiting_max", "gauge", "the bound of that: one more is turned away"),
    Measure("store", "full", "counter", "writes refused for want of room on the disk"),
    Measure("store", "unknown", "counter", "writes lost sight of in an I/O error"),
    Measure("store", "reopened", "counter", "times the file was opened again"),
    Measure("store", "wal_bytes", "gauge", "length of the write-ahead log"),
    Measure("store", "checkpoints", "counter", "times the write-ahead log was copied into the file"),
    Measure("store", "checkpoint_failures", "counter", "times the log could not be copied into the file"),
    Measure("cassandra", "requests", "counter", "requests sent to Cassandra"),
    Measure("cassandra", "waiting", "gauge", "requests under way or waiting for that"),
    Measure("cassandra", "in_flight_max", "gauge", "how many are under way at once: others wait"),
    Measure("cassandra", "reads_shared", "counter", "reads answered by one that somebody else asked for"),
    Measure("cassandra", "refused", "counter", "requests turned away because too many wait"),
    Measure("cassandra", "unknown", "counter", "requests of which Cassandra did not say what became of them"),
    Measure("cassandra", "settled", "counter", "appends without an answer that were found to have happened"),
    Measure("cassandra", "buckets_opened", "counter", "buckets opened"),
    Measure("cassandra", "projections_behind", "counter", "appends whose projections could not be written after them"),
    Measure("cassandra", "projections_brought_on", "counter", "times a log was folded to bring its projections on"),
    Measure("cassandra", "gaps_repaired", "counter", "reads done again for entries that a replica had yet to get"),
)


class _Collector(Collector):
    def __init__(self, statistics: Callable[[], Statistics]) -> None:
        self._statistics = statistics

    def collect(self) -> Iterable[Metric]:
        statistics = self._statistics()
        for measure in MEASURES:
            family = _family(measure, statistics.get(measure.role, {}))
            if family is not None:
                yield family


def _family(measure: Measure, figures: Mapping[str, Figure]) -> Metric | None:
    make = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
    if measure.label:
        family = make(measure.full_name, measure.meaning, labels=[measure.label])
        prefix = f"{measure.name}_"
        for name, value in figures.items():
            if name.startswith(prefix) and not isinstance(value, Histogram):
                family.add_metric([name.removeprefix(prefix)], value)
        return family
    figure = figures.get(measure.name)
    if figure is None:
        return None
    if isinstance(figure, Histogram):
        names = [*map(str, figure.bounds), "+Inf"]
        buckets = list(zip(names, map(float, figure.cumulative()), strict=True))
        return HistogramMetricFamily(measure.full_name, measure.meaning, buckets=buckets, sum_value=figure.total)
    return make(measure.full_name, measure.meaning, value=figure)


def exposition(statistics: Callable[[], Statistics]) -> Callable[[], Awaitable[tuple[bytes, str]]]:
    """What to call when Prometheus asks: the text, and its content type.

    Figures are taken in the event loop, whose they are; the rest is a thread's, since to count 13,000 open files alone
    takes 20 ms.
    """
    process = CollectorRegistry()
    ProcessCollector(registry=process)

    def written(taken: Statistics) -> bytes:
        roles = CollectorRegistry()
        roles.register(_Collector(lambda: taken))
        return generate_latest(roles) + generate_latest(process)

    async def ask() -> tuple[bytes, str]:
        return await asyncio.to_thread(written, statistics()), CONTENT_TYPE_LATEST

    return ask
