"""`folkmoot verify`: counts where all is well, and the first break of each log with status 1 where it is not."""

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def copied(shell: "Shell", tmp_path: Path) -> Path:
    for file in shell.data_dir.glob("folkmoot.db*"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_a_sound_store_while_it_is_served(shell: "Shell") -> None:
    group = shell.ok("group", "create", "verify one")
    shell.ok("send", group, "hello")
    done = shell.run("verify", group)
    assert (done.status, done.out) == (0, "1 groups, 2 entries, 0 broken\n")
    report = shell.run("verify", "--json").json
    assert report["broken"] == []
    assert report["entries"] >= 2


def test_the_first_break_is_named(shell: "Shell", tmp_path: Path) -> None:
    group = shell.ok("group", "create", "verify two")
    for number in range(4):
        shell.ok("send", group, f"text {number}")
    folder = copied(shell, tmp_path)
    database = sqlite3.connect(folder / "folkmoot.db")
    number = database.execute("SELECT no FROM groups WHERE id = ?", (group,)).fetchone()
    database.execute("UPDATE entries SET sender = 'eve' WHERE group_no = ? AND seq IN (3, 5)", number)
    database.commit()
    database.close()
    done = shell.run("verify", "--data-dir", str(folder))
    assert done.status == 1
    assert done.lines[-1].startswith(f"{group} at 3: ")
    report = shell.run("verify", group, "--data-dir", str(folder), "--json")
    assert report.status == 1
    assert [(b["group"], b["seq"]) for b in report.json["broken"]] == [(group, 3)]


def test_what_is_no_store_is_said(shell: "Shell", tmp_path: Path) -> None:
    done = shell.run("verify", "--data-dir", str(tmp_path))
    assert (done.status, done.err) == (2, f"folkmoot: {tmp_path} has no store\n")
    (tmp_path / "folkmoot.db").write_bytes(b"nothing of the kind" * 100)
    done = shell.run("verify", "--data-dir", str(tmp_path))
    assert done.status == 1
    assert "cannot be read" in done.err
