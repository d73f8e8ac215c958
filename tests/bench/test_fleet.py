"""Load processes work as one, and what stops one of them is told."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from folkmoot.bench.fleet import Fleet, LoadFailed
from folkmoot.bench.groups import create_groups
from folkmoot.bench.jobs import Job, Tally
from folkmoot.testing.served import Served, served


def job_at(server: Served, ids: list[str]) -> Job:
    given = {
        "host": "127.0.0.1", "port": server.port, "secret": (server.data_dir / "secret.key").read_text(),
        "sources": ["127.0.0.1"], "groups": ids, "members": 2, "traffic": "sends", "rate_per_s": 30.0,
    }  # fmt: skip
    return msgspec.convert(given, Job)


def test_two_processes_share_the_groups(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    opened: list[list[float]] = []

    def worked(job: Job) -> Tally:
        with Fleet(job, [core, core], tmp_path) as fleet:
            assert fleet.wait_connected() == 6

            def look() -> None:
                opened.append([usage.cpu_s for usage in fleet.usages()])

            return fleet.measure(warm_s=0.2, seconds=0.8, on_open=look, on_close=look)

    async def body() -> None:
        async with served(tmp_path) as server:
            secret = (tmp_path / "secret.key").read_text()
            ids = await asyncio.to_thread(create_groups, "127.0.0.1", server.port, secret, count=3, members=2)
            tally = await asyncio.to_thread(worked, job_at(server, ids))
            assert tally.sent == 30
            assert tally.delivered == tally.expected == 60
            assert [len(usages) for usages in opened] == [2, 2]

    asyncio.run(body())


def test_a_load_that_cannot_come_up_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with served(tmp_path) as server:
            job = msgspec.structs.replace(job_at(server, ["g"]), secret="z" * 40)

            def up() -> int:
                with Fleet(job, [max(os.sched_getaffinity(0))], tmp_path) as fleet:
                    return fleet.wait_connected()

            with pytest.raises(LoadFailed, match="token_invalid"):
                await asyncio.to_thread(up)

    asyncio.run(body())
