"""Many simulated runs on all cores: seeds dealt to worker processes, verdicts gathered, sums kept, stopped cleanly."""

import gc
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Final

import msgspec

from folkmoot.checker.laws import Violation, judge_run
from folkmoot.checker.workloads import WORKLOADS
from folkmoot.testing.happenings import Stored, Took
from folkmoot.testing.plan import Plan
from folkmoot.testing.simulation import Run, run_plan

SEEDS_PER_TASK: Final = 5
"""Dealt to a worker at once: few enough that a failure is heard of soon, enough that dealing costs nothing."""


class Case(msgspec.Struct, frozen=True, order=True):
    """One run: a workload and a seed."""

    workload: str
    seed: int

    def plan(self, faults: Sequence[str] = ()) -> Plan:
        """The plan of the seed; with only `faults` of these kinds, where any are named."""
        plan = WORKLOADS[self.workload](self.seed)
        if not faults:
            return plan
        return msgspec.structs.replace(plan, faults=[fault for fault in plan.faults if fault.kind in faults])


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one run, without the run: it is had again from the seed."""

    case: Case
    violations: list[Violation]
    virtual_s: float
    messages: int
    deliveries: int
    faults: dict[str, int]


class Tally:
    """The sums of all runs so far."""

    def __init__(self) -> None:
        self.runs = 0
        self.virtual_s = 0.0
        self.messages = 0
        self.deliveries = 0
        self.faults: dict[str, int] = {}
        self.failed: list[Judged] = []
        self.began_s = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began_s

    def add(self, judged: Judged) -> None:
        self.runs += 1
        self.virtual_s += judged.virtual_s
        self.messages += judged.messages
        self.deliveries += judged.deliveries
        for kind, count in judged.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + count
        if judged.violations:
            self.failed.append(judged)


def judged_run(case: Case, faults: Sequence[str] = ()) -> Judged:
    """Run one case and judge it."""
    run = run_plan(case.plan(faults))
    return judged_of(case, run)


def judged_of(case: Case, run: Run) -> Judged:
    """The verdict on a run, and what was in it."""
    return Judged(
        case=case,
        violations=judge_run(run),
        virtual_s=run.virtual_s,
        messages=sum(isinstance(h, Stored) and h.kind == "message" for h in run.happenings),
        deliveries=sum(isinstance(h, Took) for h in run.happenings),
        faults=run.faults,
    )


def cases(workloads: Sequence[str], start: int, count: int | None) -> Iterator[Case]:
    """Cases from seed `start` on, the workloads in turn; for ever where `count` is None."""
    number = 0
    while count is None or number < count:
        yield Case(workloads[number % len(workloads)], start + number // len(workloads))
        number += 1


def simulate(
    wanted: Iterator[Case],
    *,
    jobs: int,
    faults: Sequence[str] = (),
    until_s: float | None = None,
    failures_max: int = 3,
    on_judged: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Run the cases on `jobs` processes, until all are run, `until_s` (monotonic) is past, or enough have failed.

    KeyboardInterrupt ends it too: the sums so far are returned, and no process is left.
    """
    tally = Tally()
    if jobs <= 1:
        _alone(wanted, tally, faults, until_s, failures_max, on_judged)
        return tally
    # Forked workers would share what threads of this process hold; started anew they share nothing.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_worker)
    under_way: set[Future[list[Judged]]] = set()
    try:
        more = True
        while more or under_way:
            while more and len(under_way) < 2 * jobs:
                dealt = list(itertools.islice(wanted, SEEDS_PER_TASK))
                more = len(dealt) == SEEDS_PER_TASK and (until_s is None or time.monotonic() < until_s)
                if dealt:
                    under_way.add(pool.submit(_run_all, dealt, tuple(faults)))
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                for judged in future.result():
                    tally.add(judged)
                on_judged(tally)
            if len(tally.failed) >= failures_max:
                break
    except KeyboardInterrupt:
        pass
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
            process.join()
    return tally


def _alone(
    wanted: Iterator[Case],
    tally: Tally,
    faults: Sequence[str],
    until_s: float | None,
    failures_max: int,
    on_judged: Callable[[Tally], None],
) -> None:
    try:
        for case in wanted:
            tally.add(judged_run(case, faults))
            on_judged(tally)
            over = until_s is not None and time.monotonic() >= until_s
            if over or len(tally.failed) >= failures_max:
                return
    except KeyboardInterrupt:
        return


def _begin_worker() -> None:
    # The terminal interrupts all processes of the command: the first of them ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    # Runs keep no reference to one another: what they leave behind is collected between them.
    gc.disable()


def _end_with_the_first() -> None:
    """One that is killed ends nobody, and its workers would wait for work for ever."""
    first = multiprocessing.parent_process()
    if first is not None:
        first.join()
        os._exit(1)


def _run_all(dealt: list[Case], faults: tuple[str, ...]) -> list[Judged]:
    judged = [judged_run(case, faults) for case in dealt]
    gc.collect()
    return judged
