"""`folkmoot cluster`: what its verbs say and do."""

import json
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


def test_a_cluster_is_started_looked_at_struck_and_ended(tmp_path: Path) -> None:
    folder = ["--folder", str(tmp_path / "cluster")]
    small = ["--cassandra-nodes", "0", "--nats", "1", "--gateways", "1", "--deliveries", "1", "--port", "0"]
    try:
        done = CliRunner().invoke(app, ["cluster", "up", *folder, *small])
        assert (done.exit_code, "gateway-1    is ready" in done.stdout, "FOLKMOOT_TOKEN" in done.stdout) == (
            0,
            True,
            True,
        )
        assert CliRunner().invoke(app, ["cluster", "kill", "delivery-1", *folder]).exit_code == 0
        done = CliRunner().invoke(app, ["cluster", "kill", "delivery-1", *folder])
        assert (done.exit_code, "cluster up" in done.stderr) == (1, True)
        done = CliRunner().invoke(app, ["cluster", "kill", "delivery-7", *folder])
        assert (done.exit_code, "there are nats-1" in done.stderr) == (2, True)
        assert CliRunner().invoke(app, ["cluster", "kill", "--pause", "nats-1", *folder]).exit_code == 0
        done = CliRunner().invoke(app, ["cluster", "status", "--json", *folder])
        assert done.exit_code == 1
        states = {one["name"]: one["state"] for one in json.loads(done.stdout)}
        assert (states["nats-1"], states["delivery-1"]) == ("paused", "gone")
        done = CliRunner().invoke(app, ["cluster", "up", *folder])
        assert (done.exit_code, "another shape" in done.stderr) == (2, True)
    finally:
        done = CliRunner().invoke(app, ["cluster", "down", "--remove-data", *folder])
    assert done.stdout == "ended: gateway-1, router-1, nats-1; its data is gone\n"
    done = CliRunner().invoke(app, ["cluster", "status", *folder])
    assert (done.exit_code, "cluster up" in done.stderr) == (2, True)


def test_a_shape_that_cannot_be_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["cluster", "up", "--folder", str(tmp_path / "one"), "--cassandra-nodes", "2"])
    assert (done.exit_code, "1 or 3" in done.stderr) == (2, True)
    assert not (tmp_path / "one").exists()
