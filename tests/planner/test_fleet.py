"""A simulated fleet waits longer under more load, breaks where its cores are full, and is the same again."""

import msgspec
import pytest

from folkmoot.planner import fleet as of_fleet
from folkmoot.planner.capacity import planned
from folkmoot.planner.fleet import Fleet, breaking, day_of, fleet_of, times_of, without

FLEET = Fleet(
    sends_per_s=1_000, group_size=50, online_share=1, read_share=0, gateways=4, routers=1, take_s=0.0001,
    router_s=0.0005, push_s=0.0001, delivery_s=0.00001, pointer_s=0, append_s_p50=0.002, append_s_p99=0.01,
    hop_s=0.0002,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_fleet, "JOBS", 4_000)


def test_it_is_the_same_again() -> None:
    assert times_of(FLEET, 1) == times_of(FLEET, 1)
    assert times_of(FLEET, 1) != times_of(FLEET, 2)


def test_processes_are_as_busy_as_the_sum_says() -> None:
    times = times_of(FLEET, 1)
    assert times.router_busy == pytest.approx(0.5, rel=0.05)
    # A thousand pushes of 100 us or fewer, 12.5 deliveries each of 10 us, a quarter of the sends.
    assert times.gateway_busy == pytest.approx(0.25, abs=0.04)


def test_a_message_takes_at_least_its_own_steps() -> None:
    idle = times_of(msgspec.structs.replace(FLEET, sends_per_s=5), 1)
    # Taken, decided, appended, pushed, three hops.
    assert idle.p50 == pytest.approx(0.1 + 0.5 + 2 + 0.1 + 0.1 + 0.6, abs=0.4)
    assert idle.p50 < idle.p99 < idle.p999


def test_more_load_waits_longer_and_a_day_less_than_its_peak() -> None:
    assert times_of(FLEET, 1).p99 < times_of(FLEET, 1, 1.9).p99
    assert day_of(FLEET, 1, 0.1, 1).p50 <= times_of(FLEET, 1).p50


def test_it_breaks_where_a_core_is_full_and_says_whose() -> None:
    at, by = breaking(FLEET, 1)
    assert at == pytest.approx(2.0, abs=0.15)
    assert by == "routers"
    assert breaking(msgspec.structs.replace(FLEET, push_s=0.0009), 1)[1] == "gateways"


def test_what_is_lost_is_done_by_the_others() -> None:
    lost = without(FLEET, 1, 0)
    assert (lost.gateways, lost.routers) == (3, 1)
    assert times_of(lost, 1).gateway_busy > times_of(FLEET, 1).gateway_busy
    assert without(FLEET, 9, 9).gateways == 1


def test_read_pointers_keep_gateways_busy() -> None:
    reading = msgspec.structs.replace(FLEET, read_share=1.0, pointer_s=0.00002)
    more = times_of(reading, 1).gateway_busy - times_of(FLEET, 1).gateway_busy
    assert more == pytest.approx(0.25, rel=0.25)


def test_a_plan_is_a_fleet(costs: dict[str, float]) -> None:
    values, _ = planned(costs)
    fleet = fleet_of(values, (2.0, 10.0), 0.2)
    assert fleet.gateways == values["edges"]
    assert fleet.routers == 3
    assert fleet.delivery_s == pytest.approx(8e-6)
    assert fleet.append_s_p99 == pytest.approx(0.01)
