"""Partitions dealt among those who live: a view of a role that changes makes its owners own more, or less."""

from folkmoot.delivery.service import Delivery
from folkmoot.gateway.service import Gateway
from folkmoot.model.partitions import ALL, moved, owned_by
from folkmoot.router.service import Router


class Dealing:
    """What this process's roles own by its own view. Any of them may be missing.

    `routes_all`: its router owns every partition whatever it sees, so that two of them contend for all groups.
    """

    def __init__(
        self,
        instance: str,
        gateway: Gateway | None,
        router: Router | None,
        delivery: Delivery | None,
        *,
        routes_all: bool = False,
    ) -> None:
        self._instance = instance
        self._gateway = gateway
        self._router = router
        self._delivery = delivery
        self._routes_all = routes_all
        self._routers: tuple[str, ...] = ()

    def own(self) -> dict[str, str]:
        """By role, the name under which this process says that it lives. A gateway's is its edge's."""
        instances = {} if self._gateway is None else {"gateway": self._gateway.edge}
        if self._router is not None:
            instances["router"] = self._instance
        if self._delivery is not None:
            instances["delivery"] = self._instance
        return instances

    def see(self, role: str, instances: tuple[str, ...]) -> None:
        """The view of a role is `instances` now."""
        if role == "router":
            self._see_routers(instances)
        elif role == "delivery" and self._delivery is not None:
            self._delivery.own(owned_by(self._instance, instances))
        elif role == "gateway" and self._delivery is not None:
            self._delivery.see_edges(instances)

    def paused(self) -> None:
        """This process was stopped for a while: what it did not hear is asked for, and told, again."""
        if self._delivery is not None:
            self._delivery.begin_again()
        if self._gateway is not None:
            self._gateway.announcer.recalled()

    def _see_routers(self, instances: tuple[str, ...]) -> None:
        before, self._routers = self._routers, instances
        if self._router is not None:
            self._router.own(ALL if self._routes_all else owned_by(self._instance, instances))
        if self._delivery is not None and before:
            self._delivery.routers_moved(moved(before, instances))
