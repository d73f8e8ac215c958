"""`folkmoot replay`: through a server that runs already; its own, and kills, in tests/system/test_replay.py."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.txt"
    path.write_bytes(b"[15:01] <ann> hello\n[15:01] <bob> hello\xff yourself\n=== ann has left\n")
    return path


def test_a_table_and_a_verdict(shell: "Shell", talk: Path) -> None:
    done = shell.run("replay", str(talk), "--url", shell.url)
    assert done.status == 0
    cells = dict(line.rsplit(maxsplit=1) for line in done.lines[:-1])
    table = {name.strip(): value for name, value in cells.items()}
    assert (table["lines"], table["messages"], table["members"], table["deliveries"]) == ("3", "2", "3", "12")
    assert {table[fault] for fault in ("missing", "doubled", "out of order", "altered")} == {"0"}
    assert (table["kills"], table["reconnects"]) == ("0", "0")
    assert {"sends/s", "seconds"} < table.keys()
    assert done.lines[-1] == "clean"


def test_for_scripts_it_is_json(shell: "Shell", talk: Path) -> None:
    secret = str(shell.data_dir / "secret.key")
    done = shell.run("replay", str(talk), "--url", shell.url, "--secret-file", secret, "--json", "--seed", "7")
    report = done.json
    assert (report["clean"], report["seed"], report["files"], report["entries"]) == (True, 7, 1, 3)
    assert report["verdict"]["counts"]["missing"] == 0
    assert json.loads(done.out) == report


def test_wrong_use(shell: "Shell", talk: Path, tmp_path: Path) -> None:
    for options in (
        ("--kill-every", "1", "--url", shell.url),
        ("--kills-min", "1"),
        ("--secret-file", str(talk)),
        ("--rate", "-1"),
        ("--url", "nonsense"),
        ("--url", shell.url, "--cluster", str(tmp_path)),
        ("--cluster", str(tmp_path), "--kill-every", "1"),
        ("--cluster", str(tmp_path / "nowhere")),
        ("--url", shell.url, "--data-dir", str(tmp_path / "nowhere")),
    ):
        done = shell.run("replay", str(talk), *options)
        assert (done.status, done.out) == (2, ""), options
    assert shell.run("replay", str(tmp_path / "nothing.txt")).status == 2


def test_a_server_that_will_not_have_us(shell: "Shell", talk: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 48)
    done = shell.run("replay", str(talk), "--url", shell.url, "--secret-file", str(secret))
    assert (done.status, done.out) == (1, "")
    assert "token_invalid" in done.err
