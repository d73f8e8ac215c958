"""Measures of many connections: the memory of those that only are there."""

import time
from typing import Final

from folkmoot.bench.run import Run
from folkmoot.bench.stage import Stage
from folkmoot.bench.window import refusals_of

SETTLE_S: Final = 2.0
"""After the sockets are up and before their memory is read: what connecting left to do is done by then."""


def idle(stage: Stage) -> Run:
    """Connections that follow a group in which nothing happens."""
    plan = stage.plan
    with stage.server() as server:
        job = stage.job(server, traffic="none")
        time.sleep(SETTLE_S)
        empty = server.usage()
        with stage.up(job) as fleet:
            connected = server.usage()
            time.sleep(SETTLE_S)
            window = stage.watch(server, fleet)
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
