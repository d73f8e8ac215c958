"""The seed's sum, to the last digit, and what any sum has to obey."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.planner.demand import BY_SERVER, DEMAND, USERS
from folkmoot.planner.formula import names_in, reckon

SEED = {"users": 10e6, "messages": 20.0, "group_size": 130.0, "peak_share": 0.10, "peak_hours": 1.0}
KNOWN = st.fixed_dictionaries(
    {one.name: st.floats(max(one.least, 1e-4), one.most, allow_nan=False) for one in USERS}
)  # fmt: skip


def test_the_sum_of_ten_million_users() -> None:
    values = reckon([*DEMAND, *BY_SERVER], SEED | {"per_server": 1000.0})
    assert values["messages_per_day"] == 200_000_000
    assert values["messages_in_peak"] == 20_000_000
    assert round(values["sends_per_s"]) == 5_556
    assert round(values["deliveries_per_s"]) == 722_222
    assert round(values["servers"], 1) == 722.2
    assert values["servers_whole"] == 723


@given(KNOWN, st.sampled_from(["users", "messages", "group_size", "peak_share"]), st.floats(1, 1_000))
def test_more_of_anything_needs_no_fewer_servers(known: dict[str, float], name: str, times: float) -> None:
    less = reckon([*DEMAND, *BY_SERVER], known | {"per_server": 1000.0})
    more = reckon([*DEMAND, *BY_SERVER], known | {name: known[name] * times, "per_server": 1000.0})
    assert more["servers_whole"] >= less["servers_whole"]


@given(KNOWN)
def test_a_longer_peak_needs_no_more(known: dict[str, float]) -> None:
    longer = known | {"peak_hours": known["peak_hours"] * 2}
    sends = [reckon(DEMAND, one)["sends_per_s"] for one in (known, longer)]
    assert sends[1] == pytest.approx(sends[0] / 2)


def test_every_name_in_a_step_is_given_or_stands_before_it() -> None:
    known = {one.name for one in USERS} | {"per_server"}
    for step in (*DEMAND, *BY_SERVER):
        assert set(names_in(step.formula)) <= known
        known.add(step.name)


def test_defaults_lie_within_their_bounds() -> None:
    assert all(one.least <= one.default <= one.most for one in USERS)
