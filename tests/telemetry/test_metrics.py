"""What Prometheus reads is what the roles counted, and everything they count is in the table."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.nats.bus import NatsBus
from folkmoot.backends.nats.credentials import Credentials
from folkmoot.model.histogram import SECONDS, Histogram
from folkmoot.node.config import load_settings
from folkmoot.node.wiring import build_roles, open_store
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.telemetry.metrics import MEASURES, Statistics, exposition


async def ask(exposed: Callable[[], Awaitable[tuple[bytes, str]]]) -> tuple[bytes, str]:
    return await exposed()


def read(statistics: Statistics) -> dict[str, float]:
    content, media_type = asyncio.run(ask(exposition(lambda: statistics)))
    assert media_type.startswith("text/plain")
    samples = (s for family in text_string_to_metric_families(content.decode()) for s in family.samples)
    return {s.name + "".join(f"{{{k}={v}}}" for k, v in s.labels.items()): s.value for s in samples}


def test_figures_are_read_when_they_are_asked_for() -> None:
    figures = {"connections": 3, "resets": 7}
    exposed = exposition(lambda: {"gateway": figures})
    assert b"folkmoot_gateway_connections 3.0" in asyncio.run(ask(exposed))[0]
    figures["connections"] = 4
    assert b"folkmoot_gateway_connections 4.0" in asyncio.run(ask(exposed))[0]


def test_counters_gauges_and_labels_are_told_apart() -> None:
    found = read({"gateway": {"connections": 3, "resets": 7, "ended_idle": 2, "ended_token_expired": 5}})
    assert found["folkmoot_gateway_connections"] == 3
    assert found["folkmoot_gateway_resets_total"] == 7
    assert found["folkmoot_gateway_ended_total{code=idle}"] == 2
    assert found["folkmoot_gateway_ended_total{code=token_expired}"] == 5


def test_a_role_that_is_not_in_this_process_has_no_figures() -> None:
    names = read({"router": {"waiting": 0}})
    assert names["folkmoot_router_waiting"] == 0
    assert not any(name.startswith(("folkmoot_store", "folkmoot_delivery")) for name in names)


def test_a_histogram_has_buckets_that_rise_a_count_and_a_sum() -> None:
    appended = Histogram(SECONDS)
    for value in (0.0004, 0.003, 0.003, 60.0):
        appended.observe(value)
    found = read({"router": {"append_seconds": appended}})
    name = "folkmoot_router_append_seconds"
    assert found[f"{name}_bucket{{le=0.001}}"] == 1
    assert found[f"{name}_bucket{{le=0.005}}"] == 3
    assert found[f"{name}_bucket{{le=10.0}}"] == 3
    assert found[f"{name}_bucket{{le=+Inf}}"] == found[f"{name}_count"] == 4
    assert found[f"{name}_sum"] == pytest.approx(60.0064)


def test_the_process_itself_is_measured() -> None:
    found = read({})
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert found["process_open_fds"] > 0


def test_a_metric_is_named_once_and_says_what_it_counts() -> None:
    names = [measure.full_name for measure in MEASURES]
    assert len(names) == len(set(names))
    for measure in MEASURES:
        assert len(measure.meaning) > 10, measure.name


def test_everything_that_the_roles_count_is_in_the_table_and_nothing_else(tmp_path: Path) -> None:
    async def counted() -> Statistics:
        settings = load_settings({"data_dir": str(tmp_path)}, {}, None)
        store = await open_store(settings, SystemClock())
        roles = build_roles(settings, store, MemoryBus(), SystemClock(), SystemChance())
        try:
            # NATS' bus counts what the one in memory does, and more.
            bus = NatsBus([], name="", credentials=Credentials(), tls=None).statistics()
            assert roles.statistics()["bus"].keys() < bus.keys()
            return {**roles.statistics(), "bus": bus}
        finally:
            await store.close()

    statistics = asyncio.run(counted())
    # What Cassandra counts is told by tests/backends/cassandra/test_store.py: here the store is a file.
    measures = [m for m in MEASURES if m.role != "cassandra"]
    labelled = tuple(f"{m.role} {m.name}_" for m in measures if m.label)
    given = {(role, name) for role, figures in statistics.items() for name in figures}
    plain = {(role, name) for role, name in given if not f"{role} {name}".startswith(labelled)}
    assert plain == {(m.role, m.name) for m in measures if not m.label}
    assert {name for role, name in given - plain if role == "gateway"} == {
        f"answers_{outcome}" for outcome in ("accepted", "refused", "undecided")
    }
    for measure in measures:
        figure = statistics[measure.role].get(measure.name)
        assert isinstance(figure, Histogram) == (measure.kind == "histogram"), measure.full_name
        if isinstance(figure, Histogram):
            assert figure.bounds == measure.bounds, measure.full_name
