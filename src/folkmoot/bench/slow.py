"""One reader in each group that does not read: what it costs the others, and the memory it takes."""

from statistics import fmean
from typing import Final

from folkmoot.bench.run import Run, fanned_out, series_of
from folkmoot.bench.stage import NAP_S, Stage
from folkmoot.bench.window import Window, refusals_of

ROUNDS: Final = 2
"""Of one window in which everyone reads and one in which one of each group does not."""


def slow(stage: Stage) -> Run:
    """The same load in turn with everyone reading, and with the first member of each group not reading at all."""
    run, with_all, with_slow = Run(), list[Window](), list[Window]()
    with stage.server() as server:
        job = stage.job(server, traffic="sends", nap_s=NAP_S, narrow=1)
        with stage.up(job) as fleet:
            for _ in range(ROUNDS):
                with_all.append(stage.watch(server, fleet))
                with_slow.append(stage.watch(server, fleet, muted=1))
    for name, windows in (("everyone reads", with_all), ("one does not", with_slow)):
        for window in windows:
            run.refusals += [f"{name}: {why}" for why in refusals_of(window)]
    run.figures = with_slow[-1].conditions()
    run.series = series_of("all_read", with_all[-1]) | series_of("one_does_not", with_slow[-1])
    if run.refusals:
        return run
    costs, costs_slow = _mean("deliveries_per_cpu_s", with_all), _mean("deliveries_per_cpu_s", with_slow)
    taken = with_slow[0].after.rss_bytes - with_all[0].after.rss_bytes
    run.figures |= fanned_out(with_slow[-1]) | {
        "slow_cost_ratio": costs / costs_slow,
        "slow_p50_ratio": _mean("latency_ms_p50", with_slow) / _mean("latency_ms_p50", with_all),
        "slow_p99_ratio": _mean("latency_ms_p99", with_slow) / _mean("latency_ms_p99", with_all),
        "rss_bytes_per_slow": max(0, taken) / stage.plan.groups,
        "slow_readers": with_slow[-1].counted_at_close.get("folkmoot_gateway_slow_readers", 0.0),
    }
    return run


def _mean(name: str, windows: list[Window]) -> float:
    return fmean(fanned_out(window)[name] for window in windows)
