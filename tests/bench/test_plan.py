"""A target holds at full size only, and by the median."""

import msgspec
import pytest

from folkmoot.bench.figures import spread_of
from folkmoot.bench.plan import DEFAULTS, SCENARIOS, Plan, targets_of


def test_several_workers_are_held_to_no_target_of_one() -> None:
    assert targets_of(Plan(scenario="fanout", workers=2), {"ratio_to_floor": spread_of([0.1])}) == []


def test_every_scenario_has_sizes() -> None:
    assert set(DEFAULTS) == set(SCENARIOS)
    for scenario, sizes in DEFAULTS.items():
        plan = msgspec.convert({"scenario": scenario, **sizes}, Plan)
        assert plan.groups * plan.members <= plan.sockets


@pytest.mark.parametrize(
    ("scenario", "figure", "met", "missed"),
    [
        ("fanout", "deliveries_per_cpu_s", 110_000.0, 109_999.0),
        ("fanout", "ratio_to_floor", 0.60, 0.59),
        ("idle", "rss_bytes_per_socket", 12_288.0, 12_289.0),
        ("sends", "sends_per_s", 2_990.0, 2_900.0),
        ("start", "ready_s", 1.9, 2.0),
    ],
)
def test_targets(scenario: str, figure: str, met: float, missed: float) -> None:
    plan = msgspec.convert({"scenario": scenario, **DEFAULTS[scenario]}, Plan)
    assert [t.met for t in targets_of(plan, {figure: spread_of([met, met, missed])})] == [True]
    assert [t.met for t in targets_of(plan, {figure: spread_of([missed, missed, met])})] == [False]


@pytest.mark.parametrize(
    "plan",
    [
        Plan(scenario="fanout", sockets=1_300),
        Plan(scenario="fanout", rate_per_s=100),
        Plan(scenario="idle", sockets=12_999),
        Plan(scenario="sends", rate_per_s=100),
        Plan(scenario="start", groups_stored=10),
        Plan(scenario="floor"),
        Plan(scenario="history"),
    ],
)
def test_a_smaller_measure_has_no_target(plan: Plan) -> None:
    assert targets_of(plan, {"deliveries_per_cpu_s": spread_of([1.0])}) == []


def test_no_figures_meet_nothing() -> None:
    assert targets_of(Plan(scenario="idle"), {}) == []
