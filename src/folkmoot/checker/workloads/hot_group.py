"""One group to which everybody writes at once, through two routers that both believe to own it, on a store that fails.

Batches, conflicts, writes of which nobody knows, full buckets: each send has one outcome, and one number.
"""

import random

from folkmoot.checker.workloads.troubles import COPIES, HEAL_S_MAX, STORE, Troubles
from folkmoot.testing.plan import Fault, Person, Plan, Step

GROUP = "hot"


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    draw = random.Random(f"hot_group/{seed}")
    users = [f"user-{n}" for n in range(1, draw.randint(3, 6) + 1)]
    people = [Person(user=user, window=draw.choice((6, 40))) for user in users]
    if draw.random() < 0.5:
        people.append(Person(user=users[0], device="tablet"))
    lasts_s = draw.uniform(3, 8)
    create = Step(at_s=0.0, who=people[0].machine, what="create", group=GROUP, send_id="make", users=tuple(users[1:]))
    steps = [create]
    skipped = draw.choice((0.1, 0.5))
    bursts = [round(draw.uniform(0.2, lasts_s), 2) for _ in range(draw.randint(2, 6))]
    for number in range(draw.randint(30, 70)):
        person = draw.choice(people)
        at_s = draw.choice(bursts) + draw.choice((0.0, 0.0, 0.005))
        steps.append(
            Step(at_s=at_s, who=person.machine, what="say", group=GROUP, send_id=f"s{number}", text=f"{number}")
        )
        if draw.random() < 0.15:
            # The same again much later, as an outbox from a backup would say it.
            again_s = round(draw.uniform(at_s, lasts_s), 2)
            steps.append(
                Step(at_s=again_s, who=person.machine, what="say", group=GROUP, send_id=f"s{number}", text=f"{number}")
            )
        if draw.random() < skipped:
            steps.append(
                Step(
                    at_s=at_s + draw.choice((0.0, 0.005, 0.01, 0.05)),
                    who=person.machine,
                    what="skip",
                    group=GROUP,
                    send_id=f"s{number}",
                )
            )
    troubles = Troubles(draw, [person.machine for person in people], lasts_s)
    faults = troubles.drawn((*STORE, "store full"), draw.randint(1, 6))
    if draw.random() < 0.4:
        # A store and a bus that are slow all along: one router decides while the other has decided already.
        faults += [
            Fault(at_s=0.2, kind=kind, lasts_s=lasts_s, rate=draw.choice((0.2, 0.5)))
            for kind in ("slow", "delay", "reorder")
        ]
    faults += troubles.drawn((*COPIES, "kill router", "pause router", "crash"), draw.randint(0, 4))
    return Plan(
        workload="hot_group",
        seed=seed,
        people=people,
        steps=sorted(steps, key=lambda step: step.at_s),
        faults=sorted(faults, key=lambda fault: fault.at_s),
        lasts_s=lasts_s,
        heal_s_max=HEAL_S_MAX,
        routers=draw.choice((2, 3)),
    )
