"""Dealing: a changed view makes routers and deliveries own their share, and tells them whose edges and routers live."""

from typing import cast

from folkmoot.delivery.service import Delivery
from folkmoot.gateway.service import Gateway
from folkmoot.model.partitions import ALL, moved, owned_by
from folkmoot.node.dealing import Dealing
from folkmoot.router.service import Router


class Told:
    """Stands for each of the three roles, and keeps what it was told."""

    edge = "edge-1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.announcer = self

    def own(self, partitions: frozenset[int]) -> None:
        self.calls.append(("own", partitions))

    def see_edges(self, edges: tuple[str, ...]) -> None:
        self.calls.append(("see_edges", edges))

    def routers_moved(self, partitions: frozenset[int]) -> None:
        self.calls.append(("routers_moved", partitions))

    def begin_again(self) -> None:
        self.calls.append(("begin_again", None))

    def recalled(self) -> None:
        self.calls.append(("recalled", None))


def dealing(*roles: str, routes_all: bool = False) -> tuple[Dealing, Told, Told, Told]:
    gateway, router, delivery = Told(), Told(), Told()
    made = Dealing(
        "a",
        cast("Gateway", gateway) if "gateway" in roles else None,
        cast("Router", router) if "router" in roles else None,
        cast("Delivery", delivery) if "delivery" in roles else None,
        routes_all=routes_all,
    )
    return made, gateway, router, delivery


def test_each_role_lives_under_a_name() -> None:
    assert dealing("gateway", "router", "delivery")[0].own() == {"gateway": "edge-1", "router": "a", "delivery": "a"}
    assert dealing("router")[0].own() == {"router": "a"}


def test_a_router_that_is_to_route_all_does_whoever_else_routes() -> None:
    made, _, router, delivery = dealing("router", "delivery", routes_all=True)
    made.see("router", ("a", "b"))
    assert router.calls == [("own", ALL)]
    # What is dealt to others is another's still, as far as anybody else is concerned.
    made.see("delivery", ("a", "b"))
    assert delivery.calls[-1] == ("own", owned_by("a", ("a", "b")))


def test_a_view_of_routers_deals_partitions_and_tells_delivery_which_moved() -> None:
    made, _, router, delivery = dealing("router", "delivery")
    made.see("router", ("a",))
    assert router.calls == [("own", ALL)]
    assert delivery.calls == []
    made.see("router", ("a", "b"))
    assert router.calls[-1] == ("own", owned_by("a", ("a", "b")))
    assert delivery.calls == [("routers_moved", moved(("a",), ("a", "b")))]


def test_a_view_of_deliveries_and_edges_goes_to_delivery() -> None:
    made, _, router, delivery = dealing("router", "delivery")
    made.see("delivery", ("a", "b"))
    made.see("gateway", ("e1", "e2"))
    assert delivery.calls == [("own", owned_by("a", ("a", "b"))), ("see_edges", ("e1", "e2"))]
    assert router.calls == []


def test_where_a_role_is_missing_its_views_are_nobodys() -> None:
    made, gateway, router, delivery = dealing("gateway")
    for role in ("gateway", "router", "delivery"):
        made.see(role, ("a",))
    made.paused()
    assert gateway.calls == [("recalled", None)]
    assert router.calls == delivery.calls == []


def test_after_a_pause_delivery_asks_and_the_gateway_tells() -> None:
    made, gateway, _, delivery = dealing("gateway", "router", "delivery")
    made.paused()
    assert (gateway.calls, delivery.calls) == ([("recalled", None)], [("begin_again", None)])
