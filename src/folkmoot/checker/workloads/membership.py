"""Members added, removed, leaving, joining and coming back while messages fly, and while they are away.

Nobody is given anything from outside their memberships, by any door; whoever was removed while away gets the rest up to
the removal; a send made under an earlier membership never appears in a later one. Everybody has a phone; some a tablet.
"""

import random

from folkmoot.checker.workloads.sends import said
from folkmoot.checker.workloads.troubles import ALL, GUESTS, HEAL_S_MAX, HEAL_S_SOON, Troubles
from folkmoot.testing.plan import Fault, Person, Plan, Step

GROUP = "circle"


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    draw = random.Random(f"membership/{seed}")
    users = [f"user-{n}" for n in range(1, draw.randint(4, 6) + 1)]
    people = [
        Person(user=user, fresh=draw.choice(("join", "join", "head")), window=draw.choice((2, 6, 40))) for user in users
    ]
    if draw.random() < 0.5:
        people.append(Person(user=users[-1], device="tablet", window=draw.choice((2, 6))))
    lasts_s = draw.uniform(5, 15)
    entry = draw.choice(("invite", "open"))
    at_first = users[1 : draw.randint(1, len(users))]
    create = Step(
        at_s=0.0,
        who=people[0].machine,
        what="create",
        group=GROUP,
        send_id="make",
        users=tuple(at_first),
        history=draw.choice(("join", "join", "all")),
        entry=entry,
    )
    steps = [create, *_moves(draw, people, count=draw.randint(6, 20), lasts_s=lasts_s, is_open=entry == "open")]
    steps += said(draw, people, [GROUP], count=draw.randint(10, 30), lasts_s=lasts_s)
    kinds, heal_s_max = draw.choice(((GUESTS, HEAL_S_SOON), (ALL, HEAL_S_MAX), (ALL, HEAL_S_MAX)))
    troubles = Troubles(draw, [person.machine for person in people], lasts_s)
    faults = troubles.some(kinds, count_max=8) if draw.random() < 0.9 else []
    for step in steps:
        if step.what == "add" and step.send_id.startswith("b") and draw.random() < 0.5:
            # Away while removed and added again: what was between is not for them.
            at_s = round(max(0.05, step.at_s - draw.uniform(0.1, 1.5)), 3)
            faults.append(Fault(at_s=at_s, kind="crash", target=f"{step.users[0]}/phone", lasts_s=2.0, steps=1))
        elif step.what == "remove" and draw.random() < 0.4:
            # Back from a while away just before it: removed in the middle of catching up.
            away_s = draw.uniform(1.0, 3.0)
            at_s, back_s = round(max(0.05, step.at_s - away_s), 3), round(step.at_s - draw.uniform(0.0, 0.06), 3)
            target = f"{step.users[0]}/phone"
            faults.append(Fault(at_s=at_s, kind="crash", target=target, lasts_s=round(back_s - at_s, 3), steps=1))
    return Plan(
        workload="membership",
        seed=seed,
        people=people,
        steps=sorted(steps, key=lambda step: step.at_s),
        faults=sorted(faults, key=lambda fault: fault.at_s),
        lasts_s=lasts_s,
        heal_s_max=heal_s_max,
        all_own_all=draw.random() < 0.7,
    )


def _moves(draw: random.Random, people: list[Person], *, count: int, lasts_s: float, is_open: bool) -> list[Step]:
    """The owner adds and removes, or makes someone admin; others leave, and join where that is open to all."""
    owner, others = people[0].machine, [person for person in people if person.user != people[0].user]
    steps = []
    for number in range(count):
        person = draw.choice(others)
        what = draw.choice(("add", "add", "remove", "remove", "leave", "role", "rename", "join" if is_open else "add"))
        by_self = what in ("leave", "join")
        step = Step(
            at_s=round(draw.uniform(0.2, lasts_s), 3),
            who=person.machine if by_self else owner,
            what=what,
            group=GROUP,
            send_id=f"m{number}",
            text=draw.choice(("admin", "member")) if what == "role" else f"name {number}",
            users=() if by_self or what == "rename" else (person.user,),
        )
        steps.append(step)
        if what == "remove" and draw.random() < 0.5:
            # Added again at once: a late copy, or a position from before, must not come through.
            at_s = round(min(lasts_s, step.at_s + draw.choice((0.0, 0.02, 1.0))), 3)
            steps.append(
                Step(at_s=at_s, who=owner, what="add", group=GROUP, send_id=f"b{number}", users=(person.user,))
            )
    return steps
