"""Small measures of every kind, for real: their figures are consistent with one another and with what was asked."""

import math
import os
import shutil
from pathlib import Path
from typing import Literal

import pytest

from folkmoot.bench import window
from folkmoot.bench.plan import Plan
from folkmoot.bench.report import MEANINGS
from folkmoot.bench.scenarios import Bench, Run, cores_of_load, forget_cached


@pytest.fixture(autouse=True)
def _however_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are not judged here: other tests may run beside these. Counts are."""
    monkeypatch.setattr(window, "LATE_MS_MAX", math.inf)
    monkeypatch.setattr(window, "LOAD_BUSY_SHARE_MAX", math.inf)


def ran(plan: Plan, folder: Path) -> Run:
    said: list[str] = []
    with Bench(folder, said.append) as bench:
        run = bench.run(plan)
    assert run.refusals == []
    assert set(run.figures) <= set(MEANINGS)
    assert list(folder.iterdir()) == []
    return run


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_fanout_counts_what_it_sent(tmp_path: Path) -> None:
    plan = Plan(scenario="fanout", sockets=40, members=20, rate_per_s=20, seconds=1.0, warm_s=0.5, acks_per_s=10)
    figures = ran(plan, tmp_path).figures
    assert figures["messages"] == 30
    assert figures["deliveries"] == 600
    # How many fall into the window is a matter of time; more than were asked for in it and while it warmed up cannot.
    assert 0 < figures["deliveries_per_s"] <= 600
    assert figures["latency_ms_p50"] <= figures["latency_ms_p99"]
    # What everyone has is stored by then, if not answered.
    assert figures["entries_per_commit"] >= 1
    assert figures["server_cpu_share"] > 0


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_floor_alone(tmp_path: Path) -> None:
    run = ran(Plan(scenario="floor", sockets=40, members=20, rate_per_s=20, seconds=1.0, warm_s=0.5), tmp_path)
    assert run.figures["deliveries"] == 600
    assert run.series["floor_latency"]


def test_idle_connections_take_memory_and_little_time(tmp_path: Path) -> None:
    plan = Plan(scenario="idle", sockets=200, members=50, rate_per_s=0, seconds=1.0, warm_s=0.1)
    figures = ran(plan, tmp_path).figures
    assert 0 < figures["rss_bytes_per_socket"] < 200_000
    assert figures["server_rss_bytes"] > figures["empty_rss_bytes"]
    assert figures["connect_cpu_ms_per_socket"] > 0


@pytest.mark.parametrize("rate_per_s", [50.0, 0.0])
def test_sends_become_durable(tmp_path: Path, rate_per_s: float) -> None:
    plan = Plan(scenario="sends", sockets=20, members=2, rate_per_s=rate_per_s, seconds=1.0, warm_s=0.2)
    run = ran(plan, tmp_path)
    figures = run.figures
    if rate_per_s:
        assert 0 < figures["sends_per_s"] <= 60
    assert figures["commits_per_s"] > 0
    assert figures["answer_ms_p50"] <= figures["latency_ms_p99"]
    assert run.series["answer"]


@pytest.mark.parametrize("door", ["socket", "rest"])
def test_history_is_read_in_both_directions(tmp_path: Path, door: Literal["socket", "rest"]) -> None:
    plan = Plan(
        scenario="history", door=door, sockets=4, members=2, rate_per_s=40, seconds=1.0, warm_s=0.2, log_entries=300
    )
    run = ran(plan, tmp_path)
    assert 0 < run.figures["pages_per_s"] <= 48
    assert run.figures["page_bytes"] > 50 * 180
    assert run.series["forwards"]
    assert run.series["backwards"]


def test_a_store_of_many_groups_is_filled_once(tmp_path: Path) -> None:
    plan = Plan(scenario="start", groups_stored=300, members=2)
    said: list[str] = []
    with Bench(tmp_path, said.append) as bench:
        first, second = bench.run(plan), bench.run(plan)
    assert said == ["filling a store with 300 groups"]
    for run in (first, second):
        assert 0 < run.figures["ready_s"] < 60
        assert run.figures["store_bytes"] > 300 * 180


def test_the_load_runs_where_the_server_does_not() -> None:
    usable = sorted(os.sched_getaffinity(0))
    assert cores_of_load(Plan(scenario="floor", cores_load=(3, 4))) == [3, 4]
    left = cores_of_load(Plan(scenario="floor", core_server=usable[0]))
    assert left == (usable[1:] or usable)


def test_forgetting_what_is_cached_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"a" * 10_000)
    forget_cached(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"a" * 10_000
