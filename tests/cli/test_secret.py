"""`folkmoot secret rotate`: what it says, and that tokens of the old secret are over or stay good as asked."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from folkmoot.cli.main import app
from folkmoot.gateway.identity import SECRET_FILE, secret_of
from folkmoot.gateway.rotation import own_keys


def test_the_old_one_ends_or_is_kept(tmp_path: Path) -> None:
    first = secret_of(tmp_path)
    done = CliRunner().invoke(app, ["secret", "rotate", "--keep-old-for", "1h", "--data-dir", str(tmp_path)])
    assert (done.exit_code, "good until 1h from now" in done.stdout) == (0, True)
    second = secret_of(tmp_path)
    assert second != first
    assert [key.material for key, _ in own_keys(tmp_path)] == [second, first]
    done = CliRunner().invoke(app, ["secret", "rotate", "--data-dir", str(tmp_path)])
    assert (done.exit_code, "all tokens made so far are over" in done.stdout) == (0, True)
    assert [key.material for key, _ in own_keys(tmp_path)] == [secret_of(tmp_path)]
    assert secret_of(tmp_path).decode() not in done.stdout


def test_where_there_is_no_secret_none_is_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["secret", "rotate", "--data-dir", str(tmp_path)])
    assert (done.exit_code, "is it the server's --data-dir?" in done.stderr) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("time", ["1", "h", "-1h", "1w", "366d", "0h", "1.5h", ""])
def test_a_time_that_is_none_changes_nothing(tmp_path: Path, time: str) -> None:
    before = secret_of(tmp_path)
    done = CliRunner().invoke(app, ["secret", "rotate", "--keep-old-for", time, "--data-dir", str(tmp_path)])
    assert (done.exit_code, "such as 30m" in done.stderr) == (2, True)
    assert (tmp_path / SECRET_FILE).read_bytes() == before
