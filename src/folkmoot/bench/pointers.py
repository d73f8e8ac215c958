"""What a read pointer that moves costs a cluster with Cassandra: the same load with acknowledgements, and without."""

from collections.abc import Mapping
from typing import Final

from folkmoot.bench.clusters import PARTS
from folkmoot.bench.run import Run
from folkmoot.bench.stage import NAP_S, Stage
from folkmoot.bench.window import refusals_of

MICRO: Final = 1_000_000
STORE: Final = "cassandra"


def pointers(stage: Stage) -> Run:
    """With acknowledgements first, so that Java has compiled what both take. Raises LoadFailed, ChildFailed."""
    plan, run = stage.plan, Run()
    spent: list[dict[str, float]] = []
    with stage.cluster() as server:
        for acks_per_s in (plan.acks_per_s, 0.0):
            seen: list[dict[str, float]] = []

            def look(seen: list[dict[str, float]] = seen) -> dict[str, float]:
                seen.append(server.cpu_s())
                return {}

            job = stage.job(server, traffic="sends", nap_s=NAP_S, acks_per_s=acks_per_s)
            with stage.up(job) as fleet:
                window = stage.watch(server, fleet, counts=look)
            run.refusals += [f"{acks_per_s:g} acknowledgements a second: {why}" for why in refusals_of(window)]
            run.figures |= window.conditions()
            spent.append({part: (seen[-1][part] - seen[0][part]) / window.seconds for part in PARTS})
    if not run.refusals:
        run.figures |= costs_of(*spent, moves_per_s=moves_of(plan.acks_per_s, plan.sockets))
    return run


def moves_of(acks_per_s: float, sockets: int) -> float:
    """Pointers written a second: each member's at most once."""
    return min(acks_per_s, float(sockets))


def costs_of(acked: Mapping[str, float], plain: Mapping[str, float], *, moves_per_s: float) -> dict[str, float]:
    """Microseconds of CPU for each pointer that moved, from CPU seconds a second of each part with and without them."""
    more = {part: acked[part] - plain[part] for part in PARTS}
    ours = sum(more.values()) - more[STORE]
    return {
        "cassandra_us_per_pointer": more[STORE] / moves_per_s * MICRO,
        "pointer_us": ours / moves_per_s * MICRO,
    }
