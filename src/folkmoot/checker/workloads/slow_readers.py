"""Some read slowly, or not at all for seconds, while others say much: they fall behind, and catch up at their own pace.

A slow reader is taken off the feed and brought up from the log. Nobody waits for it, and nothing is left out or doubled
where it joins the feed again.
"""

import random

from folkmoot.checker.workloads.troubles import COPIES, HEAL_S_SOON, Troubles
from folkmoot.testing.plan import Fault, Person, Plan, Step

GROUP = "loud"


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    draw = random.Random(f"slow_readers/{seed}")
    users = [f"user-{n}" for n in range(1, draw.randint(3, 5) + 1)]
    people = [
        Person(user=user, window=draw.choice((2, 4, 12)), slow_s=draw.choice((0.0, 0.3, 1.0)) if number else 0.0)
        for number, user in enumerate(users)
    ]
    lasts_s = draw.uniform(5, 12)
    create = Step(at_s=0.0, who=people[0].machine, what="create", group=GROUP, send_id="make", users=tuple(users[1:]))
    steps = [create]
    for number in range(draw.randint(40, 80)):
        person = draw.choice(people)
        text = f"{number} of {person.user} " + "x" * draw.choice((0, 50, 200))
        steps.append(
            Step(
                at_s=round(draw.uniform(0.1, lasts_s), 2),
                who=person.machine,
                what="say",
                group=GROUP,
                send_id=f"s{number}",
                text=text,
            )
        )
    readers = [person.machine for person in people[1:]]
    faults = [
        Fault(
            at_s=round(draw.uniform(0.1, lasts_s), 2),
            kind="not reading",
            target=draw.choice(readers),
            lasts_s=round(draw.uniform(0.3, 5), 2),
        )
        for _ in range(draw.randint(2, 6))
    ]
    troubles = Troubles(draw, readers, lasts_s)
    faults += troubles.drawn((*COPIES, "slow", "break", "refuse", "time out reading"), draw.randint(0, 4))
    return Plan(
        workload="slow_readers",
        seed=seed,
        people=people,
        steps=sorted(steps, key=lambda step: step.at_s),
        faults=sorted(faults, key=lambda fault: fault.at_s),
        lasts_s=lasts_s,
        heal_s_max=HEAL_S_SOON,
    )
