"""`folkmoot bench compare` from the command line: who takes part, files, statuses."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from folkmoot.bench import compare, window
from folkmoot.cli.main import app

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
RUN = ["bench", "compare", "fanout", "--peers", "floor", "--sockets", "20", "--members", "10", "--rate", "20"]


@needs_compiler
def test_rounds_are_added_to_those_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (window, compare):
        monkeypatch.setattr(where, "LATE_MS_MAX", 1e9)
        monkeypatch.setattr(where, "LOAD_BUSY_SHARE_MAX", 1e9)
    monkeypatch.setattr(compare, "REACHED_SHARE_MIN", 0.0)
    found, page = tmp_path / "found.json", tmp_path / "found.html"
    command = [*RUN, "--seconds", "0.6", "--warm-up", "0.2", "--runs", "1", "--dir", str(tmp_path)]
    for times in (1, 2):
        result = CliRunner().invoke(app, [*command, "--json", str(found), "--add", "--html", str(page)])
        assert result.exit_code == 0, result.output
        assert "stores nothing" in result.stdout
        rounds = json.loads(found.read_text())["rounds"]
        assert [one["number"] for one in rounds] == list(range(times))
    assert page.read_text().startswith("<!doctype html>")
    assert {path.name for path in tmp_path.iterdir()} == {"found.json", "found.html"}


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["nothing"], 2, "scenarios are fanout, blast, idle"),
        (["fanout", "--peers", "floor", "--sockets", "2", "--members", "3"], 2, "not even one group"),
        (["fanout", "--peers", "nobody", "--peers-dir", "no-such-folder"], 1, "no-such-folder has no peers"),
    ],
)
def test_what_cannot_be_is_told(options: list[str], status: int, said: str) -> None:
    result = CliRunner().invoke(app, ["bench", "compare", *options])
    assert result.exit_code == status
    assert said in result.output
