"""systemd is told where it asks, in the file system or in the abstract space; nobody else is, and nothing fails."""

import socket
from pathlib import Path

import pytest

from folkmoot.node.notify import notify


@pytest.mark.parametrize("abstract", [True, False])
def test_the_socket_that_was_named_hears(tmp_path: Path, abstract: bool) -> None:
    named = f"@{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(named.replace("@", "\0", 1))
        heard.settimeout(5)
        notify("READY=1", {"NOTIFY_SOCKET": named})
        assert heard.recv(100) == b"READY=1"


@pytest.mark.parametrize("named", ["", "relative", "/nobody/listens/here", "@nobody-listens-here", "/" + "x" * 300])
def test_with_nobody_there_nothing_happens(named: str) -> None:
    notify("READY=1", {"NOTIFY_SOCKET": named})
    notify("READY=1", {})
