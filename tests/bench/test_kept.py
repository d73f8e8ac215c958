"""Results stay where the planner looks: whole, newest first, and not without end."""

import datetime
import json
from pathlib import Path

import pytest

from folkmoot.bench import kept
from folkmoot.bench.kept import keep, kept_files, kept_folder
from folkmoot.bench.machine import machine_facts
from folkmoot.bench.plan import Plan
from folkmoot.bench.report import Report, report_of
from folkmoot.bench.run import Run

AT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def report(folder: Path, scenario: str = "start") -> Report:
    return report_of(Plan(scenario=scenario), machine_facts(folder), [Run(figures={"ready_s": 1.0})], at=AT)


def test_the_folder_is_the_state_home() -> None:
    assert kept_folder({"XDG_STATE_HOME": "/state"}) == Path("/state/folkmoot/bench")
    usual = Path.home() / ".local" / "state" / "folkmoot" / "bench"
    assert kept_folder({}) == kept_folder({"XDG_STATE_HOME": "not/absolute"}) == usual


def test_what_is_kept_is_what_json_says_newest_first(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "for it"
    first = keep([report(tmp_path)], folder, at=AT)
    second = keep([report(tmp_path), report(tmp_path, "idle")], folder, at=AT + datetime.timedelta(seconds=1))
    assert kept_files(folder) == [second, first]
    assert second.name == "20260102T030406000000Z-idle-start.json"
    assert [one["scenario"] for one in json.loads(second.read_bytes())["reports"]] == ["start", "idle"]


def test_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FILES_MAX", 2)
    made = [keep([report(tmp_path)], tmp_path, at=AT + datetime.timedelta(seconds=n)) for n in range(4)]
    assert kept_files(tmp_path) == [made[3], made[2]]


def test_no_folder_has_no_files(tmp_path: Path) -> None:
    assert kept_files(tmp_path / "none") == []
