"""`folkmoot check live`: against a server that runs already, its own server under kills, and wrong use."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

SMALL = ("--clients", "4", "--groups", "2", "--members", "3", "--rate", "40")


def test_a_running_server_is_checked_through_a_bad_network(shell: "Shell", tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = shell.run("check", "live", "--url", shell.url, "--seconds", "2", "--seed", "4", "--html", str(page), *SMALL)
    assert done.status == 0, done.out + done.err
    assert done.lines[-1] == "clean"
    table = dict(line.strip().rsplit(maxsplit=1) for line in done.lines if line.strip() and line.strip()[-1].isdigit())
    assert table["missing"] == table["doubled"] == table["out of order"] == table["stuck"] == "0"
    assert int(table["delivered"].replace(",", "")) > int(table["acknowledged"].replace(",", "")) > 0
    assert "clean" in page.read_text()


def test_its_own_server_is_killed_and_what_it_says_is_json(shell: "Shell") -> None:
    report = shell.run("check", "live", "--seconds", "3", "--faults", "kill", "--json", *SMALL).json
    assert report["clean"]
    assert report["faults"]["kill"] >= 1
    assert report["recoveries"]["kill"]["max_s"] < 60
    assert report["verdict"]["counts"]["missing"] == 0


def test_wrong_use(shell: "Shell", tmp_path: Path) -> None:
    for options, said in (
        (("--faults", "flood"), "there is no flood"),
        (("--url", shell.url, "--faults", "kill"), "kill: not among"),
        (("--secret-file", str(tmp_path)), "--url"),
        (("--url", "nonsense"), "--url"),
        (("--url", shell.url, "--data-dir", str(tmp_path / "nowhere")), "secret"),
        (("--html", str(tmp_path / "no" / "page.html")), "no folder"),
    ):
        done = shell.run("check", "live", "--seconds", "1", *options, *SMALL)
        assert (done.status, done.out) == (2, ""), options
        assert said in done.err


def test_a_server_that_is_not_there(shell: "Shell") -> None:
    done = shell.run("check", "live", "--url", "http://127.0.0.1:1", "--seconds", "1", "--connect-seconds", "1", *SMALL)
    assert (done.status, done.out) == (3, "")
    assert "cannot reach" in done.err


def test_the_faults_are_listed(shell: "Shell") -> None:
    assert any(line.startswith("full_disk") for line in shell.run("check", "live", "--list-faults").lines)


def test_interrupted_it_judges_what_there_is_and_leaves_no_child(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "folkmoot.cli", "check", "live", "--seconds", "600", "--faults", "pause", *SMALL]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    ) as check:
        assert check.stderr is not None
        while line := check.stderr.readline():
            if "Ctrl-C" in line:
                break
        check.send_signal(signal.SIGINT)
        out, err = check.communicate(timeout=60)
    assert check.returncode == 0, out + err
    assert out.splitlines()[-1] == "clean"
    assert list(tmp_path.iterdir()) == []
