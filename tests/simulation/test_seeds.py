"""A fixed block of seeds over all workloads, every seed that ever failed, and the same run in whatever process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from folkmoot.checker.simulate import Case, cases, judged_run, simulate
from folkmoot.checker.workloads import WORKLOADS

HERE = Path(__file__).parent
BLOCK_START = 1
BLOCK_RUNS = int(os.environ.get("FOLKMOOT_TEST_SEEDS", "1000"))

_TOLD = """
import hashlib, msgspec, sys
from folkmoot.checker.simulate import Case
from folkmoot.testing.simulation import run_plan
for workload in sys.argv[2:]:
    run = run_plan(Case(workload, int(sys.argv[1])).plan())
    print(workload, hashlib.sha256(msgspec.msgpack.encode(run.happenings)).hexdigest(), len(run.happenings))
"""


def failed_before() -> list[Case]:
    lines = (HERE / "failed_seeds.txt").read_text().splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return [Case(workload, int(seed)) for workload, seed, *_ in words]


# Some five minutes on two idle cores; the limit is for what hangs, not for a machine with other work.
@pytest.mark.timeout(2_400)
def test_the_fixed_block_is_clean() -> None:
    tally = simulate(cases(list(WORKLOADS), BLOCK_START, BLOCK_RUNS), jobs=os.cpu_count() or 1)
    print(f"{tally.runs} runs, {tally.virtual_s / 3_600:.1f} simulated hours, {tally.messages} messages")
    assert [(judged.case, judged.violations[:3]) for judged in tally.failed] == []
    assert tally.runs == BLOCK_RUNS


@pytest.mark.parametrize("case", failed_before(), ids=str)
def test_what_failed_once_is_clean(case: Case) -> None:
    assert judged_run(case).violations == []


def histories(seed: int, hash_seed: str) -> str:
    """What each workload's run was, told by another process: its happenings, as a digest of their bytes."""
    done = subprocess.run(
        [sys.executable, "-c", _TOLD, str(seed), *WORKLOADS],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_seed_gives_one_history_byte_for_byte_whatever_the_hashes() -> None:
    first = histories(11, "1")
    assert len(first.splitlines()) == len(WORKLOADS)
    assert first == histories(11, "2")
    assert set(first.splitlines()).isdisjoint(histories(12, "1").splitlines())
