"""The store is set back to an earlier state under live clients, by a restore or by copying an old file back.

Whoever is past it is reset, and nobody else; what was acknowledged since is gone, and everything after is in one order.
Under a raised epoch no number has two meanings; where nothing was raised, positions still tell by their marks.
"""

import random

from folkmoot.checker.workloads.sends import said
from folkmoot.checker.workloads.troubles import HEAL_S_MAX, Troubles
from folkmoot.testing.plan import Fault, Person, Plan, Step

GROUPS = ("one", "two")


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    draw = random.Random(f"epochs/{seed}")
    users = [f"user-{n}" for n in range(1, draw.randint(3, 5) + 1)]
    people = [Person(user=user, fresh=draw.choice(("join", "head")), window=draw.choice((2, 6))) for user in users]
    lasts_s = draw.uniform(8, 16)
    groups = list(GROUPS[: draw.randint(1, 2)])
    steps = [
        Step(
            at_s=0.0, who=people[0].machine, what="create", group=group, send_id=f"make-{group}", users=tuple(users[1:])
        )
        for group in groups
    ]
    steps += said(draw, people, groups, count=draw.randint(20, 40), lasts_s=lasts_s)
    guest = Person(user="user-9")
    people.append(guest)
    # Someone is added in the middle: the earlier state may be one from before.
    added_s = round(draw.uniform(0.5, lasts_s), 3)
    add = Step(at_s=added_s, who=people[0].machine, what="add", group=groups[0], send_id="add", users=(guest.user,))
    steps.append(add)
    faults = []
    for _ in range(draw.randint(1, 2)):
        at_s = round(draw.uniform(1.0, lasts_s), 3)
        back_s = round(draw.uniform(0.2, min(4.0, at_s)), 3)
        raised = draw.choice(("raised", ""))
        faults.append(Fault(at_s=at_s, kind="restore", other=raised, lasts_s=back_s))
    troubles = Troubles(draw, [person.machine for person in people], lasts_s)
    drawn = troubles.drawn(
        ("crash", "break", "kill", "pause", "slow", "cut client", "lose entries"), draw.randint(0, 5)
    )
    faults += drawn
    return Plan(
        workload="epochs",
        seed=seed,
        people=people,
        steps=sorted(steps, key=lambda step: step.at_s),
        faults=sorted(faults, key=lambda fault: fault.at_s),
        lasts_s=lasts_s,
        heal_s_max=HEAL_S_MAX,
        all_own_all=draw.random() < 0.7,
    )
