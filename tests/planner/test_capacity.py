"""Machines follow from costs: more asked or dearer never takes fewer, and each kind says what binds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.planner.capacity import ASIDE, CAPACITY, KINDS, MACHINES, ONE_PROCESS, planned, reckonable
from folkmoot.planner.demand import DEMAND, USERS
from folkmoot.planner.formula import Step, names_in

COSTS = {
    "deliveries_per_cpu_s": 100_000.0, "delivery_us": 8.0, "push_us": 50.0, "gateway_send_us": 100.0,
    "router_send_us": 300.0, "bus_send_us": 40.0, "bus_push_us": 8.0, "pointer_us": 20.0, "connection_bytes": 8_000.0,
    "frame_bytes": 400.0, "entry_bytes": 600.0, "append_us": 200.0, "pointer_write_us": 40.0,
}  # fmt: skip
SEED = {one.name: float(one.default) for one in (*USERS, *MACHINES)} | COSTS | {"users": 10e6}
UPWARDS = ["users", "messages", "peak_share", "read_share", "headroom", "spare_machines", *COSTS]


def test_the_seed_by_hand() -> None:
    values, machines = planned(SEED)
    assert values["cores"] == pytest.approx(7.2222, abs=1e-4)
    assert values["cores_whole"] == 8
    assert values["fanout_cores"] == pytest.approx(722_222.2 * 8e-6, rel=1e-6)
    # 20.8 cores of deliveries, sends and pointers are 30 processes. A group of 130 is on nearly all of them, and to
    # be told costs each 50 us a message, so it takes more of them, of which still more hear of it, and so on.
    assert values["edges_1"] == 30
    assert values["pushes_1"] == pytest.approx(29.634, abs=1e-3)
    assert values["edges_2"] == 42
    assert values["edges"] == 48
    assert values["pointer_cores"] == pytest.approx(14.444, abs=1e-3)
    assert values["memory_bytes"] == 80e9
    assert values["network_bits_per_s"] == pytest.approx(722_222.2 * 466 * 8, rel=1e-6)
    assert values["growth_bytes_per_day"] == 200e6 * 600 * 3
    by_kind = {one.kind: one for one in machines}
    # 5.78 + 12.47 + 0.56 + 14.44 cores, 5.6 of a machine used: six machines, and the one that may be lost.
    assert (by_kind["gateways"].count, by_kind["gateways"].by) == (7, "cores, most of them for deliveries")
    assert by_kind["routers"].count == 2
    assert by_kind["routers"].cores == pytest.approx(1.667, abs=1e-3)
    assert (by_kind["bus"].count, by_kind["bus"].by) == (4, "3 at least")
    # A year of three copies fills more disks than pointers take cores.
    assert (by_kind["store"].count, by_kind["store"].by) == (95, "disk")


@given(st.sampled_from(UPWARDS), st.floats(1, 50), st.integers(1, 1_000_000_000))
def test_more_asked_or_dearer_takes_no_fewer_machines(name: str, times: float, users: int) -> None:
    less = SEED | {"users": float(users)}
    most = {one.name: float(one.most) for one in (*USERS, *MACHINES)}.get(name, float("inf"))
    more = less | {name: min(less[name] * times, most)}
    if name == "deliveries_per_cpu_s":
        less, more = more, less
    counts = [{one.kind: one.count for one in planned(known)[1]} for known in (less, more)]
    assert all(counts[1][kind] >= counts[0][kind] for kind in counts[0])


@given(
    st.sampled_from(["machine_cores", "machine_memory_gib", "machine_disk_tb", "machine_network_gbit"]), st.floats(1, 9)
)
def test_larger_machines_are_no_more(name: str, times: float) -> None:
    counts = [{one.kind: one.count for one in planned(SEED | {name: SEED[name] * by})[1]} for by in (1.0, times)]
    assert all(counts[1][kind] <= counts[0][kind] for kind in counts[0])


def test_each_need_can_bind() -> None:
    small = SEED | {"read_share": 0.0, "keep_days": 1.0}
    by = {}
    for name, value in {"connection_bytes": 10e6, "frame_bytes": 1e6, "append_us": 1e6, "delivery_us": 900.0}.items():
        by[name] = {one.kind: one.by for one in planned(small | {name: value})[1]}
    assert by["connection_bytes"]["gateways"] == "memory"
    assert by["frame_bytes"]["gateways"] == "network"
    assert by["append_us"]["store"] == "cores, most of them for appends" or by["append_us"]["store"] == "appends"
    assert by["delivery_us"]["gateways"] == "cores, most of them for deliveries"


def test_what_was_not_measured_leaves_the_rest() -> None:
    known = {name: value for name, value in SEED.items() if name not in COSTS}
    values, machines = planned(known | {"deliveries_per_cpu_s": 100_000.0, **dict.fromkeys(ASIDE, 0.0)})
    assert values["cores_whole"] == 8
    assert "fanout_cores" not in values
    assert "gateways" not in {one.kind for one in machines}


def test_steps_wait_for_what_they_are_made_of() -> None:
    steps = [Step("b", "a + 1", "", ""), Step("d", "c", "", ""), Step("e", "d + b", "", ""), Step("f", "b", "", "")]
    assert [step.name for step in reckonable(steps, ["a"])] == ["b", "f"]


def test_every_step_is_made_of_what_can_be_known() -> None:
    known = {one.name for one in (*USERS, *MACHINES)} | set(COSTS)
    for step in (*DEMAND, *ONE_PROCESS, *CAPACITY, *(need.step for kind in KINDS for need in kind.needs)):
        assert set(names_in(step.formula)) <= known, step.name
        known.add(step.name)
