"""`folkmoot migrate` says what it made, and by which setting it could not."""

import json
import os
import subprocess
import sys

import pytest


def _folkmoot(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FOLKMOOT_")}
    command = [sys.executable, "-m", "folkmoot.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def test_nobody_there_is_told_by_the_setting() -> None:
    done = _folkmoot("migrate", "--set", "cassandra_port=1")
    assert done.returncode == 1
    assert "cassandra_hosts: no Cassandra answers at 127.0.0.1 at port 1" in done.stderr


def test_a_password_file_that_is_not_there_is_told() -> None:
    done = _folkmoot("migrate", "--set", "cassandra_password_file=/nowhere/password")
    assert done.returncode == 2
    assert "cassandra_password_file: /nowhere/password cannot be read" in done.stderr


def test_a_server_without_its_cassandra_says_so(tmp_path: object) -> None:
    words = ("--port", "0", "--data-dir", str(tmp_path), "--set", "store=cassandra", "--set", "cassandra_port=1")
    done = _folkmoot("serve", *words)
    assert done.returncode == 1
    assert "cassandra_hosts: no Cassandra answers" in done.stderr


@pytest.mark.cassandra
def test_a_keyspace_is_made_and_keeps_what_it_says(request: pytest.FixtureRequest) -> None:
    node = request.getfixturevalue("cassandra_node").settings
    words = ["--set", f"cassandra_hosts={node.address}", "--set", f"cassandra_port={node.cql_port}"]
    words += ["--set", "cassandra_keyspace=by_command", "--set", "cassandra_replication=1"]
    stores = set()
    for _ in range(2):
        done = _folkmoot("migrate", *words, "--epoch", "7", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        stores.add(told.pop("store"))
        assert told == {
            "keyspace": "by_command", "version": 1, "epoch": 7, "datacenter": "datacenter1", "bucket_size": 1_000,
        }  # fmt: skip
    # Drawn once, and then the keyspace's for ever: by it routers tell one store from another.
    assert len(stores) == 1
    assert all(stores)
    changed = _folkmoot("migrate", *words, "--set", "bucket_size=10")
    assert changed.returncode == 2
    assert "bucket_size: by_command was made with 1000" in changed.stderr
