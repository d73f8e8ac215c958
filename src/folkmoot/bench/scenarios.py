"""The measures themselves: what is started, in which order, and which figures come out."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.bench.fleet import Fleet
from folkmoot.bench.floor import Floor, build
from folkmoot.bench.groups import create_groups
from folkmoot.bench.jobs import Job
from folkmoot.bench.plan import Plan
from folkmoot.bench.seed import seed_store
from folkmoot.bench.server import Server
from folkmoot.bench.window import Window, by_second, curve_of, per_commit, refusals_of, times_of, watch

SOURCES: Final = 8
"""Addresses of loopback that the load comes from: one has ports for 28,000 sockets to one server."""

SOURCE_FIRST: Final = 11
NAP_S: Final = 0.000_5
"""How often the load looks at its sockets in fan-out: times are up to this much longer than they were."""

SETTLE_S: Final = 2.0
"""After the sockets are up and before their memory is read: what connecting left to do is done by then."""


class Run(msgspec.Struct, kw_only=True):
    """One run: figures by name, points of plots by name; where there are `refusals`, no figures but conditions."""

    figures: dict[str, float] = msgspec.field(default_factory=dict)
    series: dict[str, list[tuple[float, float]]] = msgspec.field(default_factory=dict)
    refusals: list[str] = msgspec.field(default_factory=list)


class Bench:
    """Runs plans in a folder of its own in `parent`, which has to be on the disk that is meant.

    `say` is told how far it is. Use as a context manager: the folder goes with it.
    """

    def __init__(self, parent: Path, say: Callable[[str], None]) -> None:
        self._whole = tempfile.TemporaryDirectory(prefix="folkmoot-bench-", dir=parent)
        self._folder = Path(self._whole.name)
        self._say = say

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._whole.cleanup()

    def run(self, plan: Plan) -> Run:
        """One run of the plan. Raises NoCompiler, LoadFailed, ChildFailed, GroupsRefused, OSError."""
        runs: dict[str, Callable[[Plan, Path], Run]] = {
            "floor": self._floor_alone,
            "fanout": self._fanout,
            "idle": self._idle,
            "sends": self._sends,
            "history": self._history,
            "start": self._start,
        }
        with tempfile.TemporaryDirectory(prefix="run-", dir=self._folder) as folder:
            return runs[plan.scenario](plan, Path(folder))

    def _floor_alone(self, plan: Plan, folder: Path) -> Run:
        window = self._floor(plan, folder)
        refusals = refusals_of(window)
        figures = window.conditions()
        if not refusals:
            figures |= _fanned_out(window)
        return Run(figures=figures, series=_series("floor", window), refusals=refusals)

    def _fanout(self, plan: Plan, folder: Path) -> Run:
        before = self._floor(plan, folder)
        with self._server(plan, folder) as server, self._fleet(plan, folder, server) as fleet:
            window = self._watch(plan, folder, server, fleet)
            rss_bytes = server.usage().rss_bytes
        after = self._floor(plan, folder)
        refusals = [f"floor before: {why}" for why in refusals_of(before)]
        refusals += refusals_of(window)
        refusals += [f"floor after: {why}" for why in refusals_of(after)]
        run = Run(figures=window.conditions(), refusals=refusals)
        run.series = _series("server", window) | _series("floor", before)
        if refusals:
            return run
        floors = [_fanned_out(floor) for floor in (before, after)]
        costs = [floor["deliveries_per_cpu_s"] for floor in floors]
        mean = sum(costs) / len(costs)
        run.figures |= _fanned_out(window) | times_of("answer", window.tally.answers)
        run.figures |= {
            "floor_deliveries_per_cpu_s": mean,
            "floor_spread": (max(costs) - min(costs)) / mean,
            "floor_latency_ms_p50": sum(floor["latency_ms_p50"] for floor in floors) / len(floors),
            "floor_latency_ms_p99": sum(floor["latency_ms_p99"] for floor in floors) / len(floors),
            "ratio_to_floor": run.figures["deliveries_per_cpu_s"] / mean,
            "entries_per_commit": per_commit(window.counted),
            "server_rss_bytes": float(rss_bytes),
        }
        return run

    def _idle(self, plan: Plan, folder: Path) -> Run:
        with self._server(plan, folder) as server:
            job = self._job(plan, server, traffic="none")
            time.sleep(SETTLE_S)
            empty = server.usage()
            with self._up(plan, folder, job) as fleet:
                connected = server.usage()
                time.sleep(SETTLE_S)
                window = self._watch(plan, folder, server, fleet)
        sockets = plan.groups * plan.members
        run = Run(figures=window.conditions(), refusals=refusals_of(window))
        if not run.refusals:
            run.figures |= {
                "rss_bytes_per_socket": (window.after.rss_bytes - empty.rss_bytes) / sockets,
                "server_rss_bytes": float(window.after.rss_bytes),
                "empty_rss_bytes": float(empty.rss_bytes),
                "connect_cpu_ms_per_socket": (connected.cpu_s - empty.cpu_s) * 1_000 / sockets,
            }
        return run

    def _sends(self, plan: Plan, folder: Path) -> Run:
        with self._server(plan, folder) as server, self._fleet(plan, folder, server, one_at_a_time=True) as fleet:
            window = self._watch(plan, folder, server, fleet)
        run = Run(figures=window.conditions(), refusals=refusals_of(window), series=_series("server", window))
        if not run.refusals:
            sends = window.tally.accepted_in_window
            run.figures |= {
                "sends_per_s": sends / window.seconds,
                "sends_per_cpu_s": sends / window.cpu_s,
                "entries_per_commit": per_commit(window.counted),
                "commits_per_s": window.counted.get("folkmoot_store_commits_total", 0.0) / window.seconds,
            }
            run.figures |= times_of("answer", window.tally.answers) | times_of("latency", window.tally.deliveries)
            run.series["answer"] = curve_of(window.tally.answers)
        return run

    def _history(self, plan: Plan, folder: Path) -> Run:
        self._say(f"filling {plan.groups} logs with {plan.log_entries:,} entries each")
        ids = seed_store(
            folder,
            groups=plan.groups,
            members=plan.members,
            messages=plan.log_entries - 1,
            text_bytes=plan.text_bytes,
        )
        with self._server(plan, folder) as server:
            job = self._job(plan, server, traffic="reads" if plan.door == "socket" else "rest_reads", ids=ids)
            with self._up(plan, folder, job) as fleet:
                window = self._watch(plan, folder, server, fleet)
        tally = window.tally
        run = Run(figures=window.conditions(), refusals=refusals_of(window))
        run.series = {"forwards": curve_of(tally.forwards), "backwards": curve_of(tally.backwards)}
        if tally.entries_read != tally.accepted * plan.page_entries:
            run.refusals.append(f"{tally.entries_read} entries came in {tally.accepted} pages of {plan.page_entries}")
        if not run.refusals:
            run.figures |= {
                "pages_per_s": tally.in_window / window.seconds,
                "pages_per_cpu_s": tally.in_window / window.cpu_s,
                "page_bytes": float(tally.frame_bytes),
            }
            run.figures |= times_of("forwards", tally.forwards) | times_of("backwards", tally.backwards)
        return run

    def _start(self, plan: Plan, folder: Path) -> Run:
        # Filling it takes longer than all starts from it: one store for all runs.
        kept = self._folder / f"start-{plan.groups_stored}"
        if not kept.exists():
            self._say(f"filling a store with {plan.groups_stored:,} groups")
            data_dir = folder / "data"
            seed_store(data_dir, groups=plan.groups_stored, members=plan.members, messages=1)
            data_dir.rename(kept)
        forget_cached(kept)
        server = Server(kept, cores=[plan.core_server], settings=plan.settings)
        try:
            ready_s = server.wait_ready()
            usage = server.usage()
        finally:
            server.stop()
        size_bytes = sum(path.stat().st_size for path in kept.iterdir())
        return Run(
            figures={
                "ready_s": ready_s,
                "ready_cpu_s": usage.cpu_s,
                "server_rss_bytes": float(usage.rss_bytes),
                "store_bytes": float(size_bytes),
            }
        )

    def _floor(self, plan: Plan, folder: Path) -> Window:
        floor = Floor(build(folder), cores=[plan.core_server])
        try:
            floor.wait_ready()
            ids = [f"g{number:024d}" for number in range(plan.groups)]
            with self._up(plan, folder, self._job(plan, floor, traffic="sends", ids=ids, dialect="floor")) as fleet:
                self._say(f"the floor, {plan.warm_s + plan.seconds:.0f} s")
                return watch(floor, fleet, folder, warm_s=plan.warm_s, seconds=plan.seconds)
        finally:
            floor.stop()

    @contextmanager
    def _server(self, plan: Plan, folder: Path) -> Iterator[Server]:
        settings: dict[str, object] = {"connections_max": max(15_000, plan.sockets + 1_000), **plan.settings}
        server = Server(folder, cores=[plan.core_server], settings=settings)
        try:
            server.wait_ready()
            yield server
        finally:
            server.stop()

    @contextmanager
    def _fleet(self, plan: Plan, folder: Path, server: Server, *, one_at_a_time: bool = False) -> Iterator[Fleet]:
        """Sockets that send: in groups made through the protocol."""
        with self._up(plan, folder, self._job(plan, server, traffic="sends", one_at_a_time=one_at_a_time)) as fleet:
            yield fleet

    @contextmanager
    def _up(self, plan: Plan, folder: Path, job: Job) -> Iterator[Fleet]:
        with Fleet(job, cores_of_load(plan), folder) as fleet:
            began_s = time.monotonic()
            sockets = fleet.wait_connected()
            self._say(f"{sockets:,} sockets came up in {time.monotonic() - began_s:.1f} s")
            yield fleet

    def _job(self, plan: Plan, at: Server | Floor, *, ids: list[str] | None = None, **what: object) -> Job:
        secret = ""
        if isinstance(at, Server):
            secret = at.secret
            if ids is None:
                ids = create_groups(at.host, at.port, secret, count=plan.groups, members=plan.members)
        given: dict[str, object] = {
            "host": at.host,
            "port": at.port,
            "secret": secret,
            "sources": [f"127.0.0.{SOURCE_FIRST + n}" for n in range(SOURCES)],
            "groups": ids or [],
            "members": plan.members,
            "rate_per_s": plan.rate_per_s,
            "text_bytes": plan.text_bytes,
            "page_entries": plan.page_entries,
            "log_entries": plan.log_entries,
            "acks_per_s": 0.0 if isinstance(at, Floor) else plan.acks_per_s,
            "nap_s": NAP_S if plan.scenario in ("floor", "fanout") else 0.0,
        }
        return msgspec.convert(given | what, Job)

    def _watch(self, plan: Plan, folder: Path, server: Server, fleet: Fleet) -> Window:
        self._say(f"the server, {plan.warm_s + plan.seconds:.0f} s")
        return watch(server, fleet, folder, warm_s=plan.warm_s, seconds=plan.seconds, counts=server.counts)


def cores_of_load(plan: Plan) -> list[int]:
    """Where the load runs: as the plan says, else on every core but the server's, else on the only one there is."""
    if plan.cores_load:
        return list(plan.cores_load)
    usable = sorted(os.sched_getaffinity(0))
    return [core for core in usable if core != plan.core_server] or usable


def forget_cached(folder: Path) -> None:
    """Have the system forget what it holds of the files in memory, so that a start reads them from the disk."""
    for path in folder.iterdir():
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)


def _fanned_out(window: Window) -> dict[str, float]:
    tally = window.tally
    return {
        "deliveries_per_cpu_s": tally.in_window / window.cpu_s,
        "deliveries_per_s": tally.in_window / window.seconds,
        "deliveries": float(tally.delivered),
        "messages": float(tally.sent),
        "frame_bytes": float(tally.frame_bytes),
        **times_of("latency", tally.deliveries),
    }


def _series(whose: str, window: Window) -> dict[str, list[tuple[float, float]]]:
    tally = window.tally
    return {f"{whose}_latency": curve_of(tally.deliveries), f"{whose}_by_second": by_second(tally)}
