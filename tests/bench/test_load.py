"""A load process does its job over real sockets, counts what comes, and says what stops it."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from folkmoot.bench.groups import create_groups
from folkmoot.bench.jobs import Begin, Job, Tally
from folkmoot.bench.load import Load, LoadBroken
from folkmoot.testing.served import Served, served


def job_at(server: Served, ids: list[str], **what: object) -> Job:
    given: dict[str, object] = {
        "host": "127.0.0.1", "port": server.port, "secret": (server.data_dir / "secret.key").read_text(),
        "sources": ["127.0.0.1", "127.0.0.2"], "groups": ids, "members": 3,
    }  # fmt: skip
    return msgspec.convert(given | what, Job)


def worked(job: Job, seconds: float) -> Tally:
    load = Load(job)
    try:
        assert load.connect() == len(job.groups) * job.members
        return load.run(Begin(time.monotonic_ns() + 50_000_000, 0.1, seconds))
    finally:
        load.close()


@pytest.mark.parametrize("nap_s", [0.0, 0.002])
def test_all_that_was_sent_is_delivered_to_all(tmp_path: Path, nap_s: float) -> None:
    async def body() -> None:
        async with served(tmp_path) as server:
            secret = (tmp_path / "secret.key").read_text()
            ids = await asyncio.to_thread(create_groups, "127.0.0.1", server.port, secret, count=2, members=3)
            job = job_at(server, ids, traffic="sends", rate_per_s=40.0, acks_per_s=20.0, nap_s=nap_s)
            tally = await asyncio.to_thread(worked, job, 0.9)
            assert tally.sent == 40
            assert tally.accepted == 40
            assert (tally.expected, tally.delivered) == (120, 120)
            assert (tally.out_of_order, tally.lost, tally.failed) == (0, 0, {})
            assert tally.deliveries.count == 36 * 3
            assert tally.frame_bytes > 180

    asyncio.run(body())


def test_pings_are_answered(tmp_path: Path) -> None:
    async def body() -> None:
        # Two intervals in silence would end the connections.
        async with served(tmp_path, ping_interval_s=1.0) as server:
            secret = (tmp_path / "secret.key").read_text()
            ids = await asyncio.to_thread(create_groups, "127.0.0.1", server.port, secret, count=1, members=3)
            tally = await asyncio.to_thread(worked, job_at(server, ids), 3.4)
            assert tally.lost == 0

    asyncio.run(body())


def test_a_server_that_turns_it_away_breaks_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with served(tmp_path, connections_max=2) as server:
            secret = (tmp_path / "secret.key").read_text()
            ids = await asyncio.to_thread(create_groups, "127.0.0.1", server.port, secret, count=1, members=3)
            with pytest.raises(LoadBroken, match="too_many_connections"):
                await asyncio.to_thread(worked, job_at(server, ids), 0.1)

    asyncio.run(body())


def test_a_bad_token_breaks_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with served(tmp_path) as server:
            with pytest.raises(LoadBroken, match="token_invalid"):
                await asyncio.to_thread(worked, job_at(server, ["g"], secret="y" * 40), 0.1)

    asyncio.run(body())
