"""The planner's answer: the sum step by step, machines of each kind with their error bars, and what is extrapolated."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from folkmoot.planner.capacity import ASIDE, ROUND, Machines, planned, steps_of
from folkmoot.planner.demand import BY_SERVER, DEMAND
from folkmoot.planner.formula import FUNCTIONS, Step, reckon
from folkmoot.planner.measurements import ALL_ROLES, Measured, missing_of

HIGHER_IS_BETTER: Final = {"deliveries_per_cpu_s"}
"""All other measured figures are costs: what is best of them is the least."""

NOTES: Final = (
    "load and server were on one machine, over loopback: what a network card, its interrupts and TLS cost is not in it",
    "one core was measured, and more are taken to do so many times as much; cores that share caches and power do less",
    "all members of a group are taken to be alike; the figures are of texts of 180 characters",
    "memory is the processes' own: what the kernel holds for a socket comes on top",
    "a peak is taken to be even: what bursts within it do to waiting times, --simulate says",
)
"""What the sum takes for granted, whatever it was given."""


class Answer(msgspec.Struct, frozen=True):
    """One plan. `low` and `high`: values of the steps with every measured cost at its best and at its worst."""

    given: dict[str, float]
    measured: dict[str, Measured]
    steps: list[Step]
    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    machines: list[Machines]
    machines_low: list[Machines]
    machines_high: list[Machines]
    notes: list[str]

    @property
    def told(self) -> list[Step]:
        """The steps that people want to see."""
        return [step for step in self.steps if step.unit not in (ROUND, "machines")]


def plain(given: Mapping[str, float]) -> tuple[list[Step], dict[str, float]]:
    """The sum by what one server does, `per_server`: its steps and every value."""
    steps = [*DEMAND, *BY_SERVER]
    return steps, reckon(steps, given)


def answer_of(given: Mapping[str, float], measured: Mapping[str, Measured]) -> Answer:
    """The plan by what was measured."""
    known = known_of(given, {name: one.median for name, one in measured.items()})
    values, machines = planned(known)
    low, machines_low = planned(known_of(given, {name: _best(one) for name, one in measured.items()}))
    high, machines_high = planned(known_of(given, {name: _worst(one) for name, one in measured.items()}))
    return Answer(
        given=dict(given), measured=dict(measured), steps=steps_of(known), values=values, low=low, high=high,
        machines=machines, machines_low=machines_low, machines_high=machines_high, notes=notes_of(measured),
    )  # fmt: skip


def known_of(given: Mapping[str, float], costs: Mapping[str, float]) -> dict[str, float]:
    """What the steps begin with: costs in ASIDE that nobody measured are nothing."""
    return {**dict.fromkeys(ASIDE, 0.0), **given, **costs}


def notes_of(measured: Mapping[str, Measured]) -> list[str]:
    """What is extrapolated or missing, in words."""
    notes = []
    for cost in missing_of(measured):
        where = f"folkmoot bench {cost.scenario}"
        done = "counted as nothing" if cost.name in ASIDE else "left out, with all that builds on it"
        notes.append(f"not measured, and {done}: {cost.what} ({where})")
    for name in ("delivery_us", "router_send_us"):
        one = measured.get(name)
        if one is not None and one.what.endswith(ALL_ROLES):
            notes.append(f"{one.what}: from one process that is all of them, so some is counted twice ({one.how})")
    single = sorted({one.how for one in measured.values() if one.runs == 1})
    notes += [f"one run only, so without an error bar: {how}" for how in single]
    machines = sorted({one.processor for one in measured.values()})
    notes += [f"measured on {machine}" for machine in machines]
    return [*notes, *NOTES]


def as_json(answer: Answer) -> dict[str, Any]:
    """For machines: `steps` in order, each with formula, value, low and high; `machines` by kind."""
    steps = [
        {**msgspec.structs.asdict(step), "value": answer.values[step.name]} | _bars(answer, step.name)
        for step in answer.steps
    ]
    machines = [
        {**msgspec.structs.asdict(one), "count_low": low.count, "count_high": high.count}
        for one, low, high in zip(answer.machines, answer.machines_low, answer.machines_high, strict=True)
    ]
    measured = [msgspec.structs.asdict(one) for one in answer.measured.values()]
    return {
        "given": answer.given,
        "steps": steps,
        "machines": machines,
        "measured": measured,
        "notes": answer.notes,
    }


def shown(value: float, unit: str = "") -> str:
    """A number for people: whole from a thousand on, with few digits below, large sizes by their prefix."""
    if unit in ("bytes", "bytes a day", "bit/s") and value >= 1_000:
        power = min(int(math.log10(value)) // 3, 6)
        return f"{value / 1_000**power:,.1f} {' kMGTPE'[power]}{unit}".replace("bytes", "B")
    if value >= 1_000 or value == int(value):
        digits = f"{value:,.0f}"
    else:
        digits = f"{value:.1f}" if value >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def with_numbers(step: Step, values: Mapping[str, float]) -> str:
    """The formula with each quantity's number in its place."""

    def number(found: re.Match[str]) -> str:
        name = found.group()
        return name if name in FUNCTIONS else shown(values[name])

    return re.sub(r"[a-z_][a-z_0-9]*", number, step.formula).replace("*", "x")


def _bars(answer: Answer, name: str) -> dict[str, float]:
    low, high = sorted((answer.low[name], answer.high[name]))
    return {"low": low, "high": high}


def _best(one: Measured) -> float:
    return one.most if one.name in HIGHER_IS_BETTER else one.least


def _worst(one: Measured) -> float:
    return one.least if one.name in HIGHER_IS_BETTER else one.most
