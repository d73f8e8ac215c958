"""Two routers that own the same partitions for the whole of a run: they contend for each send, and nothing is wrong."""

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from folkmoot.bench.server import counts_of
from folkmoot.checker.child import ChildServer
from folkmoot.checker.crowd import Crowd, CrowdSettings
from folkmoot.checker.history import Verdict
from folkmoot.checker.logs import verify_store
from folkmoot.client import Client
from folkmoot.cluster.plan import Shape
from folkmoot.cluster.running import Cluster
from folkmoot.gateway.identity import mint, secret_of
from folkmoot.ports.clock import SystemClock

CROWD = CrowdSettings(clients=12, groups=4, members=6, sends_per_s=40.0, comings_per_s=2.0)
TALK_S = 12.0
SETTLE_S_MAX = 60.0
SETTINGS = ("routes_all=true", "drain_spread_s=0", "metrics_open=true")


async def talked(urls: Sequence[str], data_dir: Path) -> Verdict:
    """The verdict on a crowd that talked through these doors, and that everybody has everything."""
    secret = secret_of(data_dir)

    def client(user: str) -> Client:
        token = mint(secret, user, lifetime_s=3_600, now_ms=SystemClock().wall_ms())
        url = urls[random.Random(user).randrange(len(urls))]
        return Client(url, token, fresh="join", reconnect_s_max=0.4, connect_s_max=60.0)

    crowd = Crowd(client, CROWD, random.Random(1))
    try:
        await crowd.open("two")
        talk = asyncio.create_task(crowd.talk())
        await asyncio.wait({talk}, timeout=TALK_S)
        assert not talk.done(), talk
        talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)
        assert await crowd.settle(SETTLE_S_MAX) == []
        return crowd.judge()
    finally:
        await crowd.close()


async def counted(url: str) -> dict[str, float]:
    async with httpx.AsyncClient(trust_env=False) as http:
        return counts_of((await http.get(f"{url}/metrics")).text)


@pytest.mark.timeout(200)
def test_on_cassandra_two_router_processes_contend_and_nothing_is_wrong(cassandra_program: Path) -> None:
    async def run() -> None:
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix="folkmoot-two-", dir=in_memory))
        shape = Shape(nats=1, gateways=2, routers=2, deliveries=1, set=SETTINGS)
        cluster = await Cluster.planned(folder, shape, tied=True)
        try:
            await cluster.up()
            verdict = await talked(cluster.gateway_urls, cluster.data_dir)
            routers = [await counted(cluster.parts[name].url) for name in cluster.of_kind("router")]
        finally:
            await asyncio.gather(*(cluster.kill(name) for name in cluster.parts))
            cluster.remove_data()
        assert verdict.lines() == []
        assert verdict.acknowledged > 100
        assert all(one["folkmoot_router_appended_total"] > 20 for one in routers)
        # Each hears each send; whoever comes second is told so by the store.
        assert sum(one["folkmoot_router_conflicts_total"] for one in routers) > verdict.acknowledged / 4

    asyncio.run(run())


@pytest.mark.timeout(120)
def test_on_one_file_two_routers_contend_and_nothing_is_wrong(tmp_path: Path) -> None:
    async def run() -> None:
        program = str(Path(__file__).with_name("two_routers_server.py"))
        server = ChildServer(tmp_path / "data", command=[sys.executable, program])
        await server.start()
        try:
            verdict = await talked([server.url], tmp_path / "data")
            both = await counted(server.url)
        finally:
            await server.stop()
        assert verdict.lines() == []
        assert verdict.acknowledged > 100
        assert both["folkmoot_router_conflicts_total"] > verdict.acknowledged / 4
        assert both["folkmoot_router_audited_total"] > 20
        logs = await verify_store(tmp_path / "data" / "folkmoot.db", [], lambda done, total: None)
        assert (logs.groups, logs.broken) == (CROWD.groups, [])

    asyncio.run(run())
