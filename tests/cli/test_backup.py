"""`folkmoot backup`: what it says, and that nothing half done stays where it is ended."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from folkmoot.cli.backup import end_at_signal

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_a_backup_of_a_store_that_is_served(shell: "Shell", tmp_path: Path) -> None:
    group = shell.ok("group", "create", "back up one")
    shell.ok("send", group, "hello")
    done = shell.run("backup", str(tmp_path / "copy"))
    assert done.status == 0, done.err
    assert done.lines[0].startswith(f"{tmp_path / 'copy'}: ")
    assert "without the secret" in done.out
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {"folkmoot.db", "backup.json"}
    assert shell.run("verify", group, "--data-dir", str(tmp_path / "copy")).out == "1 groups, 2 entries, 0 broken\n"
    again = shell.run("backup", str(tmp_path / "copy"))
    assert (again.status, again.out) == (1, "")
    assert "never overwrites" in again.err


def test_for_scripts_and_with_the_secret(shell: "Shell", tmp_path: Path) -> None:
    done = shell.run("backup", str(tmp_path / "copy"), "--with-secret", "--data", str(shell.data_dir), "--json")
    assert done.status == 0, done.err
    assert done.json["secret"] is True
    assert done.json["epoch"] == 1
    assert done.json["bytes"] == (tmp_path / "copy" / "folkmoot.db").stat().st_size
    secret = (shell.data_dir / "secret.key").read_text().strip()
    assert (tmp_path / "copy" / "secret.key").read_text().strip() == secret
    assert secret not in done.out


def test_a_folder_without_a_store_is_said(shell: "Shell", tmp_path: Path) -> None:
    done = shell.run("backup", str(tmp_path / "copy"), "--data-dir", str(tmp_path))
    assert (done.status, done.err) == (1, f"folkmoot: {tmp_path} has no store\n")


def test_sigterm_ends_it_as_an_error_does() -> None:
    with pytest.raises(SystemExit, match="143"):
        end_at_signal(signal.SIGTERM, None)
