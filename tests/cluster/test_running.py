"""A cluster on this machine: up in order, struck, found again by its folder, and down to the last process."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from folkmoot.cluster.plan import Shape, ShapeImpossible
from folkmoot.cluster.process import Process, identity_of
from folkmoot.cluster.running import STATE_FILE, Cluster, ClusterUnknown, draw_ports

SMALL = Shape(cassandra_nodes=0, nats=1, gateways=1, routers=1, deliveries=1)


async def states(cluster: Cluster) -> dict[str, str]:
    return {one.name: one.state for one in await cluster.status()}


def with_cluster(tmp_path: Path, check: Callable[[Cluster], Coroutine[None, None, None]], *, tied: bool = True) -> None:
    async def run() -> None:
        cluster = await Cluster.planned(tmp_path / "cluster", SMALL, tied=tied)
        try:
            await cluster.up()
            await check(cluster)
        finally:
            await cluster.down()

    asyncio.run(run())


def test_all_are_ready_and_then_all_are_gone(tmp_path: Path) -> None:
    pids: list[int] = []

    async def check(cluster: Cluster) -> None:
        found = await cluster.status()
        assert [(one.name, one.state) for one in found] == [
            ("nats-1", "ready"), ("router-1", "ready"), ("delivery-1", "ready"), ("gateway-1", "ready"),
        ]  # fmt: skip
        pids.extend(one.pid for one in found if one.pid is not None)
        assert await cluster.down() == ["gateway-1", "delivery-1", "router-1", "nats-1"]

    with_cluster(tmp_path, check)
    assert [identity_of(pid) for pid in pids] == [None] * 4


def test_one_that_is_killed_or_paused_is_seen_and_comes_back_where_it_was(tmp_path: Path) -> None:
    async def check(cluster: Cluster) -> None:
        urls = cluster.gateway_urls
        assert await cluster.kill("gateway-1")
        assert not await cluster.kill("gateway-1")
        assert cluster.pause("delivery-1")
        seen = await states(cluster)
        assert (seen["gateway-1"], seen["delivery-1"], seen["router-1"]) == ("gone", "paused", "ready")
        assert cluster.resume("delivery-1")
        started: list[str] = []
        await cluster.up(lambda part: started.append(part.name))
        assert started == ["gateway-1"]
        assert set((await states(cluster)).values()) == {"ready"}
        assert cluster.gateway_urls == urls

    with_cluster(tmp_path, check)


def test_it_is_found_again_by_its_folder_and_ended_from_there(tmp_path: Path) -> None:
    async def check(cluster: Cluster) -> None:
        again = await Cluster.found(cluster.folder)
        assert await states(again) == await states(cluster)
        assert len(await again.down()) == 4
        assert set((await states(cluster)).values()) == {"gone"}

    with_cluster(tmp_path, check, tied=False)


def test_a_process_that_has_the_pid_of_one_of_its_own_is_left_alone(tmp_path: Path) -> None:
    async def run() -> None:
        cluster = await Cluster.planned(tmp_path, SMALL, tied=True)
        await cluster.start("nats-1")
        await cluster.kill("nats-1")
        other = Process.spawn(["sleep", "600"], tmp_path / "other.log", tied=True)
        state = tmp_path / STATE_FILE
        gone = str(cluster._processes["nats-1"].identity.pid)
        state.write_text(state.read_text().replace(gone, str(other.identity.pid)))
        again = await Cluster.found(tmp_path)
        assert (await states(again))["nats-1"] == "gone"
        assert await again.down() == []
        assert other.is_running
        await other.kill()

    asyncio.run(run())


def test_a_folder_without_a_cluster_and_a_shape_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnknown, match="cluster up"):
        asyncio.run(Cluster.found(tmp_path))
    with pytest.raises(ShapeImpossible, match="one router"):
        asyncio.run(Cluster.planned(tmp_path, Shape(cassandra_nodes=0), tied=True))
    (tmp_path / STATE_FILE).write_text("{")
    with pytest.raises(ClusterUnknown, match="cannot be read"):
        asyncio.run(Cluster.found(tmp_path))


def test_no_port_is_drawn_twice_and_gateways_begin_where_they_are_told() -> None:
    ports = draw_ports(Shape(), 8420)
    assert (ports.ours["gateway-1"], ports.ours["gateway-2"]) == (8420, 8421)
    drawn = [ports.cql, ports.storage, *ports.nats, *ports.nats_routes, *ports.ours.values()]
    assert len(set(drawn)) == len(drawn)


def test_what_is_set_for_the_one_who_types_does_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLKMOOT_TOKEN_LIFETIME_S", "no number")

    async def check(cluster: Cluster) -> None:
        assert set((await states(cluster)).values()) == {"ready"}
        assert os.environ["FOLKMOOT_TOKEN_LIFETIME_S"] == "no number"

    with_cluster(tmp_path, check)
