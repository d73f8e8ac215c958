"""A real cluster, roles apart on NATS and Cassandra, struck while a crowd talks: all get everything, once, in order."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from folkmoot.cli.main import app

STRUCK = "kill_gateway,kill_router,kill_delivery,kill_nats,pause_router,pause_delivery,bus_cut"


@pytest.mark.timeout(400)
def test_nobody_misses_anything_while_processes_of_a_cluster_are_struck(cassandra_program: Path) -> None:
    crowd = ["--clients", "12", "--groups", "4", "--members", "6", "--rate", "20"]
    strikes = ["--seconds", "25", "--seed", "7", "--faults", STRUCK]
    done = CliRunner().invoke(app, ["check", "live", "--cluster", "--nats", "1", "--json", *crowd, *strikes])
    assert done.exit_code in (0, 1), done.output
    report = json.loads(done.stdout)
    assert report["clean"], report
    assert report["verdict"]["acknowledged"] > 100
    assert sum(report["faults"].values()) >= 2
