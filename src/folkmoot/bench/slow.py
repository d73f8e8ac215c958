"""One reader in each group that does not read: what it costs the others, and the memory it takes."""

from statistics import fmean
from typing import Final

from folkmoot.bench.run import Run, fanned_out, series_of
from folkmoot.bench.stage import NAP_S, Stage
from folkmoot.bench.window import Window, refusals_of

ROUNDS: Final = 2
"""Of one window in which everyone reads and one in which one of each group does not."""

CROWD: Final = 30
"""Members of each group who do not read while memory is measured: of one each nothing could be told from a server's own
ups and downs."""


def slow(stage: Stage) -> Run:
    """The same load in turn with everyone reading, and with the first member of each group not reading at all.

    Then once more with everyone, and with a crowd of each group: by how much more memory rises in that one.
    """
    run, with_all, with_slow = Run(), list[Window](), list[Window]()
    crowd = min(CROWD, stage.plan.members - 1)
    with stage.server() as server:
        job = stage.job(server, traffic="sends", nap_s=NAP_S, narrow=crowd)
        with stage.up(job) as fleet:
            for _ in range(ROUNDS):
                with_all.append(stage.watch(server, fleet))
                with_slow.append(stage.watch(server, fleet, muted=1))
            with_all_again = stage.watch(server, fleet)
            with_crowd = stage.watch(server, fleet, muted=crowd)
    windows_of = {
        "everyone reads": [*with_all, with_all_again],
        "one does not": with_slow,
        "a crowd does not": [with_crowd],
    }
    for name, windows in windows_of.items():
        for window in windows:
            run.refusals += [f"{name}: {why}" for why in refusals_of(window)]
    run.figures = with_slow[-1].conditions()
    run.series = series_of("all_read", with_all[-1]) | series_of("one_does_not", with_slow[-1])
    if run.refusals:
        return run
    costs, costs_slow = _mean("deliveries_per_cpu_s", with_all), _mean("deliveries_per_cpu_s", with_slow)
    rss_bytes = [window.after.rss_bytes for window in (with_slow[-1], with_all_again, with_crowd)]
    taken = (rss_bytes[2] - rss_bytes[1]) - (rss_bytes[1] - rss_bytes[0])
    run.figures |= fanned_out(with_slow[-1]) | {
        "slow_cost_ratio": costs / costs_slow,
        "slow_p50_ratio": _mean("latency_ms_p50", with_slow) / _mean("latency_ms_p50", with_all),
        "slow_p99_ratio": _mean("latency_ms_p99", with_slow) / _mean("latency_ms_p99", with_all),
        "rss_bytes_per_slow": max(0, taken) / (stage.plan.groups * crowd),
        "slow_readers": with_crowd.counted_at_close.get("folkmoot_gateway_slow_readers", 0.0),
    }
    return run


def _mean(name: str, windows: list[Window]) -> float:
    return fmean(fanned_out(window)[name] for window in windows)
