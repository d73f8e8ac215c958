"""Verdicts: each fact judged alone, what is wrong named with how to mend it, and nothing to mend where all is well."""

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from folkmoot.checker import doctor
from folkmoot.checker.doctor import Finding
from folkmoot.checker.machine import (
    CertificateFacts,
    Clocks,
    Disk,
    FileMode,
    OpenFiles,
    Port,
    StoreFacts,
    SyncTimes,
    Versions,
)
from folkmoot.node.config import Settings

SETTINGS = Settings()
GIB = 1_073_741_824
NOW_MS = 1_800_000_000_000
STORE = StoreFacts(True, 2, 2, 1, NOW_MS - 1_000, 0)
CLOCKS = Clocks(NOW_MS, 0.1, True)
VERSIONS = Versions("3.12.1", "3.50", {"apsw": "3.54.1.0"}, {"apsw": "3.50"}, {"apsw": "3.54.1.0"})
SECRET = FileMode("secret.key", 0o600, 96)


def judged(finding: Finding) -> tuple[str, str]:
    # Whoever is told that something is wrong is told how to mend it.
    assert bool(finding.mend) == (finding.level != "ok"), finding
    return finding.level, finding.what


def levels(findings: Iterable[Finding]) -> dict[str, str]:
    found = {}
    for finding in findings:
        found[finding.name] = judged(finding)[0]
    return found


@pytest.mark.parametrize(
    ("port", "server", "level", "what"),
    [
        (Port("127.0.0.1", 0, "free"), None, "ok", "any that is free"),
        (Port("::1", 80, "free"), None, "ok", "[::1]:80 is free"),
        (Port("127.0.0.1", 80, "free"), 7, "ok", "the store is process 7's"),
        (Port("127.0.0.1", 80, "ours"), 7, "ok", "a Folkmoot server answers on 127.0.0.1:80"),
        (Port("127.0.0.1", 80, "taken"), None, "bad", "another program listens"),
        (Port("127.0.0.1", 80, "taken"), 7, "warn", "does not answer as Folkmoot"),
        (Port("127.0.0.1", 80, "denied"), None, "bad", "may not listen"),
        (Port("10.9.9.9", 80, "unknown address"), None, "bad", "no address of this machine"),
    ],
)
def test_a_port(port: Port, server: int | None, level: str, what: str) -> None:
    found = judged(doctor.on_port(port, server))
    assert found[0] == level
    assert what in found[1]


def test_open_files() -> None:
    assert judged(doctor.on_open_files(OpenFiles(20_000, None), 15_000))[0] == "ok"
    finding = doctor.on_open_files(OpenFiles(4_096, 7), 15_000)
    assert judged(finding) == ("bad", "4096 of the running server (process 7), 16088 needed for 15000 connections")
    assert "connections_max to 3008" in finding.mend


