"""Clients that come and go: crashes, broken and silent connections, other gateways, earlier disks, tokens that expire.

Each goes on from its positions and its outbox at any gateway, and has everything once. No connection outlives its
token.
"""

import random

from folkmoot.checker.workloads.sends import said
from folkmoot.checker.workloads.troubles import CLIENTS, HEAL_S_MAX, Troubles
from folkmoot.testing.plan import Person, Plan, Step

GROUPS = ("one", "two", "three")


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    draw = random.Random(f"reconnects/{seed}")
    users = [f"user-{n}" for n in range(1, draw.randint(3, 5) + 1)]
    people = [
        Person(
            user=user,
            device=device,
            fresh=draw.choice(("join", "head")),
            window=draw.choice((2, 6)),
            token_s=float(draw.choice((3, 6, 3_600))),
        )
        for user in users
        for device in ("phone", "tablet")
        if device == "phone" or draw.random() < 0.3
    ]
    lasts_s = draw.uniform(8, 20)
    groups = list(GROUPS[: draw.randint(1, 3)])
    steps = [
        Step(
            at_s=0.0, who=people[0].machine, what="create", group=group, send_id=f"make-{group}", users=tuple(users[1:])
        )
        for group in groups
    ]
    steps += said(draw, people, groups, count=draw.randint(15, 40), lasts_s=lasts_s)
    troubles = Troubles(draw, [person.machine for person in people], lasts_s)
    faults = troubles.drawn((*CLIENTS, "crash", "break"), draw.randint(4, 14))
    faults += troubles.drawn(("kill gateway", "pause gateway", "clock jump", "bus away"), draw.randint(0, 4))
    return Plan(
        workload="reconnects",
        seed=seed,
        people=people,
        steps=sorted(steps, key=lambda step: step.at_s),
        faults=sorted(faults, key=lambda fault: fault.at_s),
        lasts_s=lasts_s,
        heal_s_max=HEAL_S_MAX,
        all_own_all=draw.random() < 0.7,
    )
