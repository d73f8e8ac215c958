"""Measures of messages to many members each: what a delivery costs, beside the same through the floor."""

from typing import Final

from folkmoot.bench.plan import SIZES
from folkmoot.bench.run import Run, fanned_out, series_of
from folkmoot.bench.stage import NAP_S, NAP_SHORT_S, Stage
from folkmoot.bench.window import Window, curve_of, per_commit, refusals_of, tail_of, times_of

SENDS_PER_S_MAX: Final = 1_000.0
"""On the ladder: groups of two cannot be sent as many deliveries as larger ones, since each is a durable message."""

FLAT_FROM: Final = 130
"""Members from which on a delivery is to cost the same."""

UNDER_WAY: Final = 4
"""Messages of each group at full blast. With one, servers wait for their readers: the floor had half of its core."""


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
        "server_rss_bytes": float(rss_bytes),
    }
    if not stage.plan.workers:
        # Of workers whoever answers is a gateway, which stores nothing.
        run.figures["entries_per_commit"] = per_commit(window.counted)
    return run


def hot(stage: Stage) -> Run:
    """Everyone in one group, and everyone talks."""
    return _observed(stage, traffic="sends")


def latency(stage: Stage) -> Run:
    """From when a message was meant to be sent until the last member of its group has it."""
    return _observed(stage, traffic="sends_to_last", nap_s=NAP_SHORT_S)


def blast(stage: Stage) -> Run:
    """As much as the server's core gives, and the floor's: some messages of each group are always under way."""
    stage = stage.part("blast", rate_per_s=0.0)
    floor = stage.floor(traffic="sends_to_last", under_way=UNDER_WAY)
    run = _observed(stage, traffic="sends_to_last", under_way=UNDER_WAY)
    run.refusals += [f"floor: {why}" for why in refusals_of(floor)]
    if not run.refusals:
        through = fanned_out(floor)
        run.figures |= {
            "floor_deliveries_per_cpu_s": through["deliveries_per_cpu_s"],
            "floor_deliveries_per_s": through["deliveries_per_s"],
            "floor_cpu_share": floor.conditions()["server_cpu_share"],
            "ratio_to_floor": run.figures["deliveries_per_cpu_s"] / through["deliveries_per_cpu_s"],
        }
    return run


def ladder(stage: Stage) -> Run:
    """The same deliveries a second in groups of every size, or full blast: what one costs, and the floor's of large."""
    plan, run, costs = stage.plan, Run(), dict[int, float]()
    for members in (size for size in SIZES if size <= plan.sockets):
        rate_per_s = min(plan.rate_per_s * plan.members / members, SENDS_PER_S_MAX)
        part = stage.part(str(members), members=members, rate_per_s=rate_per_s)
        under_way = UNDER_WAY if members >= FLAT_FROM else 1
        step = _observed(part, traffic="sends_to_last", under_way=under_way)
        run.refusals += [f"groups of {members:,}: {why}" for why in step.refusals]
        run.figures |= {name: value for name, value in step.figures.items() if not name.startswith(("latency", "last"))}
        if not step.refusals:
            costs[members] = 1_000_000 / step.figures["deliveries_per_cpu_s"]
            run.figures |= {
                f"delivery_us_of_{members}": costs[members],
                f"last_ms_p99_of_{members}": step.figures["last_ms_p99"],
            }
            run.series[f"{members:,}_latency"] = step.series["last"]
        if members >= FLAT_FROM:
            floor = part.floor(traffic="sends_to_last", under_way=under_way)
            refusals = [f"floor of {members:,}: {why}" for why in refusals_of(floor)]
            run.refusals += refusals
            if not refusals:
                run.figures[f"floor_us_of_{members}"] = 1_000_000 / fanned_out(floor)["deliveries_per_cpu_s"]
    # Of all steps together they would say nothing.
    for name in ("deliveries_per_cpu_s", "deliveries_per_s", "deliveries", "messages", "frame_bytes"):
        run.figures.pop(name, None)
    run.series["microseconds_by_members"] = [(float(members), cost) for members, cost in costs.items()]
    large = [cost for members, cost in costs.items() if members >= FLAT_FROM]
    if large and not run.refusals:
        run.figures["delivery_us_spread"] = max(large) / min(large) - 1
    return run


def _observed(stage: Stage, *, traffic: str, nap_s: float = NAP_S, under_way: int = 1) -> Run:
    """The plan's load on a server of its own, without the floor."""
    with stage.server() as server:
        job = stage.job(server, traffic=traffic, nap_s=nap_s, under_way=under_way)
        with stage.up(job) as fleet:
            window = stage.watch(server, fleet)
    run = Run(figures=window.conditions(), refusals=refusals_of(window), series=series_of("server", window))
    if not run.refusals:
        run.figures |= fanned_out(window) | times_of("answer", window.tally.answers) | _to_last(window)
        run.figures["entries_per_commit"] = per_commit(window.counted)
        run.series["last"] = curve_of(window.tally.last)
    return run


def _to_last(window: Window) -> dict[str, float]:
    return tail_of("last", window.tally.last) if window.tally.last.count else {}
