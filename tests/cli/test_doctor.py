"""`folkmoot doctor`: beside a running server and without one, and what --deep finds in a damaged store."""

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Shell


def by_name(done: "Done") -> dict[str, Any]:
    return {finding["name"]: finding for finding in done.json["findings"]}


def port_of(shell: "Shell") -> str:
    return shell.url.rpartition(":")[2]


# The machine that tests run on may have few open files: the verdict on that is another test's.
FEW = ("--set", "connections_max=10")


def test_beside_a_running_server(shell: "Shell") -> None:
    shell.ok("group", "create", "doctor one")
    done = shell.run("doctor", "--port", port_of(shell), *FEW, "--deep", "--json")
    found = by_name(done)
    assert "a Folkmoot server answers" in found["port"]["what"]
    for name in ("port", "open files", "secret", "store", "logs", "python", "libraries"):
        assert found[name]["level"] == "ok", found[name]
    assert "process" in found["open files"]["what"]
    assert found["disk sync"]["what"].startswith("fdatasync p50 ")
    assert done.json["deep"]["damages"] == []
    assert done.json["deep"]["entries"] >= 1
    assert done.json["ok"] == (done.status == 0)


def test_before_there_is_a_server(shell: "Shell", tmp_path: Path) -> None:
    done = shell.run("doctor", "--data-dir", str(tmp_path / "none"), "--port", "0", *FEW, "--deep")
    assert "ok    store: there is none yet: the first start makes it" in done.lines
    assert "ok    logs: there is no store yet" in done.lines
    assert not (tmp_path / "none").exists()


def test_what_is_bad_is_said_with_how_to_mend_it_and_is_status_1(shell: "Shell", tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_bytes(b"x" * 48)
    (tmp_path / "secret.key").chmod(0o644)
    (tmp_path / "folkmoot.db").write_bytes(b"no database at all" * 1_000)
    done = shell.run("doctor", "--data-dir", str(tmp_path), "--port", port_of(shell), "--deep")
    assert done.status == 1
    assert "bad   secret: secret.key has mode 644: others can read it" in done.lines
    assert any(line.startswith("      mend: chmod 600 secret.key") for line in done.lines)
    assert any(line.startswith("bad   store: it cannot be read") for line in done.lines)
    assert any(line.startswith("bad   logs: nothing can be read") for line in done.lines)
    done = shell.run("doctor", "--set", "write_bytes_low=9999999")
    assert (done.status, done.lines[0]) == (1, "bad   settings: write_bytes_low: is above write_bytes_high")


def test_deep_says_where_each_damage_is(shell: "Shell", tmp_path: Path) -> None:
    group = shell.ok("group", "create", "doctor two")
    for number in range(4):
        shell.ok("send", group, f"text {number}")
    for file in shell.data_dir.glob("folkmoot.db*"):
        shutil.copy(file, tmp_path)
    database = sqlite3.connect(tmp_path / "folkmoot.db")
    (number,) = database.execute("SELECT no FROM groups WHERE id = ?", (group,)).fetchone()
    database.execute("UPDATE entries SET body = x'7b7d' WHERE group_no = ? AND seq = 3", (number,))
    database.execute("UPDATE groups SET members = 7 WHERE no = ?", (number,))
    database.commit()
    database.close()
    done = shell.run("doctor", "--data-dir", str(tmp_path), "--port", "0", "--deep")
    assert done.status == 1
    assert f"      {group} at 3: the hash does not chain on the entry before, or not on its own body" in done.lines
    assert f"      {group} at 5: the group's members_count is not what its log says: 7 instead of 1" in done.lines
    assert any("folkmoot restore MOVED" in line for line in done.lines)
