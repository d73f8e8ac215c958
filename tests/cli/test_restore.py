"""`folkmoot restore`: what it says, and its status where something was cut."""

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


@pytest.fixture
def copy(shell: "Shell", tmp_path: Path) -> Path:
    group = shell.ok("group", "create", "restore one")
    for number in range(4):
        shell.ok("send", group, f"text {number}")
    done = shell.run("backup", str(tmp_path / "copy"), "--with-secret")
    assert done.status == 0, done.err
    return tmp_path / "copy"


def test_what_was_backed_up_is_a_store_again(shell: "Shell", copy: Path, tmp_path: Path) -> None:
    done = shell.run("restore", str(copy), "--data-dir", str(tmp_path / "new"))
    assert (done.status, done.err) == (0, "")
    assert "(before: 1)" in done.out
    assert "revoked again" in done.out
    assert "no secret" not in done.out
    assert shell.run("verify", "--data-dir", str(tmp_path / "new")).status == 0
    again = shell.run("restore", str(copy), "--data-dir", str(tmp_path / "new"))
    assert again.status == 1
    assert "move the old store away" in again.err


def test_without_the_secret_it_says_what_that_means(shell: "Shell", copy: Path, tmp_path: Path) -> None:
    (copy / "secret.key").unlink()
    done = shell.run("restore", str(copy), "--data-dir", str(tmp_path / "new"))
    assert "tokens made with the old one are refused" in done.out


def test_where_it_cut_is_said_and_is_status_1(shell: "Shell", copy: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    shutil.copy(copy / "folkmoot.db", damaged)
    database = sqlite3.connect(damaged / "folkmoot.db")
    group, number = database.execute("SELECT id, no FROM groups WHERE name = 'restore one' ORDER BY no").fetchone()
    database.execute("DELETE FROM entries WHERE group_no = ? AND seq = 3", (number,))
    database.commit()
    database.close()
    done = shell.run("restore", str(damaged), "--data-dir", str(tmp_path / "new"))
    assert done.status == 1
    assert f"cut {group} from 3 on, 3 entries: an entry is missing" in done.lines
    done = shell.run("restore", str(damaged), "--data-dir", str(tmp_path / "other"), "--over", str(copy), "--json")
    assert done.status == 1
    assert [(cut["group"], cut["seq"]) for cut in done.json["cuts"]] == [(group, 3)]
    assert done.json["epoch"] > 1_700_000_000


def test_what_could_not_be_read_is_said_table_by_table_and_is_status_1(
    shell: "Shell", copy: Path, tmp_path: Path
) -> None:
    path = copy / "folkmoot.db"
    database = sqlite3.connect(path)
    found = database.execute("SELECT rootpage FROM sqlite_schema WHERE name IN ('standings', 'pointers')").fetchall()
    (bytes_per_page,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    with path.open("r+b") as file:
        for (page,) in found:
            file.seek((page - 1) * bytes_per_page)
            file.write(b"\xff" * bytes_per_page)
    done = shell.run("restore", str(copy), "--data-dir", str(tmp_path / "new"), "--salvage")
    assert done.status == 1
    said = [line for line in done.lines if line.startswith("LOST")]
    assert len(said) == 2
    assert "LOST from standings: users who were deactivated or signed out can come in again" in said[0]
    assert "LOST from pointers, in " in said[1]
    assert "groups (--json names them): what was read counts as unread" in said[1]
    assert not any(line.startswith("cut ") for line in done.lines)
    assert shell.run("verify", "--data-dir", str(tmp_path / "new")).status == 0
    done = shell.run("restore", str(copy), "--data-dir", str(tmp_path / "other"), "--salvage", "--json")
    assert done.status == 1
    standings, pointers = done.json["lost"]
    assert (standings["table"], standings["groups"]) == ("standings", [])
    assert len(pointers["groups"]) == done.json["groups"]


def test_what_is_no_backup_is_said(shell: "Shell", tmp_path: Path) -> None:
    done = shell.run("restore", str(tmp_path), "--data-dir", str(tmp_path / "new"))
    assert done.status == 1
    assert "is no backup" in done.err
