"""The same load on each contender in turn, A B A B: what a delivery and a connection cost it, and how long it takes.

A contender that cannot take the offered rate is said to be saturated there, with what it reached, and measured at the
highest half, quarter, ... of it that it takes.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from folkmoot.bench.comparison import Round
from folkmoot.bench.contenders import OURS, Contender, Contenders
from folkmoot.bench.crowds import idled
from folkmoot.bench.deliveries import UNDER_WAY
from folkmoot.bench.fleet import LoadFailed
from folkmoot.bench.plan import Plan
from folkmoot.bench.process import ChildFailed
from folkmoot.bench.run import fanned_out
from folkmoot.bench.stage import NAP_S, Stage
from folkmoot.bench.window import LATE_MS_MAX, LOAD_BUSY_SHARE_MAX, Window, refusals_of, tail_of, times_of

Scenario = Literal["fanout", "blast", "idle"]

HALVINGS_MAX: Final = 6
"""Of the offered rate: one that takes not even a sixty-fourth of it is not measured."""

REACHED_SHARE_MIN: Final = 0.95
"""Of what was offered has to arrive while it is offered: one that is behind by more is not keeping up."""

CPU_SHARE_MIN: Final = 0.8
"""Of its core: one that did not keep up with less of it was kept from running by others, and is not saturated."""


class Compare:
    """Runs scenarios on contenders in a folder of its own in `parent`. Use as a context manager."""

    def __init__(self, contenders: Contenders, parent: Path, say: Callable[[str], None]) -> None:
        self._whole = tempfile.TemporaryDirectory(prefix="folkmoot-compare-", dir=parent)
        self._contenders = contenders
        self._say = say
        self._halvings: dict[str, int] = {}

    def __enter__(self) -> "Compare":
        return self

    def __exit__(self, *_: object) -> None:
        self._whole.cleanup()

    def rounds(self, plan: Plan, ready: Sequence[Contender]) -> list[Round]:
        """`plan.runs` times all of them in turn. Raises NoCompiler, GroupsRefused, OSError."""
        found = []
        for number in range(plan.runs):
            for contender in ready:
                found += self._turn(plan, contender, number)
        return found

    def _turn(self, plan: Plan, contender: Contender, number: int) -> list[Round]:
        """One contender's turn: a result, or none; before it, in the first, the rates that were too high for it."""
        found = []
        while True:
            halvings = self._halvings.get(contender.name, 0) if plan.scenario == "fanout" else 0
            own = msgspec.structs.replace(plan, rate_per_s=plan.rate_per_s / 2**halvings)
            with tempfile.TemporaryDirectory(prefix="turn-", dir=self._whole.name) as folder:
                stage = Stage(own, Path(folder), Path(self._whole.name), lambda what: self._said(contender, what))
                one = self.measured(stage, contender, number)
            found.append(one)
            for why in one.refusals:
                self._said(contender, f"no result: {why}")
            if not one.saturated:
                return found
            self._said(contender, f"saturated at {own.rate_per_s:g} messages a second: {one.saturated}")
            if halvings == HALVINGS_MAX:
                return found
            self._halvings[contender.name] = halvings + 1

    def measured(self, stage: Stage, contender: Contender, number: int) -> Round:
        """One turn, at the rate of the stage."""
        plan = stage.plan
        one = Round(scenario=plan.scenario, contender=contender.name, number=number, rate_per_s=plan.rate_per_s)
        try:
            if plan.scenario == "idle":
                self._idle(stage, contender, one)
            else:
                self._sent(stage, contender, one)
        except (LoadFailed, ChildFailed) as error:
            why = str(error) or "it ended"
            if plan.scenario == "fanout":
                # A server that no longer reads, or that is gone, was offered too much.
                one.saturated = why
            else:
                one.refusals = [why]
        return one

    def _sent(self, stage: Stage, contender: Contender, one: Round) -> None:
        plan = stage.plan
        with self._contenders.started(contender, stage) as at:
            job = stage.job(
                at.server,
                ids=at.ids,
                dialect=at.dialect,
                traffic="sends_to_last",
                under_way=UNDER_WAY,
                nap_s=NAP_S,
            )
            with stage.up(job) as fleet:
                window = stage.watch(at.server, fleet)
                rss_bytes = at.server.usage().rss_bytes
        one.figures = window.conditions() | {"server_rss_bytes": float(rss_bytes)}
        figures = fanned_out(window)
        one.saturated = saturated_of(window, plan) if plan.scenario == "fanout" else ""
        one.refusals = [] if one.saturated else refusals_of(window)
        if not one.saturated and figures["deliveries_per_s"] < REACHED_SHARE_MIN * plan.rate_per_s * plan.members:
            one.refusals.append(
                f"it did not keep up with {window.cpu_s / window.seconds:.0%} of its core: others had it"
            )
        if one.saturated:
            one.figures["deliveries_per_s"] = figures["deliveries_per_s"]
        elif not one.refusals:
            one.figures |= figures | tail_of("last", window.tally.last)
            if contender.name == OURS:
                one.figures |= times_of("answer", window.tally.answers)

    def _idle(self, stage: Stage, contender: Contender, one: Round) -> None:
        with self._contenders.started(contender, stage) as at:
            job = stage.job(at.server, ids=at.ids, dialect=at.dialect, traffic="none")
            found = idled(stage, at.server, job)
        one.figures, one.refusals = found.figures, found.refusals

    def _said(self, contender: Contender, what: str) -> None:
        self._say(f"{contender.name}: {what}")


def saturated_of(window: Window, plan: Plan) -> str:
    """Why the server did not keep up, in words; nothing where it did, or where it was the load that did not."""
    tally, conditions = window.tally, window.conditions()
    busy = conditions["load_cpu_share"] + conditions["load_wait_share"] > LOAD_BUSY_SHARE_MAX
    if busy or conditions["late_ms_p99"] > LATE_MS_MAX:
        return ""
    reached_per_s = tally.in_window / window.seconds
    if tally.lost:
        return f"it closed {tally.lost} sockets, and reached {reached_per_s:,.0f} deliveries a second"
    if conditions["server_cpu_share"] < CPU_SHARE_MIN:
        return ""
    offered_per_s = plan.rate_per_s * plan.members
    if tally.delivered < tally.expected or reached_per_s < REACHED_SHARE_MIN * offered_per_s:
        return f"it reached {reached_per_s:,.0f} of {offered_per_s:,.0f} deliveries a second"
    return ""
