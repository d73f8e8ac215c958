"""Measures of messages to many members each: what a delivery costs, beside the same through the floor."""

from folkmoot.bench.run import Run, fanned_out, series_of
from folkmoot.bench.stage import NAP_S, Stage
from folkmoot.bench.window import per_commit, refusals_of, times_of


def floor_alone(stage: Stage) -> Run:
    """The floor, and nothing beside it."""
    window = stage.floor()
    refusals = refusals_of(window)
    figures = window.conditions()
    if not refusals:
        figures |= fanned_out(window)
    return Run(figures=figures, series=series_of("floor", window), refusals=refusals)


def fanout(stage: Stage) -> Run:
    """Durable messages, between two runs of the floor."""
    before = stage.floor()
    with stage.server() as server, stage.up(stage.job(server, traffic="sends", nap_s=NAP_S)) as fleet:
        window = stage.watch(server, fleet)
        rss_bytes = server.usage().rss_bytes
    after = stage.floor()
    refusals = [f"floor before: {why}" for why in refusals_of(before)]
    refusals += refusals_of(window)
    refusals += [f"floor after: {why}" for why in refusals_of(after)]
    run = Run(figures=window.conditions(), refusals=refusals)
    run.series = series_of("server", window) | series_of("floor", before)
    if refusals:
        return run
    floors = [fanned_out(floor) for floor in (before, after)]
    costs = [floor["deliveries_per_cpu_s"] for floor in floors]
    mean = sum(costs) / len(costs)
    run.figures |= fanned_out(window) | times_of("answer", window.tally.answers)
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