def test_a_disk() -> None:
    assert levels(doctor.on_disk(Disk(100 * GIB, GIB, "ext4"), SETTINGS)) == {"space": "ok", "file system": "ok"}
    assert levels(doctor.on_disk(Disk(3 * GIB, 4 * GIB, ""), SETTINGS)) == {"space": "warn", "file system": "ok"}
    assert levels(doctor.on_disk(Disk(GIB // 2, 0, "tmpfs"), SETTINGS)) == {"space": "warn", "file system": "bad"}
    assert levels(doctor.on_disk(Disk(10_000_000, 0, "nfs4"), SETTINGS)) == {"space": "bad", "file system": "bad"}


@pytest.mark.parametrize(
    ("times", "level"),
    [
        (SyncTimes(0.2, 0.4, 200), "ok"),
        (SyncTimes(0.001, 0.002, 200), "warn"),
        (SyncTimes(0.2, 80.0, 200), "warn"),
        (SyncTimes(8.0, 12.0, 200), "warn"),
        (SyncTimes(70.0, 90.0, 28), "bad"),
        (SyncTimes(0, 0, 0, "Permission denied"), "bad"),
    ],
)
def test_syncs(times: SyncTimes, level: str) -> None:
    assert judged(doctor.on_sync(times, "data"))[0] == level


@pytest.mark.parametrize(
    ("changes", "level", "what"),
    [
        ({}, "ok", "kept by a time service"),
        ({"synchronised": None}, "ok", "not known"),
        ({"synchronised": False}, "warn", "no time service"),
        ({"moved_ms": -40.0}, "warn", "moved by -40 ms"),
        ({"wall_ms": NOW_MS - 60_000}, "bad", "59 s before the store's last entry"),
        ({"wall_ms": 5}, "bad", "before 2025"),
    ],
)
def test_a_clock(changes: dict[str, Any], level: str, what: str) -> None:
    found = judged(doctor.on_clock(replace(CLOCKS, **changes), STORE))
    assert found[0] == level
    assert what in found[1]


def test_versions() -> None:
    assert levels(doctor.on_versions(VERSIONS)) == {"python": "ok", "libraries": "ok", "write loop": "ok"}
    (loop,) = (
        finding for finding in doctor.on_versions(replace(VERSIONS, together=False)) if finding.name == "write loop"
    )
    assert (loop.level, "io_uring" in loop.what) == ("ok", True)
    assert levels(doctor.on_versions(replace(VERSIONS, native=False)))["write loop"] == "warn"
    assert levels(doctor.on_versions(replace(VERSIONS, python="3.10.9")))["python"] == "bad"
    assert levels(doctor.on_versions(replace(VERSIONS, python="3.13.0rc1")))["python"] == "ok"
    for installed, level in (("3.9", "bad"), ("", "bad"), ("3.55", "warn"), ("3.54.1.0", "ok")):
        found = levels(doctor.on_versions(replace(VERSIONS, installed={"apsw": installed})))
        assert found["libraries"] == level, installed


@pytest.mark.parametrize(
    ("fact", "level", "what"),
    [
        (StoreFacts(False), "ok", "none yet"),
        (STORE, "ok", "schema 2, epoch 1"),
        (replace(STORE, schema=3), "bad", "this program knows 2"),
        (replace(STORE, schema=1), "warn", "the next start makes it 2"),
        (replace(STORE, log_bytes=GIB), "warn", "its log has 1.0 GiB"),
        (StoreFacts(True, problem="malformed"), "bad", "cannot be read: malformed"),
    ],
)
def test_a_store(fact: StoreFacts, level: str, what: str) -> None:
    found = judged(doctor.on_store(fact, SETTINGS))
    assert found[0] == level
    assert what in found[1]


@pytest.mark.parametrize(
    ("fact", "level"),
    [
        (FileMode("secret.key", None), "ok"),
        (SECRET, "ok"),
        (replace(SECRET, mode=0o640), "bad"),
        (replace(SECRET, mode=0o604), "bad"),
        (replace(SECRET, size_bytes=8), "bad"),
        (replace(SECRET, ours=False), "warn"),
    ],
)
def test_a_secret(fact: FileMode, level: str) -> None:
    assert judged(doctor.on_secret(fact))[0] == level


def test_a_certificate() -> None:
    day_ms = 86_400_000
    for days, level in ((90, "ok"), (14, "ok"), (13, "warn"), (-1, "bad")):
        assert judged(doctor.on_certificate(CertificateFacts(NOW_MS + days * day_ms), NOW_MS))[0] == level
    assert judged(doctor.on_certificate(CertificateFacts(0, "not a certificate"), NOW_MS)) == (
        "bad",
        "not a certificate",
    )


def test_folders_and_files_of_keys() -> None:
    for mode, level in ((None, "ok"), (0o700, "ok"), (0o750, "ok"), (0o755, "warn")):
        assert judged(doctor.on_data_dir(FileMode("data", mode)))[0] == level
    for mode, level in ((None, "bad"), (0o644, "ok"), (0o666, "bad")):
        assert judged(doctor.on_key_file("token_jwks_file", "keys.json", FileMode("keys.json", mode)))[0] == level


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"sends_per_s": 300.0}, "may send more than it may say"),
        ({"sends_burst": 3_000.0}, "may send more than it may say"),
        ({"announce_interval_s": 400.0}, "rarer than the sweep"),
        ({"heads_interval_s": 130.0}, "heads are repeated more rarely"),
        ({"drain_seconds_max": 1.0}, "waits less long"),
        ({"sqlite_reserve_bytes": 0}, "no room is set aside"),
        ({"metrics_open": True, "host": "0.0.0.0", "tls_cert_file": "x"}, "/metrics is open"),
        ({"metrics_open": True, "host": "chat.example", "tls_cert_file": "x"}, "/metrics is open"),
        ({"host": "0.0.0.0"}, "in the clear"),
        ({"token_issuer": "x"}, "no foreign key is set"),
    ],
)
def test_settings_that_contradict_one_another(changes: dict[str, Any], what: str) -> None:
    (finding,) = doctor.on_settings(replace(SETTINGS, **changes))
    assert judged(finding)[0] == "warn"
    assert what in finding.what


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metrics_open": True},
        {"metrics_open": True, "host": "localhost"},
        {"token_issuer": "x", "token_jwks_file": "y"},
    ],
)
def test_settings_that_do_not(changes: dict[str, Any]) -> None:
    (finding,) = doctor.on_settings(replace(SETTINGS, **changes))
    assert judged(finding)[0] == "ok"
