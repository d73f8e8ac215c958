"""`folkmoot bench` from the command line: sizes, files, statuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from folkmoot.cli.main import app

RUN = ["bench", "start", "--groups", "20", "--runs", "2"]


@pytest.fixture(autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of tests stay out of those of the machine."""
    home = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


def test_a_measure_is_told_written_and_kept(tmp_path: Path, state_home: Path) -> None:
    found = tmp_path / "found.json"
    page = tmp_path / "found.html"
    command = [*RUN, "--dir", str(tmp_path), "--json", str(found), "--html", str(page)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "start: 2 of 2 runs gave a result" in result.stdout
    (report,) = json.loads(found.read_text())["reports"]
    assert report["plan"]["groups_stored"] == 20
    assert len(report["runs"]) == 2
    assert page.read_text().startswith("<!doctype html>")
    assert {path.name for path in tmp_path.iterdir()} == {"found.json", "found.html"}
    (kept,) = (state_home / "folkmoot" / "bench").iterdir()
    assert kept.read_bytes() == found.read_bytes()


def test_where_nothing_can_be_kept_the_measure_is_told_all_the_same(tmp_path: Path, state_home: Path) -> None:
    (state_home / "folkmoot").write_text("a file where a folder has to be")
    result = CliRunner().invoke(app, [*RUN, "--dir", str(tmp_path)])
    assert result.exit_code == 0
    assert "start: 2 of 2 runs gave a result" in result.stdout
    assert "not kept for folkmoot plan" in result.stderr


def test_without_a_compiler_it_is_skipped_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    command = ["bench", "floor", "--sockets", "2", "--members", "2", "--seconds", "1", "--dir", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "floor: SKIPPED" in result.stderr


def test_a_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    command = [*RUN, "--dir", str(tmp_path), "--set", "no_such_setting=1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "there is no such setting" in result.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["start", "--server-core", "9999"], "cores of this machine"),
        (["sends", "--load-cores", "a"], "--load-cores takes numbers"),
        (["history", "--door", "back"], "--door is socket or rest"),
        (["sends", "--set", "x"], "--set takes NAME=VALUE"),
        (["fanout", "--sockets", "5"], "5 sockets are not even one group of 130"),
        (["start", "--dir", "no-such-folder"], "no-such-folder"),
    ],
)
def test_what_cannot_be_meant_is_said(command: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["bench", *command])
    assert result.exit_code == 2
    assert said in result.stderr


def test_no_kind_is_named_shows_them_all() -> None:
    result = CliRunner().invoke(app, ["bench"])
    for name in ("floor", "fanout", "idle", "sends", "history", "start", "all"):
        assert name in result.output
