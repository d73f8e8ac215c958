"""A server in use, watched from outside: its figures add up, and it is not ready while its store is away."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.node import lifecycle
from folkmoot.node.config import Settings
from folkmoot.ports.bus import Bus
from folkmoot.ports.clock import Clock
from folkmoot.testing.faulty_files import FaultyFiles
from folkmoot.testing.rude_client import Answer, RudeClient
from folkmoot.testing.served import Served, WireClient, served


async def got(server: Served, path: str) -> Answer:
    async with RudeClient.connect(server.port) as client:
        client.say(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return await client.answer()


async def figures(server: Served) -> dict[str, float]:
    """Every sample of /metrics, by its name and its labels' values."""
    answer = await got(server, "/metrics")
    samples = (s for family in text_string_to_metric_families(answer.body.decode()) for s in family.samples)
    return {" ".join([s.name, *s.labels.values()]): s.value for s in samples}


async def in_a_group(server: Served, members: int) -> tuple[str, list[WireClient]]:
    clients = [await server.client(f"user-{n}") for n in range(1, members + 1)]
    others = [f"user-{n}" for n in range(2, members + 1)]
    made = await clients[0].asked("group.created", {"name": "g", "members": others}, "make")
    for client in clients:
        client.say({"t": "resume", "others": True})
        await client.wait("recovered")
    return str(made["group"]), clients


def test_what_was_sent_and_delivered_is_counted_and_timed(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path, metrics_open=True) as server:
            group, clients = await in_a_group(server, 3)
            before = await figures(server)
            for n in range(5):
                await clients[0].asked("message", {"text": "hello"}, f"s{n}", group=group, join=1)
            for client in clients:
                await client.wait("entry", group=group, seq=6)
            after = await figures(server)
            grown = {name: value - before[name] for name, value in after.items() if name in before}
            assert grown["folkmoot_gateway_sends_total"] == 5
            assert grown["folkmoot_gateway_answers_total accepted"] == 5
            assert grown["folkmoot_gateway_deliveries_total"] == 15
            assert grown["folkmoot_router_appended_total"] == 5
            for name in ("gateway_accepted_seconds", "gateway_pushed_seconds", "router_append_seconds"):
                assert grown[f"folkmoot_{name}_count"] == grown[f"folkmoot_{name}_bucket +Inf"] == 5
                assert 0 <= grown[f"folkmoot_{name}_sum"] < 50
            assert 0 < grown["folkmoot_store_commits_total"] == grown["folkmoot_store_commit_seconds_count"]
            assert after["folkmoot_gateway_connections"] == 3
            for name in ("gateway_resets", "gateway_feeds_broken", "router_drift", "bus_lost", "store_full"):
                assert after[f"folkmoot_{name}_total"] == 0
            assert "hello" not in (await got(server, "/metrics")).body.decode()

    asyncio.run(run())


def test_it_is_not_ready_while_its_store_is_away_and_ready_again_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FaultyFiles()

    async def on_faulty_files(settings: Settings, clock: Clock, _: Bus) -> SqliteStore:
        path = Path(settings.data_dir) / "folkmoot.db"
        path.parent.mkdir(exist_ok=True)
        return await SqliteStore.open(path, clock=clock, vfs=files.name)

    monkeypatch.setattr(lifecycle, "open_store", on_faulty_files)

    async def run() -> None:
        async with served(tmp_path / "data", ask_again_s=0.2, asks_max=1, metrics_open=True) as server:
            group, (client,) = await in_a_group(server, 1)
            assert (await got(server, "/readyz")).json() == {"status": "ready"}
            files.syncs_fail = 10**9
            answer = await client.asked("message", {"text": "x"}, "s1", group=group, join=1)
            assert answer["t"] == "undecided"
            async with asyncio.timeout(10):
                while (answered := await got(server, "/readyz")).status == 200:
                    pass  # The store's last answer counts for a second.
            assert answered.status == 503
            assert answered.json() == {"status": "not ready", "why": "the store is away: the store is being opened"}
            assert (await got(server, "/healthz")).status == 200
            files.syncs_fail = 0
            async with asyncio.timeout(10):
                while (await got(server, "/readyz")).status != 200:
                    pass
            found = await client.asked("message", {"text": "x"}, "s1", group=group, join=1)
            assert (found["t"], found["seq"]) == ("accepted", 2)
            assert (await figures(server))["folkmoot_store_reopened_total"] >= 1

    asyncio.run(run())
