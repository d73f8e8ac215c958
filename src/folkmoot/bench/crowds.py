"""Measures of many connections: the memory of those that only are there, and how soon all of a crowd are."""

import time
from typing import Final

from folkmoot.bench.floor import Floor
from folkmoot.bench.groups import create_groups
from folkmoot.bench.jobs import Job
from folkmoot.bench.peers import Peer
from folkmoot.bench.run import Run
from folkmoot.bench.server import Server
from folkmoot.bench.stage import Stage
from folkmoot.bench.usage import Usage
from folkmoot.bench.window import LOAD_BUSY_SHARE_MAX, Window, by_second, curve_of, refusals_of, watch

SETTLE_S: Final = 2.0
"""After the sockets are up and before their memory is read: what connecting left to do is done by then."""


def idle(stage: Stage) -> Run:
    """Connections that follow a group in which nothing happens."""
    with stage.server() as server:
        return idled(stage, server, stage.job(server, traffic="none"))


def idled(stage: Stage, server: Server | Floor | Peer, job: Job) -> Run:
    """The same on a server that is ready, whoever's it is."""
    time.sleep(SETTLE_S)
    empty = server.usage()
    with stage.up(job) as fleet:
        connected = server.usage()
        time.sleep(SETTLE_S)
        window = stage.watch(server, fleet)
    sockets = stage.plan.groups * stage.plan.members
    run = Run(figures=window.conditions(), refusals=refusals_of(window))
    if not run.refusals:
        run.figures |= {
            "rss_bytes_per_socket": (window.after.rss_bytes - empty.rss_bytes) / sockets,
            "server_rss_bytes": float(window.after.rss_bytes),
            "empty_rss_bytes": float(empty.rss_bytes),
            "connect_cpu_ms_per_socket": (connected.cpu_s - empty.cpu_s) * 1_000 / sockets,
        }
    return run


def storm(stage: Stage) -> Run:
    """The server is killed under all of them, and started anew: until each is back and has all that it missed."""
    restart = _Restart(stage)
    try:
        job = stage.job(restart.server, traffic="storm")
        with stage.up(job) as fleet:
            plan = stage.plan
            stage.say("killing the server")
            window = watch(
                restart, fleet, stage.folder, warm_s=plan.warm_s, seconds=plan.seconds, counts=restart.counts
            )
    finally:
        restart.server.stop()
    run = _crowded(window)
    if not run.refusals:
        run.figures |= {
            "restart_s": restart.ready_s,
            "connect_cpu_ms_per_socket": window.cpu_s * 1_000 / (stage.plan.groups * stage.plan.members),
        }
    return run


def joins(stage: Stage) -> Run:
    """All but one of each group join it at once: until each is a member and follows it live."""
    plan = stage.plan
    with stage.server() as server:
        ids = create_groups(
            server.host, server.port, server.secret, count=plan.groups, members=plan.members, alone=True
        )
        with stage.up(stage.job(server, traffic="joins", ids=ids)) as fleet:
            window = stage.watch(server, fleet)
    run = _crowded(window)
    if not run.refusals:
        run.figures["join_cpu_ms"] = window.cpu_s * 1_000 / (plan.groups * (plan.members - 1))
    return run


def _crowded(window: Window) -> Run:
    """How long a crowd took. What it was judged by is the load's own word, since most of the window comes after it."""
    tally = window.tally
    run = Run(figures=window.conditions(), refusals=refusals_of(window))
    run.series = {"until_there": curve_of(tally.there), "there_by_second": by_second(tally)}
    if tally.busy_share > LOAD_BUSY_SHARE_MAX:
        run.refusals.append(f"the load was saturated: it ran {tally.busy_share:.0%} of the time until all were there")
    if not run.refusals:
        run.figures |= {
            "there_s_p50": tally.there.quantile_ms(0.5) / 1_000,
            "there_s_all": tally.there.quantile_ms(1.0) / 1_000,
            "load_busy_share": tally.busy_share,
            "server_rss_bytes": float(window.after.rss_bytes),
        }
    return run


class _Restart:
    """A server that is killed once its load is under way, and started anew on the same port and store."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._struck = False
        self.server = stage.start()
        self.ready_s = 0.0
        try:
            self.server.wait_ready()
        except BaseException:
            self.server.stop()
            raise

    def usage(self) -> Usage:
        return self.server.usage()

    def counts(self) -> dict[str, float]:
        """At the first look, as the window opens, it is killed; then what the new one counts."""
        if not self._struck:
            self._struck = True
            began_s = time.monotonic()
            self.server.kill()
            self.server = self._stage.start(port=self.server.port)
            self.server.wait_ready()
            self.ready_s = time.monotonic() - began_s
        return self.server.counts()
