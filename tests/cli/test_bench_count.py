"""`folkmoot bench count` says what to do where it cannot count, and does not touch what is kept."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from folkmoot.cli.main import app


def test_without_valgrind_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "1.json"
    result = CliRunner().invoke(app, ["bench", "count", "--release", str(file), "--renew"])
    assert result.exit_code == 1
    assert "apt-get install valgrind" in result.output
    assert not file.exists()


def test_a_file_that_is_none_of_ours_is_told(tmp_path: Path) -> None:
    file = tmp_path / "1.json"
    file.write_text("nothing of the kind")
    result = CliRunner().invoke(app, ["bench", "count", "--release", str(file)])
    assert result.exit_code == 2
    assert "1.json" in result.output
