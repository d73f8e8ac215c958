"""Results as `folkmoot bench` writes them, with round figures."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from folkmoot.planner.capacity import MACHINES
from folkmoot.planner.demand import USERS
from folkmoot.planner.measurements import Measured, Result, measured_of, results_in

FIGURES: dict[str, list[dict[str, float]]] = {
    "fanout": [{"deliveries_per_cpu_s": one * 1_000.0, "frame_bytes": 400.0} for one in (100, 125, 80)],
    "idle": [{"rss_bytes_per_socket": 8_000.0, "connect_cpu_ms_per_socket": 0.5}],
    "latency": [{"deliveries_per_cpu_s": 90_000.0}],
    "sends": [{"sends_per_cpu_s": 5_000.0}],
    "history": [{"store_bytes_per_entry": 600.0}],
    "roles": [
        {
            "gateway_us_per_delivery": one, "gateway_us_per_push": 50.0, "gateway_us_per_send": 100.0,
            "router_us_per_send": 300.0, "bus_us_per_send": 40.0, "bus_us_per_push": 8.0, "pointer_us": 20.0,
        }
        for one in (8.0, 7.5, 9.0)
    ],
    "pointers": [{"cassandra_us_per_pointer": 40.0, "pointer_us": 20.0}],
}  # fmt: skip
ON_CLUSTER = {
    "router_us_per_append": 250.0, "driver_us_per_append": 250.0, "delivery_us_per_send": 50.0,
    "cassandra_us_per_append": 400.0, "entries_per_append": 2.0,
}  # fmt: skip
PLANS: dict[str, dict[str, Any]] = {
    "fanout": {"sockets": 13_000, "members": 130, "rate_per_s": 500.0, "acks_per_s": 0.0},
    "idle": {"sockets": 13_000, "members": 130},
    "sends": {"sockets": 1_000, "members": 2, "rate_per_s": 3_000.0},
}


def report_of(scenario: str, at: str = "2026-01-02T03:04:05+00:00", **what: Any) -> dict[str, Any]:
    """One report; `what` stands in place of its parts."""
    runs = [{"figures": figures, "refusals": [], "series": {}} for figures in FIGURES[scenario]]
    machine = {"processor": "a processor", "cores": 2}
    report = {"scenario": scenario, "at": at, "plan": PLANS.get(scenario, {}), "machine": machine, "runs": runs}
    return report | what


def file_of(*reports: dict[str, Any]) -> bytes:
    """The content of a file of results."""
    return msgspec.json.encode({"reports": reports})


@pytest.fixture
def results() -> Callable[..., list[Result]]:
    """Results of the named scenarios, all of them where none is named."""

    def made(*scenarios: str) -> list[Result]:
        plan = {"sockets": 1_000, "members": 2, "cluster": True}
        cluster = report_of("sends", plan=plan, runs=[{"figures": ON_CLUSTER}])
        reports = [report_of(one) for one in scenarios or FIGURES]
        return results_in(file_of(*reports, *([] if scenarios else [cluster])), "a file")

    return made


@pytest.fixture
def measured(results: Callable[..., list[Result]]) -> dict[str, Measured]:
    """All that can be measured."""
    return measured_of(results())


@pytest.fixture
def costs(measured: dict[str, Measured]) -> dict[str, float]:
    """What a sum for ten million users begins with."""
    given = {one.name: float(one.default) for one in (*USERS, *MACHINES)} | {"users": 10e6}
    return given | {name: one.median for name, one in measured.items()}


@pytest.fixture
def report() -> Callable[..., dict[str, Any]]:
    return report_of


@pytest.fixture
def file() -> Callable[..., bytes]:
    return file_of
