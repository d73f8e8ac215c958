"""Costs of roles come from what differs among loads, and each process counts for its role."""

import pytest

from folkmoot.bench.roles import FEW_MEMBERS, costs_of


def test_what_differs_among_the_loads_is_the_cost() -> None:
    send, push, delivery, router, bus, bus_push, pointer = 200e-6, 40e-6, 8e-6, 300e-6, 50e-6, 5e-6, 30e-6

    def load(members: int, *, gateways: int = 1, acks_per_send: float = 0.0) -> dict[str, float]:
        gateway = send + gateways * push + members * delivery + acks_per_send * pointer
        return {"gateway": gateway, "router": router, "bus": bus + gateways * bus_push}

    few = load(FEW_MEMBERS)
    loads = {"few": few, "busy": few, "busy_on_two": load(FEW_MEMBERS, gateways=2)}
    loads |= {"many": load(130), "many_acked": load(130, acks_per_send=12)}
    assert costs_of(loads, members=130, acks_per_send=12) == {
        "gateway_us_per_delivery": pytest.approx(8),
        "gateway_us_per_push": pytest.approx(40),
        "gateway_us_per_send": pytest.approx(200),
        "router_us_per_send": pytest.approx(300),
        "bus_us_per_push": pytest.approx(5),
        "bus_us_per_send": pytest.approx(50),
        "pointer_us": pytest.approx(30),
    }
