"""The smallest plan that still fails: fewer faults, steps and clients, a shorter run. Each is tried by running it."""

import time
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from folkmoot.checker.laws import judge_run
from folkmoot.testing.plan import Plan
from folkmoot.testing.simulation import run_plan

T = TypeVar("T")

SECONDS_MAX: Final = 20.0
"""A smaller history is a help to whoever reads it, not worth waiting for much longer."""


def fails(plan: Plan, laws: frozenset[str]) -> bool:
    """Whether the plan still breaks one of these laws."""
    return any(violation.law in laws for violation in judge_run(run_plan(plan)))


def shrunk(plan: Plan, laws: frozenset[str], *, seconds_max: float = SECONDS_MAX) -> Plan:
    """A plan that still breaks one of `laws` (which `plan` does), smaller where one was found in the time."""
    until_s = time.monotonic() + seconds_max
    changed = True
    while changed and time.monotonic() < until_s:
        changed = False
        for smaller in _smaller(plan):
            if time.monotonic() >= until_s:
                break
            if fails(smaller, laws):
                plan, changed = smaller, True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with a part less, the largest parts first."""
    replace = msgspec.structs.replace
    for faults in _without(plan.faults):
        yield replace(plan, faults=faults)
    creations = [step for step in plan.steps if step.what == "create"]
    others = [step for step in plan.steps if step.what != "create"]
    for steps in _without(others):
        yield replace(plan, steps=sorted([*creations, *steps], key=lambda step: step.at_s))
    for person in plan.people[1:]:
        yield _without_person(plan, person.machine)
    last_s = max([step.at_s for step in plan.steps] + [fault.at_s for fault in plan.faults], default=0.0) + 0.5
    if last_s < plan.lasts_s:
        yield replace(plan, lasts_s=last_s)
    for field in ("gateways", "routers", "deliveries"):
        if getattr(plan, field) > 1 and not _is_named(plan, field):
            yield replace(plan, **{field: getattr(plan, field) - 1})


def _without(parts: Sequence[T]) -> Iterator[list[T]]:
    """The parts without a half, a quarter, …, one of them."""
    size = max(1, len(parts) // 2)
    while parts and size:
        for start in range(0, len(parts), size):
            yield [*parts[:start], *parts[start + size :]]
        size //= 2


def _without_person(plan: Plan, machine: str) -> Plan:
    return msgspec.structs.replace(
        plan,
        people=[person for person in plan.people if person.machine != machine],
        steps=[step for step in plan.steps if step.who != machine],
        faults=[fault for fault in plan.faults if machine not in (fault.target, fault.other)],
    )


def _is_named(plan: Plan, field: str) -> bool:
    """Whether the last process of a role is one that a fault strikes."""
    role = {"gateways": "gateway", "routers": "router", "deliveries": "delivery"}[field]
    name = f"{role}-{getattr(plan, field)}"
    return any(name in (fault.target, fault.other) for fault in plan.faults)
