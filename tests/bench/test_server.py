"""The measured server is the real one, and its counts are read as they are exposed."""

import socket
from pathlib import Path

import pytest

from folkmoot.bench.process import ChildFailed
from folkmoot.bench.server import Server, counts_at, counts_of


def test_it_is_ready_and_says_what_it_counts(tmp_path: Path) -> None:
    server = Server(tmp_path, cores=(), settings={"ping_interval_s": 30})
    try:
        assert server.wait_ready() > 0
        counts = server.counts()
        assert counts["folkmoot_gateway_connections"] == 0
        assert counts["folkmoot_store_commits_total"] == 0
        assert len(server.secret) >= 32
        assert server.settings["ping_interval_s"] == 30
    finally:
        server.stop()


def test_a_server_that_does_not_answer_has_failed() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(ChildFailed, match="could not be read"):
            counts_at("127.0.0.1", silent.getsockname()[1])


def test_samples_with_labels_are_left_out() -> None:
    text = '# HELP a b\n# TYPE a counter\na_total 3.0\nb{code="x"} 4.0\nc 1e3\n'
    assert counts_of(text) == {"a_total": 3.0, "c": 1_000.0}
