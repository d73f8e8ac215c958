"""What every measure stands on: a folder of its own, a server on its core, and the load on the others."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.bench.clusters import ClusterServer
from folkmoot.bench.fleet import Fleet
from folkmoot.bench.floor import Floor, build
from folkmoot.bench.groups import create_groups
from folkmoot.bench.jobs import Job
from folkmoot.bench.peers import Peer
from folkmoot.bench.plan import Plan
from folkmoot.bench.server import Server
from folkmoot.bench.window import Window, watch
from folkmoot.bench.workers import Workers

SOURCES: Final = 8
"""Addresses of loopback that the load comes from: one has ports for 28,000 sockets to one server."""

SOURCE_FIRST: Final = 11
NAP_S: Final = 0.000_5
"""How often the load looks at its sockets in fan-out: times are up to this much longer than they were."""

NAP_SHORT_S: Final = 0.000_1
"""The same where times are what is wanted: a tenth more of the load's own CPU."""


class Stage:
    """One run of `plan` in `folder`, which is empty and goes after it; `kept` is there for all runs.

    `say` is told how far it is. All that start something raise LoadFailed, ChildFailed, GroupsRefused, OSError.
    """

    def __init__(self, plan: Plan, folder: Path, kept: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.folder = folder
        self.kept = kept
        self.say = say

    def floor(self, *, traffic: str = "sends", under_way: int = 1) -> Window:
        """The floor under the plan's load. Raises NoCompiler."""
        plan = self.plan
        floor = Floor(build(self.folder), cores=[plan.core_server])
        try:
            floor.wait_ready()
            ids = self.plain_ids()
            job = self.job(floor, traffic=traffic, under_way=under_way, ids=ids, dialect="floor", nap_s=NAP_S)
            with self.up(job) as fleet:
                self.say(f"the floor, {plan.warm_s + plan.seconds:.0f} s")
                return watch(floor, fleet, self.folder, warm_s=plan.warm_s, seconds=plan.seconds)
        finally:
            floor.stop()

    @contextmanager
    def server(self) -> Iterator[Server]:
        """A server that is ready, with the plan's settings: one process, or workers."""
        server = self.start()
        try:
            server.wait_ready()
            yield server
        finally:
            server.stop()

    @contextmanager
    def cluster(self) -> Iterator[ClusterServer]:
        """A whole cluster that is ready, with the plan's settings."""
        server = ClusterServer(self.folder, settings=self.settings())
        try:
            server.wait_ready()
            yield server
        finally:
            server.stop()

    def start(self, *, port: int = 0) -> Server:
        """The same, started only: whoever starts it waits for it, and stops it."""
        plan, given = self.plan, self.settings()
        if plan.workers:
            of_load = cores_of_load(plan)
            cores = [core for core in range(os.cpu_count() or 1) if core not in of_load] or [plan.core_server]
            return Workers(self.folder, gateways=plan.workers, cores=cores, settings=given)
        return Server(self.folder, cores=[plan.core_server], settings=given, port=port)

    @contextmanager
    def up(self, job: Job) -> Iterator[Fleet]:
        """The load's processes, all of their sockets live."""
        with Fleet(job, cores_of_load(self.plan), self.folder) as fleet:
            began_s = time.monotonic()
            sockets = fleet.wait_connected()
            self.say(f"{sockets:,} sockets came up in {time.monotonic() - began_s:.1f} s")
            yield fleet

    def job(self, at: Server | ClusterServer | Floor | Peer, *, ids: list[str] | None = None, **what: object) -> Job:
        """The plan as a job; the groups are made through the protocol where no `ids` are given."""
        plan, secret = self.plan, ""
        if isinstance(at, Server | ClusterServer):
            secret = at.secret
            if ids is None:
                ids = create_groups(at.host, at.port, secret, count=plan.groups, members=plan.members)
        given: Mapping[str, object] = {
            "host": at.host,
            "port": at.port,
            "secret": secret,
            "sources": [f"127.0.0.{SOURCE_FIRST + n}" for n in range(SOURCES)],
            "groups": ids or [],
            "members": plan.members,
            "rate_per_s": plan.rate_per_s,
            "in_turn": plan.in_turn,
            "text_bytes": plan.text_bytes,
            "page_entries": plan.page_entries,
            "log_entries": plan.log_entries,
            "back_s_max": plan.back_s_max,
            "acks_per_s": plan.acks_per_s if isinstance(at, Server | ClusterServer) else 0.0,
        }
        return msgspec.convert({**given, **what}, Job)

    def plain_ids(self) -> list[str]:
        """Ids of groups for who makes a group of any id that is named."""
        return [f"g{number:024d}" for number in range(self.plan.groups)]

    def settings(self) -> dict[str, object]:
        """Of the server: room for the sockets, and the plan's own."""
        return {"connections_max": max(15_000, self.plan.sockets + 1_000), **self.plan.settings}

    def watch(
        self,
        server: Server | ClusterServer | Floor | Peer,
        fleet: Fleet,
        *,
        muted: int = 0,
        counts: Callable[[], dict[str, float]] | None = None,
    ) -> Window:
        """The fleet's traffic, and what it costs the server; `muted` sockets of each group do not read.

        `counts`: what is counted, if not what the server says.
        """
        plan = self.plan
        self.say(f"the server, {plan.warm_s + plan.seconds:.0f} s")
        if counts is None:
            counts = server.counts if isinstance(server, Server) else dict[str, float]
        return watch(server, fleet, self.folder, warm_s=plan.warm_s, seconds=plan.seconds, counts=counts, muted=muted)

    def part(self, name: str, **changes: object) -> "Stage":
        """The same with some of the plan changed, in a folder of its own: one step of several in a run."""
        folder = self.folder / name
        folder.mkdir()
        plan = msgspec.convert({**msgspec.structs.asdict(self.plan), **changes}, Plan)
        return Stage(plan, folder, self.kept, self.say)


def cores_of_load(plan: Plan) -> list[int]:
    """Where the load runs: as the plan says, else on every core but the server's, else on the only one there is."""
    if plan.cores_load:
        return list(plan.cores_load)
    usable = sorted(os.sched_getaffinity(0))
    if plan.cluster:
        return usable
    return [core for core in usable if core != plan.core_server] or usable
