"""`folkmoot copy`: folders and files of settings, what it says, and what it refuses."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def restored(shell: "Shell", folder: Path) -> Path:
    """A store with something in it that nobody serves."""
    group = shell.ok("group", "create", "copy")
    shell.ok("send", group, "hello")
    assert shell.run("backup", str(folder / "backup"), "--with-secret").status == 0
    assert shell.run("restore", str(folder / "backup"), "--data-dir", str(folder / "one")).status == 0
    return folder / "one"


def test_a_folder_into_a_new_one_which_has_all_and_the_secret(shell: "Shell", tmp_path: Path) -> None:
    one, two = restored(shell, tmp_path), tmp_path / "two"
    done = shell.run("copy", "--from", str(one), "--to", str(two))
    assert done.status == 0, done.err
    assert done.lines[0].endswith(": all compared")
    assert done.lines[1] == f"{one} is sealed: serve {two} from now on"
    assert "tokens stay good" in done.lines[2]
    assert (two / "secret.key").read_bytes() == (one / "secret.key").read_bytes()
    checked = [shell.run("doctor", "--deep", "--data-dir", str(folder)) for folder in (one, two)]
    assert [done.status for done in checked] == [checked[0].status] * 2
    assert shell.run("verify", "--data-dir", str(two)).out == shell.run("verify", "--data-dir", str(one)).out
    again = shell.run("copy", "--from", str(one), "--to", str(two))
    assert (again.status, again.out) == (1, "")
    assert f"was copied to {two} before" in again.err
    served = shell.run("serve", "--data-dir", str(one), "--port", "0")
    assert served.status == 1
    assert f"copied to {two}, and is sealed: serve that one" in served.err


def test_by_a_file_of_settings_for_scripts(shell: "Shell", tmp_path: Path) -> None:
    one = restored(shell, tmp_path)
    settings = tmp_path / "cluster.toml"
    settings.write_text(f'data_dir = "{tmp_path / "three"}"\n')
    done = shell.run("copy", "--from", str(one), "--to", str(settings), "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["to"] == str(settings)
    assert told["entries"] >= 2
    assert told["secret"] is True
    assert (tmp_path / "three" / "folkmoot.db").exists()


def test_a_store_in_use_or_not_there_or_the_same_twice_is_said(shell: "Shell", tmp_path: Path) -> None:
    one = restored(shell, tmp_path)
    served = shell.run("copy", "--from", str(shell.data_dir), "--to", str(tmp_path / "two"))
    assert (served.status, served.out) == (1, "")
    assert "stop the server" in served.err
    nothing = shell.run("copy", "--from", str(tmp_path / "none"), "--to", str(tmp_path / "two"))
    assert (nothing.status, nothing.err) == (2, f"folkmoot: {tmp_path / 'none'} has no store\n")
    assert not (tmp_path / "none").exists()
    same = shell.run("copy", "--from", str(one), "--to", str(one))
    assert same.status == 1
    assert "two stores" in same.err
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("no_such = 1\n")
    assert shell.run("copy", "--from", str(one), "--to", str(wrong)).status == 2


def test_what_is_in_the_target_already_stays(shell: "Shell", tmp_path: Path) -> None:
    one = restored(shell, tmp_path)
    assert shell.run("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "two")).status == 0
    before = shell.run("verify", "--data-dir", str(tmp_path / "two")).out
    done = shell.run("copy", "--from", str(one), "--to", str(tmp_path / "two"))
    assert done.status == 1
    assert "has data already (groups" in done.err
    assert shell.run("verify", "--data-dir", str(tmp_path / "two")).out == before
    # The source still counts: it can be copied elsewhere.
    assert shell.run("copy", "--from", str(one), "--to", str(tmp_path / "three")).status == 0
