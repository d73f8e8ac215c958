"""Measures of sends: how fast they become durable, on one machine's file and on a cluster."""

from typing import Final

from folkmoot.bench.clusters import PARTS, ClusterServer
from folkmoot.bench.jobs import Job
from folkmoot.bench.run import Run, series_of
from folkmoot.bench.server import Server
from folkmoot.bench.stage import Stage
from folkmoot.bench.window import Window, curve_of, per_commit, refusals_of, times_of

MICRO: Final = 1_000_000
CPU: Final = "cpu_s "
"""What a part's CPU seconds are counted under, before its name."""

AT_APPEND: Final = ("router", "driver", "cassandra")
"""The parts whose work is by appends: one of several sends is hardly more of it than one of one."""


def sends(stage: Stage) -> Run:
    """Messages, so many unanswered a group, at a rate or as fast as answers come."""
    if stage.plan.cluster:
        return _on_cluster(stage)
    with stage.server() as server, stage.up(_job(stage, server)) as fleet:
        window = stage.watch(server, fleet)
    run = _run(window)
    if not run.refusals:
        run.figures |= {
            "entries_per_commit": per_commit(window.counted),
            "commits_per_s": window.counted.get("folkmoot_store_commits_total", 0.0) / window.seconds,
        }
    return run


def _on_cluster(stage: Stage) -> Run:
    with stage.cluster() as server, stage.up(_job(stage, server)) as fleet:

        def counts() -> dict[str, float]:
            return server.counts() | {CPU + part: spent_s for part, spent_s in server.cpu_s().items()}

        window = stage.watch(server, fleet, counts=counts)
    run = _run(window, shares_cores=True)
    if not run.refusals:
        run.figures |= costs_of(window)
    return run


def costs_of(window: Window) -> dict[str, float]:
    """What a send and an append, one conditional write, cost each part of a cluster, in microseconds of CPU."""
    counted = window.counted
    appends = max(1.0, counted.get("folkmoot_router_batches_total", 0.0))
    entries = max(1.0, counted.get("folkmoot_router_appended_total", 0.0))
    spent_us = {part: counted[CPU + part] * MICRO for part in PARTS}
    figures = {f"{part}_us_per_append": spent_us.pop(part) / appends for part in AT_APPEND}
    figures |= {f"{part}_us_per_send": spent / entries for part, spent in spent_us.items()}
    return figures | {
        "entries_per_append": entries / appends,
        "appends_per_s": appends / window.seconds,
        "conflicts_per_s": counted.get("folkmoot_router_conflicts_total", 0.0) / window.seconds,
    }


def _job(stage: Stage, server: Server | ClusterServer) -> Job:
    return stage.job(server, traffic="sends", unanswered_max=stage.plan.unanswered)


def _run(window: Window, *, shares_cores: bool = False) -> Run:
    refusals = refusals_of(window, shares_cores=shares_cores)
    run = Run(figures=window.conditions(), refusals=refusals, series=series_of("server", window))
    if not run.refusals:
        taken = window.tally.accepted_in_window
        run.figures |= {"sends_per_s": taken / window.seconds, "sends_per_cpu_s": taken / window.cpu_s}
        run.figures |= times_of("answer", window.tally.answers) | times_of("latency", window.tally.deliveries)
        run.series["answer"] = curve_of(window.tally.answers)
    return run
