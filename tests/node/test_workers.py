"""Workers: what is refused before anything starts. Real processes, and what befalls them, are in tests/system."""

import socket
from pathlib import Path

import pytest

from folkmoot.node.config import SettingsError, load_settings
from folkmoot.node.workers import WORKERS_MAX, Workers, reserved_port
from folkmoot.ports.clock import SystemClock


@pytest.mark.parametrize("count", [0, -1, WORKERS_MAX + 1])
def test_how_many_there_may_be(tmp_path: Path, count: int) -> None:
    with pytest.raises(SettingsError, match=f"1 to {WORKERS_MAX}"):
        Workers(count, load_settings({"data_dir": str(tmp_path)}, {}, None), {}, SystemClock())


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = load_settings({"port": other.getsockname()[1]}, {}, None)
        with pytest.raises(OSError, match="in use"):
            reserved_port(settings)


def test_a_free_port_is_taken_and_can_be_shared() -> None:
    with reserved_port(load_settings({"port": 0}, {}, None)) as held, socket.socket() as gateway:
        port = held.getsockname()[1]
        assert port > 0
        gateway.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        gateway.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        gateway.bind(("127.0.0.1", port))
        gateway.listen()
        # Who only holds the port takes no connection from those who serve.
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            connection, _ = gateway.accept()
            connection.close()
