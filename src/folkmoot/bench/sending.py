"""Measures of sends: how fast they become durable."""

from folkmoot.bench.run import Run, series_of
from folkmoot.bench.stage import Stage
from folkmoot.bench.window import curve_of, per_commit, refusals_of, times_of


def sends(stage: Stage) -> Run:
    """Messages one a group at a time, at a rate or as fast as answers come."""
    with stage.server() as server, stage.up(stage.job(server, traffic="sends", one_at_a_time=True)) as fleet:
        window = stage.watch(server, fleet)
    run = Run(figures=window.conditions(), refusals=refusals_of(window), series=series_of("server", window))
    if not run.refusals:
        taken = window.tally.accepted_in_window
        run.figures |= {
            "sends_per_s": taken / window.seconds,
            "sends_per_cpu_s": taken / window.cpu_s,
            "entries_per_commit": per_commit(window.counted),
            "commits_per_s": window.counted.get("folkmoot_store_commits_total", 0.0) / window.seconds,
        }
        run.figures |= times_of("answer", window.tally.answers) | times_of("latency", window.tally.deliveries)
        run.series["answer"] = curve_of(window.tally.answers)
    return run
