"""`folkmoot serve` where it cannot: one line and a status. Where it can, see tests/system/test_terminals.py."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def serve(*options: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own, since it sets up logging for the whole of one."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FOLKMOOT_")}
    command = [sys.executable, "-m", "folkmoot.cli", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30, check=False)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--port", "70000"), "--port"),
        (("--log-level", "loud"), "--log-level"),
        (("--set", "nonsense"), "NAME=VALUE"),
        (("--set", "nonsense=1"), "--nonsense: there is no such setting"),
        (("--set", "sends-per-s=-1"), "--sends-per-s"),
        (("--config", "/nothing.toml"), "/nothing.toml"),
    ],
)
def test_a_setting_that_cannot_be_is_wrong_use(options: tuple[str, ...], what: str, tmp_path: Path) -> None:
    done = serve("--data-dir", str(tmp_path), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("folkmoot: ")
    assert what in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = serve("--data-dir", str(tmp_path), "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"folkmoot: cannot serve on 127.0.0.1:{port} from {tmp_path}: ")
    assert "Traceback" not in done.stderr


def test_data_that_another_serves_is_said(shell: "Shell") -> None:
    done = serve("--data-dir", str(shell.data_dir), "--port", "0")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"folkmoot: {shell.data_dir}: ")
    assert "Traceback" not in done.stderr


def test_a_secret_that_others_can_read_is_not_served_with(tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_bytes(b"x" * 48)
    secret.chmod(0o644)
    done = serve("--data-dir", str(tmp_path), "--port", "0")
    assert done.returncode == 1
    assert "chmod 600" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folkmoot.db").write_bytes(b"nothing of the kind" * 1_000)
    done = serve("--data-dir", str(tmp_path), "--port", "0")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (tmp_path / "folkmoot.db").read_bytes() == b"nothing of the kind" * 1_000


def test_it_stops_with_the_parent_that_holds_its_standard_input(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "folkmoot.cli", "serve", "--json", "--port", "0", "--data-dir", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--stop-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        assert b"ready" in process.stdout.readline()
        process.communicate(timeout=20)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
