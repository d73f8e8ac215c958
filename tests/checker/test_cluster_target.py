"""What `check live --cluster` strikes: each process of a real cluster, and the bus between them."""

import asyncio
from collections import Counter

from folkmoot.checker.cluster_target import ClusterTarget
from folkmoot.checker.target import KINDS
from folkmoot.cluster.plan import Shape
from folkmoot.cluster.running import Cluster

SMALL = Shape(cassandra_nodes=0, nats=2, gateways=2, routers=1, deliveries=1)


def test_what_it_can_suffer_is_named_and_a_single_node_of_cassandra_is_left_alone() -> None:
    one, three = ClusterTarget(SMALL, 1), ClusterTarget(Shape(cassandra_nodes=3), 1)
    assert set(one.faults) <= set(KINDS)
    assert set(three.faults) - set(one.faults) == {"kill_cassandra", "pause_cassandra"}
    assert set(three.faults) <= set(KINDS)
    for target in (one, three):
        asyncio.run(target.close())
        assert not target.folder.exists()


class ThreeNodes(Cluster):
    """What is done to three nodes of Cassandra that nobody started, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.shape = Shape(cassandra_nodes=3)

    async def kill(self, name: str) -> bool:
        self.done.append("kill")
        return True

    async def start(self, name: str, on_ready: object = None) -> None:
        self.done.append("start")

    def pause(self, name: str) -> bool:
        self.done.append("pause")
        return True

    def resume(self, name: str) -> bool:
        self.done.append("resume")
        return True

    async def rejoined(self) -> None:
        self.done.append("rejoined")


def test_a_node_of_cassandra_is_killed_and_brought_back_and_seen_by_the_others_before_the_next() -> None:
    async def body() -> None:
        target = ClusterTarget(Shape(cassandra_nodes=3), 1)
        cluster = target._cluster = ThreeNodes()
        for kind in ("kill_cassandra", "pause_cassandra", "kill_router"):
            await target.faults[kind](0.0)
        assert cluster.done == ["kill", "start", "rejoined", "pause", "resume", "rejoined", "kill", "start"]
        target._cluster = None
        await target.close()

    asyncio.run(body())


def test_every_fault_of_a_process_or_of_the_bus_is_healed() -> None:
    async def body() -> None:
        target = ClusterTarget(SMALL, 1)
        try:
            await target.open()
            urls = Counter(target.url_of(f"user-{number}") for number in range(40))
            assert (len(urls), min(urls.values()) > 5) == (2, True)
            cluster = target._cluster
            assert cluster is not None
            before = {one.name: one.pid for one in await cluster.status()}
            for kind in ("kill_gateway", "pause_router", "drain", "bus_cut", "bus_held", "bus_away"):
                await target.faults[kind](0.1)
            after = {one.name: one.pid for one in await cluster.status()}
            replaced = {name for name in before if before[name] != after[name]}
            # Both servers of the bus, the gateway, and what was drained: perhaps the same gateway.
            assert {"nats-1", "nats-2"} < replaced
            assert len(replaced) in (3, 4)
            assert None not in after.values()
        finally:
            await target.close()
        assert not target.folder.exists()

    asyncio.run(body())
