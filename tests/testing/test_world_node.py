"""A simulated process owns what its heartbeats say: all of it alone, its share among others, more when one is gone."""

import asyncio

import msgspec

from folkmoot.checker.laws import judge_run
from folkmoot.delivery.service import Delivery
from folkmoot.model.ids import PARTITIONS
from folkmoot.router.service import Router
from folkmoot.testing.happenings import Faulted
from folkmoot.testing.plan import Fault, small_plan
from folkmoot.testing.simulation import run_plan
from folkmoot.testing.world import World
from folkmoot.testing.world_node import DELIVERY, ROUTER

SETTLED_S = 3.0
"""Once heartbeats that have stopped are missed, and what was lost has been let go of."""


def owned(world: World) -> dict[str, int]:
    """How many partitions each router and delivery that is up serves."""
    services = {name: node.service for name, node in world.nodes.items() if node.role in (ROUTER, DELIVERY)}
    return {
        name: len(service._ownership.owned)
        for name, service in services.items()
        if isinstance(service, Router | Delivery)
    }


def test_partitions_are_dealt_anew_as_processes_come_and_go() -> None:
    world = World(msgspec.structs.replace(small_plan(), all_own_all=False))

    async def main() -> None:
        await world.boot()
        await asyncio.sleep(SETTLED_S)
        together = owned(world)
        for role in (ROUTER, DELIVERY):
            assert together[f"{role}-1"] + together[f"{role}-2"] == PARTITIONS
            assert min(together[f"{role}-1"], together[f"{role}-2"]) > PARTITIONS / 3
        world.kill(world.nodes["router-2"])
        await asyncio.sleep(SETTLED_S)
        assert owned(world) == {**{n: c for n, c in together.items() if n != "router-2"}, "router-1": PARTITIONS}
        world.start(world.nodes["router-2"])
        await asyncio.sleep(SETTLED_S)
        back = owned(world)
        assert back["router-1"] + back["router-2"] == PARTITIONS

    world.loop.run(main())


def test_whoever_hears_no_heartbeats_of_another_serves_its_part_too() -> None:
    world = World(msgspec.structs.replace(small_plan(), all_own_all=False))

    async def main() -> None:
        await world.boot()
        await asyncio.sleep(SETTLED_S)
        before = owned(world)
        world.believed_gone["router-1"] = {"router-2": 1}
        await asyncio.sleep(SETTLED_S)
        assert owned(world) == {**before, "router-1": PARTITIONS}

    world.loop.run(main())


def test_a_gateway_takes_connections_once_it_knows_who_lives() -> None:
    world = World(msgspec.structs.replace(small_plan(), all_own_all=False))

    async def main() -> None:
        booted = asyncio.get_running_loop().create_task(world.boot())
        await asyncio.sleep(0)
        assert not world.nodes["gateway-1"].is_open
        await booted
        assert world.nodes["gateway-1"].is_open
        world.kill(world.nodes["gateway-1"])
        assert not world.nodes["gateway-1"].is_open

    world.loop.run(main())


def test_two_that_each_believe_the_other_gone_break_no_law() -> None:
    faults = [
        Fault(at_s=1.0, kind="believe gone", target=f"{role}-{one}", other=f"{role}-{3 - one}", lasts_s=4.0)
        for role in (ROUTER, DELIVERY)
        for one in (1, 2)
    ]
    run = run_plan(msgspec.structs.replace(small_plan(says=12, faults=tuple(faults)), all_own_all=False))
    assert judge_run(run) == []
    assert sum(isinstance(h, Faulted) and h.on for h in run.happenings) == 4
