"""What each role costs as a process apart, with NATS between them: by what differs among a few loads."""

import time
from collections.abc import Mapping
from typing import Final

import msgspec

from folkmoot.bench.run import Run
from folkmoot.bench.stage import NAP_S, Stage
from folkmoot.bench.window import Window, refusals_of
from folkmoot.bench.workers import ROLES, Workers

MICRO: Final = 1_000_000
FEW_MEMBERS: Final = 10
"""Of a group where what a message costs beside its deliveries is to be seen; on two gateways it is on both of them."""

BUSY: Final = 3
"""So many times the rate for all but deliveries and acknowledgements: as in a fleet, where each has much to do, and
takes it in batches."""

SETTLE_S: Final = 2.0
"""After the sockets are up: what connecting left to do is done by then."""

IDLE_S: Final = 2.0
"""Before the traffic: what the processes cost when nobody sends is taken off."""


def roles(stage: Stage) -> Run:
    """What gateways, router and bus cost. Raises LoadFailed, ChildFailed, GroupsRefused, OSError."""
    plan = stage.plan
    many = msgspec.structs.replace(plan, acks_per_s=0.0)
    few = msgspec.structs.replace(many, members=FEW_MEMBERS, sockets=plan.sockets // 10)
    busy = msgspec.structs.replace(few, rate_per_s=plan.rate_per_s * BUSY)
    loads = {"few": (1, few), "busy": (1, busy), "busy_on_two": (2, busy), "many": (1, many), "many_acked": (1, plan)}
    run, costs = Run(), {}
    for name, (gateways, load) in loads.items():
        folder = stage.folder / name
        folder.mkdir()
        costs[name], window = _costs(Stage(load, folder, stage.kept, stage.say), gateways)
        run.refusals += [f"{name}: {why}" for why in refusals_of(window)]
        run.figures |= window.conditions()
    if not run.refusals:
        run.figures |= costs_of(costs, members=plan.members, acks_per_send=plan.acks_per_s / plan.rate_per_s)
    return run


def _costs(stage: Stage, gateways: int) -> tuple[dict[str, float], Window]:
    """CPU seconds of a send by role, without what the role takes when nobody sends."""
    plan, seen = stage.plan, list[dict[str, float]]()
    server = Workers(stage.folder, gateways=gateways, cores=[plan.core_server], settings=stage.settings())

    def look() -> dict[str, float]:
        seen.append(server.cpu_s())
        return {}

    try:
        server.wait_ready()
        with stage.up(stage.job(server, traffic="sends", nap_s=NAP_S)) as fleet:
            time.sleep(SETTLE_S)
            look()
            time.sleep(IDLE_S)
            look()
            window = stage.watch(server, fleet, counts=look)
    finally:
        server.stop()
    idle = {role: (seen[1][role] - seen[0][role]) / IDLE_S * window.seconds for role in ROLES}
    sends = plan.rate_per_s * window.seconds
    return {role: (seen[-1][role] - seen[2][role] - idle[role]) / sends for role in ROLES}, window


def costs_of(loads: Mapping[str, Mapping[str, float]], *, members: int, acks_per_send: float) -> dict[str, float]:
    """Costs in microseconds of CPU, from the CPU seconds of a send by role under five loads.

    `few`: groups of FEW_MEMBERS on one gateway; `busy`: the same at BUSY times the rate, `busy_on_two`: on two;
    `many`: groups of `members` on one; `many_acked`: the same with `acks_per_send` acknowledgements for every send.
    """
    few, busy, two, many = (loads[name] for name in ("few", "busy", "busy_on_two", "many"))
    delivery = (many["gateway"] - few["gateway"]) / (members - FEW_MEMBERS)
    push = two["gateway"] - busy["gateway"]
    bus_push = two["bus"] - busy["bus"]
    acks = sum(loads["many_acked"].values()) - sum(many.values())
    return {
        "gateway_us_per_delivery": delivery * MICRO,
        "gateway_us_per_push": push * MICRO,
        "gateway_us_per_send": (busy["gateway"] - push - FEW_MEMBERS * delivery) * MICRO,
        "router_us_per_send": busy["router"] * MICRO,
        "bus_us_per_push": bus_push * MICRO,
        "bus_us_per_send": (busy["bus"] - bus_push) * MICRO,
        "pointer_us": acks / acks_per_send * MICRO,
    }
