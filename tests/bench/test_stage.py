"""Where the load runs, and that a job says what its plan does."""

import os
from pathlib import Path

from folkmoot.bench.plan import Plan
from folkmoot.bench.stage import Stage, cores_of_load


class Address:
    """Where a floor would be."""

    host, port = "127.0.0.1", 7


def test_the_load_runs_where_the_server_does_not() -> None:
    usable = sorted(os.sched_getaffinity(0))
    assert cores_of_load(Plan(scenario="floor", cores_load=(3, 4))) == [3, 4]
    left = cores_of_load(Plan(scenario="floor", core_server=usable[0]))
    assert left == (usable[1:] or usable)


def test_a_job_has_the_sizes_of_its_plan_and_what_is_said_beside(tmp_path: Path) -> None:
    plan = Plan(scenario="floor", members=7, rate_per_s=3.0, text_bytes=9, acks_per_s=5.0)
    stage = Stage(plan, tmp_path, tmp_path, lambda _: None)
    job = stage.job(Address(), ids=["g1", "g2"], traffic="sends", dialect="floor")  # type: ignore[arg-type]
    assert (job.port, job.groups, job.members, job.rate_per_s, job.text_bytes) == (7, ["g1", "g2"], 7, 3.0, 9)
    assert (job.traffic, job.dialect, job.nap_s) == ("sends", "floor", 0.0)
    assert len(set(job.sources)) == len(job.sources) > 1
