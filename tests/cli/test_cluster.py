"""`folkmoot cluster`: what its verbs say and do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from folkmoot.cli.main import app


def test_fetch_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    done = CliRunner().invoke(app, ["cluster", "fetch"])
    assert (done.exit_code, "Java 17" in done.stderr, "apt-get install" in done.stderr) == (1, True, True)


def test_fetch_says_where_it_is(cassandra_program: Path) -> None:
    done = CliRunner().invoke(app, ["cluster", "fetch"])
    assert (done.exit_code, str(cassandra_program) in done.stdout) == (0, True)
