"""Costs of roles come from what differs among loads, and each process counts for its role."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from folkmoot.bench.roles import FEW_MEMBERS, Workers, children_of, costs_of, role_of


def test_what_differs_among_the_loads_is_the_cost() -> None:
    send, push, delivery, router, bus, bus_push, pointer = 200e-6, 40e-6, 8e-6, 300e-6, 50e-6, 5e-6, 30e-6

    def load(members: int, *, gateways: int = 1, acks_per_send: float = 0.0) -> dict[str, float]:
        gateway = send + gateways * push + members * delivery + acks_per_send * pointer
        return {"gateway": gateway, "router": router, "bus": bus + gateways * bus_push}

    few = load(FEW_MEMBERS)
    loads = {"few": few, "busy": few, "busy_on_two": load(FEW_MEMBERS, gateways=2)}
    loads |= {"many": load(130), "many_acked": load(130, acks_per_send=12)}
    assert costs_of(loads, members=130, acks_per_send=12) == {
        "gateway_us_per_delivery": pytest.approx(8),
        "gateway_us_per_push": pytest.approx(40),
        "gateway_us_per_send": pytest.approx(200),
        "router_us_per_send": pytest.approx(300),
        "bus_us_per_push": pytest.approx(5),
        "bus_us_per_send": pytest.approx(50),
        "pointer_us": pytest.approx(30),
    }


def test_a_process_is_told_by_its_command() -> None:
    assert role_of([b"python", b"-m", b"folkmoot.cli", b"serve", b"--set", b"roles=gateway"]) == "gateway"
    assert role_of([b"python", b"-m", b"folkmoot.cli", b"serve", b"--set", b"roles=router,delivery"]) == "router"
    assert role_of([b"/usr/bin/nats-server", b"-c", b"file"]) == "bus"


def test_children_are_those_of_one_process_and_no_others() -> None:
    before = children_of(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert set(children_of(os.getpid())) - set(before) == {child.pid}
        assert children_of(child.pid) == []
    finally:
        child.communicate()


def test_all_processes_of_workers_are_counted_by_role(tmp_path: Path) -> None:
    server = Workers(tmp_path, gateways=1, cores=[], settings={})
    try:
        server.wait_ready()
        assert all(spent > 0 for spent in server.cpu_s().values())
        assert server.usage().rss_bytes > 50_000_000
    finally:
        server.stop()
