"""Facts about this machine: what is looked up is what is there, and nothing stays behind."""

import asyncio
import fcntl
import os
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.checker import machine
from folkmoot.ports.clock import SystemClock
from folkmoot.testing.store_suite import Author


def filled(folder: Path) -> Path:
    async def fill() -> None:
        store = await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), reserve_bytes=0)
        author = Author(store)
        await author.make()
        await author.say("hello")
        await store.close()

    asyncio.run(fill())
    return folder


class Alive(BaseHTTPRequestHandler):
    """Answers as the server does."""

    answer = b'{"status":"alive"}'

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


class Another(Alive):
    """Answers as something else does."""

    answer = b"<html>"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    issued = trustme.CA().issue_cert("127.0.0.1")
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(issued.cert_chain_pems[0].bytes())
    key_file.write_bytes(issued.private_key_pem.bytes())
    return cert_file, key_file


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("answers", "state"), [(Alive, "ours"), (Another, "taken")])
def test_a_port_that_is_taken_is_asked_whose_it_is(
    answers: type[Alive], state: str, tls: bool, certificate: tuple[Path, Path]
) -> None:
    with HTTPServer(("127.0.0.1", 0), answers) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            assert machine.port_of("127.0.0.1", server.server_port).state == state
        finally:
            server.shutdown()
            thread.join()


def test_a_port_that_is_free_stays_so() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert machine.port_of("127.0.0.1", port).state == "free"
    assert machine.port_of("127.0.0.1", port).state == "free"
    assert machine.port_of("192.0.2.1", port).state == "unknown address"


def test_the_process_that_has_the_store_is_known_by_its_lock(tmp_path: Path) -> None:
    assert machine.server_pid(tmp_path) is None
    handle = os.open(tmp_path / "folkmoot.db.lock", os.O_RDWR | os.O_CREAT)
    assert machine.server_pid(tmp_path) is None
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert machine.server_pid(tmp_path) == os.getpid()
    os.close(handle)
    assert machine.server_pid(tmp_path) is None


def test_limits_are_of_the_process_asked_for_or_of_this_one() -> None:
    assert machine.open_files(os.getpid()) == machine.OpenFiles(machine.open_files(None).hard, os.getpid())
    assert machine.open_files(2**22 + 1).pid is None


def test_syncs_are_timed_and_leave_no_file(tmp_path: Path) -> None:
    times = machine.sync_times(tmp_path)
    assert 0 < times.count <= machine.PROBES_MAX
    assert 0 < times.ms_p50 <= times.ms_p99
    assert list(tmp_path.iterdir()) == []
    assert machine.sync_times(tmp_path / "nowhere").error == "No such file or directory"


def test_a_disk_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    (tmp_path / "folkmoot.db").write_bytes(b"x" * 10)
    (tmp_path / "folkmoot.db-wal").write_bytes(b"x" * 5)
    assert machine.disk_of(tmp_path).store_bytes == 15
    assert machine.disk_of(tmp_path / "not" / "yet").free_bytes > 0
    assert machine.disk_of(Path("/proc")).file_system == "proc"


def test_clocks_are_looked_at_twice() -> None:
    seen = machine.clocks(interval_s=0.01)
    assert abs(seen.wall_ms - SystemClock().wall_ms()) < 10_000
    assert abs(seen.moved_ms) < 1_000


def test_versions_are_of_what_this_distribution_names() -> None:
    found = machine.versions()
    assert {"apsw", "msgspec", "typer"} <= found.installed.keys() == found.wanted.keys()
    assert "pytest" not in found.wanted
    assert found.tried["apsw"] == found.installed["apsw"]


def test_a_store_says_what_it_is_while_nothing_is_written(tmp_path: Path) -> None:
    assert machine.store_of(tmp_path) == machine.StoreFacts(False)
    path = filled(tmp_path) / "folkmoot.db"
    content = path.read_bytes()
    facts = machine.store_of(tmp_path)
    assert (facts.exists, facts.schema, facts.epoch, facts.last_entry_ms) == (True, facts.schema_known, 1, 5)
    assert (facts.problem, path.read_bytes()) == ("", content)
    path.write_bytes(b"no database at all" * 1_000)
    assert "not a database" in machine.store_of(tmp_path).problem
    path.write_bytes(content.replace(b"Folk", b"Else"))
    assert machine.store_of(tmp_path).problem == "it is another program's database"


def test_a_certificate_says_when_it_ends_or_why_it_cannot_be_served_with(certificate: tuple[Path, Path]) -> None:
    cert_file, key_file = certificate
    assert machine.certificate_of(cert_file, key_file).ends_ms > SystemClock().wall_ms()
    assert "tls_key_file" in machine.certificate_of(cert_file, cert_file).problem
    assert machine.certificate_of(key_file, key_file).problem
    assert machine.certificate_of(cert_file.with_name("none"), key_file).problem


def test_modes_are_those_of_the_file(tmp_path: Path) -> None:
    assert machine.mode_of(tmp_path / "none").mode is None
    path = tmp_path / "secret.key"
    path.write_bytes(b"x" * 48)
    path.chmod(0o640)
    assert machine.mode_of(path) == machine.FileMode("secret.key", 0o640, 48, True)
