"""A report sums up the runs that gave a result, and says of the others why they did not."""

import datetime
import json

import msgspec

from folkmoot.bench.machine import Machine
from folkmoot.bench.plan import Plan
from folkmoot.bench.report import MEANINGS, Report, as_json, lines_of, report_of, shown
from folkmoot.bench.run import Run

AT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def machine(**what: object) -> Machine:
    facts = Machine(
        processor="a processor", cores=2, memory_bytes=2**33, kernel="Linux 6", python="CPython 3.11", folkmoot="1",
        versions={"uvloop": "1"}, open_files_max=20_000, file_system="ext4", load_average=0.1,
    )  # fmt: skip
    return msgspec.structs.replace(facts, **what)


def report(runs: list[Run] | None = None, plan: Plan | None = None, **what: object) -> Report:
    given = runs or [Run(figures={"ready_s": 1.0}), Run(figures={"ready_s": 3.0}), Run(figures={"ready_s": 1.5})]
    return report_of(plan or Plan(scenario="start"), machine(**what), given, at=AT)


def test_medians_and_spread_are_over_the_runs() -> None:
    whole = report()
    spread = whole.figures["ready_s"]
    assert (spread.median, spread.least, spread.most) == (1.5, 1.0, 3.0)
    assert [target.met for target in whole.targets] == [True]
    assert not whole.refused
    assert "  met: ready in under 2 s" in lines_of(whole)


def test_a_run_without_a_result_counts_for_nothing_and_is_told() -> None:
    whole = report([Run(figures={"ready_s": 9.0}, refusals=["the load was saturated"]), Run(figures={"ready_s": 1.0})])
    assert whole.refused
    assert whole.figures["ready_s"].most == 1.0
    lines = lines_of(whole)
    assert lines[0] == "start: 1 of 2 runs gave a result"
    assert "  NO RESULT of run 1: the load was saturated" in lines


def test_no_result_at_all_gives_no_figure_and_no_target() -> None:
    whole = report([Run(figures={"ready_s": 0.1}, refusals=["lost"])])
    assert (whole.figures, whole.targets) == ({}, [])


def test_json_holds_all_of_it() -> None:
    (read,) = json.loads(as_json([report()]))["reports"]
    assert read["at"] == "2026-01-02T03:04:05+00:00"
    assert read["machine"]["file_system"] == "ext4"
    assert len(read["runs"]) == 3
    assert read["figures"]["ready_s"]["median"] == 1.5


def test_what_makes_figures_less_is_noted() -> None:
    assert "nothing is durable" in report(file_system="tmpfs").warnings[0]
    assert "one core" in report(cores=1, load_average=0.0).warnings[0]
    assert "busy before" in report(load_average=1.5).warnings[0]
    changed = Plan(scenario="start", settings={"sqlite_readers": "4"})
    assert report(plan=changed).warnings == ["settings are changed: sqlite_readers=4"]
    assert report().warnings == []


def test_a_figure_has_as_many_digits_as_mean_something() -> None:
    assert [shown(v) for v in (123_456.7, 123.45, 1.23456, 0.000123456, 0.0)] == [
        "123,457", "123.5", "1.23", "0.000123", "0",
    ]  # fmt: skip


def test_results_are_shown_before_what_they_depend_on() -> None:
    given = {"fdatasync_ms_p99": 1.0, "latency_ms_p50": 2.0, "deliveries_per_cpu_s": 3.0}
    shown_first = [line.strip() for line in lines_of(report([Run(figures=given)]))[1:4]]
    assert [line.partition("  ")[0] for line in shown_first] == [
        MEANINGS[name] for name in ("deliveries_per_cpu_s", "latency_ms_p50", "fdatasync_ms_p99")
    ]
