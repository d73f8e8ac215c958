"""What Prometheus reads: the counts that roles keep anyway, read when they are asked for."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Statistics = Mapping[str, Mapping[str, int]]


class Measure(NamedTuple):
    """One metric: where its figure stands among the statistics, what kind it is, and what it says.

    With a `label`, every statistic that is called `<name>_<something>` is one of its values, labelled so.
    """

    role: str
    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    label: str = ""

    @property
    def full_name(self) -> str:
        return f"folkmoot_{self.role}_{self.name}"


MEASURES: Final = (
    Measure("gateway", "connections", "gauge", "connections open"),
    Measure("gateway", "users", "gauge", "users with a connection"),
    Measure("gateway", "feeds", "gauge", "groups with a member connected"),
    Measure("gateway", "feeds_broken", "counter", "feeds that the store contradicted"),
    Measure("gateway", "resets", "counter", "positions that are not of their log"),
    Measure("gateway", "fell_behind", "counter", "slow readers moved to catching up from the log"),
    Measure("gateway", "caught_up", "counter", "entries sent from the log rather than live"),
    Measure("gateway", "no_answer", "counter", "sends that no router answered in time"),
    Measure("gateway", "ended", "counter", "connections ended by the server, by error code", label="code"),
    Measure("router", "waiting", "gauge", "sends waiting to be decided"),
    Measure("router", "appended", "counter", "entries appended"),
    Measure("router", "refused", "counter", "refusals stored"),
    Measure("router", "batches", "counter", "conditional writes that happened"),
    Measure("router", "conflicts", "counter", "conditional writes that lost to another"),
    Measure("router", "unknown", "counter", "writes of which the store did not say whether they happened"),
    Measure("router", "overflowed", "counter", "sends not taken in for want of room"),
    Measure("router", "groups_cached", "gauge", "groups whose state is held"),
    Measure("delivery", "groups", "gauge", "groups in the roster"),
    Measure("delivery", "users", "gauge", "users in the roster"),
    Measure("delivery", "edges", "gauge", "edges in the rosters"),
    Measure("delivery", "pushes", "counter", "messages pushed to edges"),
    Measure("store", "commits", "counter", "transactions committed"),
    Measure("store", "unknown", "counter", "writes lost sight of in an I/O error"),
    Measure("store", "reopened", "counter", "times the file was opened again"),
    Measure("store", "checkpoint_failures", "counter", "times the log could not be copied into the file"),
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


def _family(measure: Measure, figures: Mapping[str, int]) -> Metric | None:
    make = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
    if not measure.label:
        value = figures.get(measure.name)
        return None if value is None else make(measure.full_name, measure.meaning, value=value)
    family = make(measure.full_name, measure.meaning, labels=[measure.label])
    prefix = f"{measure.name}_"
    for name, value in figures.items():
        if name.startswith(prefix):
            family.add_metric([name.removeprefix(prefix)], value)
    return family


def exposition(statistics: Callable[[], Statistics]) -> Callable[[], tuple[bytes, str]]:
    """What to call when Prometheus asks: the text, and its content type."""
    registry = CollectorRegistry()
    registry.register(_Collector(statistics))
    ProcessCollector(registry=registry)
    return lambda: (generate_latest(registry), CONTENT_TYPE_LATEST)
