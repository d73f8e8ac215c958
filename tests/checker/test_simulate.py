"""Many runs, on one process or several: the same cases, the same verdicts, and none is lost on the way."""

import subprocess
import sys

from folkmoot.checker.simulate import Case, cases, judged_run, simulate
from folkmoot.checker.workloads import WORKLOADS

_FOR_EVER = """
from folkmoot.checker.simulate import cases, simulate
simulate(cases(["sends"], 1, None), jobs=2, on_judged=lambda tally: print(tally.runs, flush=True))
"""


def test_cases_go_through_the_workloads_in_turn() -> None:
    assert list(cases(["sends", "epochs"], 7, 3)) == [Case("sends", 7), Case("epochs", 7), Case("sends", 8)]


def test_every_workload_has_runs_and_all_are_counted() -> None:
    tally = simulate(cases(list(WORKLOADS), 50, 12), jobs=1)
    assert tally.runs == 12
    assert tally.failed == []
    assert tally.messages > 100
    assert tally.deliveries > tally.messages
    assert tally.virtual_s > 60


def test_several_processes_come_to_the_same_sums() -> None:
    alone = simulate(cases(["sends"], 60, 7), jobs=1)
    together = simulate(cases(["sends"], 60, 7), jobs=2)
    assert (alone.runs, alone.messages, alone.faults) == (together.runs, together.messages, together.faults)


def test_workers_end_with_the_process_that_deals_to_them_though_it_is_killed() -> None:
    command = [sys.executable, "-c", _FOR_EVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert int(first.stdout.readline()) > 0
        first.kill()
        # Workers hold the pipe too: it ends with the last of them. Raises TimeoutExpired.
        first.communicate(timeout=20)


def test_without_faults_nothing_strikes() -> None:
    assert judged_run(Case("sends", 3), ["none"]).faults == {}
