"""One simulated process of a cluster: a role's production code and, where partitions are dealt, its heartbeats."""

from typing import Final

from folkmoot.delivery.service import Delivery, DeliverySettings
from folkmoot.gateway.access import Access
from folkmoot.gateway.service import Gateway, GatewaySettings
from folkmoot.gateway.wheel import Wheel
from folkmoot.model.partitions import ALL
from folkmoot.node.dealing import Dealing
from folkmoot.node.peers import Peers
from folkmoot.router.service import Router, RouterSettings
from folkmoot.testing.plan import Plan
from folkmoot.testing.virtual_loop import Process
from folkmoot.testing.world_bus import WorldBus
from folkmoot.testing.world_clock import WorldChance, WorldClock
from folkmoot.testing.world_store import WorldStore

ROUTER, DELIVERY, GATEWAY = "router", "delivery", "gateway"

PING_S: Final = 5.0
"""So that silence is noticed within a run."""


class Node:
    """One role's process, by name; each life of it is new, but for the name. `is_open`: a gateway takes connections."""

    def __init__(self, role: str, name: str) -> None:
        self.role = role
        self.name = name
        self.lives = 0
        self.excused_ms = 0
        self.excuses = 0
        self.is_open = False
        self.process: Process | None = None
        self.clock: WorldClock | None = None
        self.service: Router | Delivery | Gateway | None = None

    @property
    def is_up(self) -> bool:
        return self.process is not None

    def wall_ms(self) -> int:
        """By its own clock, but for the time since it last stood still: it may be behind with everything."""
        assert self.clock is not None
        return self.clock.wall_ms() - self.excused_ms

    def live(
        self, plan: Plan, process: Process, clock: WorldClock, store: WorldStore, bus: WorldBus, access: Access
    ) -> None:
        """Begin a new life, with what is durable and nothing else. To be called within the process's context."""
        self.lives += 1
        self.process, self.clock = process, clock
        chance = WorldChance(plan.seed, f"{self.name}/{self.lives}")
        service = self.service = self._built(plan, clock, store, bus, chance, access)
        peers = None
        if not plan.all_own_all:
            dealing = Dealing(
                chance.token(8).hex(),
                service if isinstance(service, Gateway) else None,
                service if isinstance(service, Router) else None,
                service if isinstance(service, Delivery) else None,
            )
            peers = Peers(bus, clock, dealing.own(), home="", on_view=dealing.see, on_paused=dealing.paused)
        # Nobody waits for heartbeats where there are none.
        self.is_open = peers is None
        process.spawn(self._start(service, peers))

    def die(self) -> None:
        self.process = self.service = None
        self.is_open = False

    async def _start(self, service: Router | Delivery | Gateway, peers: Peers | None) -> None:
        """In the order of `node/wiring.py`: among others, nothing is owned before it is known who they are."""
        owned = ALL if peers is None else frozenset[int]()
        if isinstance(service, Gateway):
            if peers is not None:
                await peers.start()
            await service.start()
            self.is_open = True
            return
        await service.start(owned)
        if peers is not None:
            await peers.start()

    def _built(
        self, plan: Plan, clock: WorldClock, store: WorldStore, bus: WorldBus, chance: WorldChance, access: Access
    ) -> Router | Delivery | Gateway:
        if self.role == ROUTER:
            return Router(store, bus, clock, chance, RouterSettings(batch_entries_max=4, audit_interval_s=30.0))
        if self.role == DELIVERY:
            settings = DeliverySettings(
                sweep_interval_s=plan.announce_interval_s, edge_silent_s_max=3 * plan.announce_interval_s
            )
            return Delivery(store, bus, clock, chance, settings)
        return Gateway(
            store,
            bus,
            clock,
            chance,
            access,
            Wheel(clock, ping_interval_s=PING_S),
            GatewaySettings(
                ping_interval_s=PING_S,
                announce_interval_s=plan.announce_interval_s,
                sweep_interval_s=plan.sweep_interval_s,
            ),
        )
