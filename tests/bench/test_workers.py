"""A process of `serve --workers` counts for its role, and all of them together."""

import os
import subprocess
import sys
from pathlib import Path

from folkmoot.bench.workers import Workers, children_of, role_of


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
