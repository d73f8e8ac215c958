"""Messages in one or two groups whose members stay: each once, in one order, in the order of each outbox.

Clients say things, give some up, say one thing twice under one id, and one id with another body from another device.
Some runs have only lost and mixed-up copies on the bus, or only owners that go and come back, and then everybody has
everything within seconds; the others have all that can go wrong.
"""

import random
from typing import Final

from folkmoot.checker.workloads.troubles import (
    ALL,
    COPIES,
    DELIVERIES,
    HEAL_S_COPIES,
    HEAL_S_MAX,
    HEAL_S_SOON,
    OWNERS,
    Troubles,
)
from folkmoot.testing.plan import Person, Plan, Step

KINDS: Final = ((COPIES, HEAL_S_COPIES), (OWNERS, HEAL_S_SOON), (ALL, HEAL_S_MAX), (ALL, HEAL_S_MAX))
"""What may go wrong in a run, and how soon it has to be mended."""


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    draw = random.Random(f"sends/{seed}")
    users = [f"user-{n}" for n in range(1, draw.randint(3, 5) + 1)]
    people = [
        Person(user=user, fresh=draw.choice(("join", "join", "head")), window=draw.choice((2, 6, 40))) for user in users
    ]
    people += [
        Person(user=user, device="tablet", window=draw.choice((2, 6))) for user in users[:2] if draw.random() < 0.5
    ]
    lasts_s = draw.uniform(4, 15)
    groups = ["one", "two"][: draw.randint(1, 2)]
    steps = [
        Step(
            at_s=0.05 * number,
            who=people[0].machine,
            what="create",
            group=group,
            send_id=f"make-{group}",
            users=tuple(users[1:]),
            history=draw.choice(("join", "all")),
        )
        for number, group in enumerate(groups)
    ]
    steps += said(draw, people, groups, count=draw.randint(15, 45), lasts_s=lasts_s)
    kinds, heal_s_max = draw.choice(KINDS)
    troubles = Troubles(draw, [person.machine for person in people], lasts_s, from_s=1.0 if kinds is OWNERS else 0.05)
    # Where there is only one delivery, nobody pushes while it is gone.
    deliveries = draw.choice((1, 2)) if kinds is OWNERS else 2
    faults = [fault for fault in troubles.some(kinds) if deliveries == 2 or fault.target != DELIVERIES[1]]
    return Plan(
        workload="sends",
        seed=seed,
        people=people,
        steps=steps,
        faults=faults,
        deliveries=deliveries,
        lasts_s=lasts_s,
        heal_s_max=heal_s_max,
        all_own_all=draw.random() < (0.9 if kinds is OWNERS else 0.7),
    )


def said(draw: random.Random, people: list[Person], groups: list[str], *, count: int, lasts_s: float) -> list[Step]:
    """Messages at random times, in bursts now and then; a few given up, repeated, or doubled under another body."""
    steps: list[Step] = []
    at_s = 0.0
    for number in range(count):
        if draw.random() < 0.7:
            at_s = round(draw.uniform(0.1, lasts_s), 3)
        person, group = draw.choice(people), draw.choice(groups)
        send_id = f"s{number}"
        say = Step(
            at_s=at_s, who=person.machine, what="say", group=group, send_id=send_id, text=f"{send_id} of {person.user}"
        )
        steps.append(say)
        odd = draw.random()
        later_s = round(min(at_s + draw.choice((0.0, 0.01, 0.5, 3.0)) * draw.random(), lasts_s), 3)
        if odd < 0.06:
            steps.append(Step(at_s=later_s, who=person.machine, what="skip", group=group, send_id=send_id))
        elif odd < 0.12:
            others = [other for other in people if other.user == person.user]
            text = say.text if draw.random() < 0.5 else f"{send_id} in other words"
            steps.append(
                Step(at_s=later_s, who=draw.choice(others).machine, what="say", group=group, send_id=send_id, text=text)
            )
        elif odd < 0.3:
            steps.append(Step(at_s=later_s, who=person.machine, what="read", group=group))
    return sorted(steps, key=lambda step: step.at_s)
