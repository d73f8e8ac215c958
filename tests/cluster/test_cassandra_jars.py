"""Cassandra's jars and their Java: found, fetched once, and named where they are missing."""

import os
from pathlib import Path

import pytest

from folkmoot.cluster import cassandra_jars
from folkmoot.cluster.cassandra_jars import CassandraMissing


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH but for the shell's own; nothing is cached."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    monkeypatch.setenv("PATH", str(bin_folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return bin_folder


def test_a_missing_java_is_named_with_how_to_get_it(path: Path) -> None:
    with pytest.raises(CassandraMissing, match=r"Java 17.*no java.*openjdk-17"):
        cassandra_jars.java()


def test_a_java_of_another_version_is_named(path: Path) -> None:
    program(path, "java", "echo 'openjdk version \"21.0.2\" 2024-01-16' >&2")
    with pytest.raises(CassandraMissing, match=r"Java 17 is needed.*21\.0\.2"):
        cassandra_jars.java()


def test_java_17_is_found(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2")
    assert cassandra_jars.java() == str(path / "java")
    home = tmp_path / "home"
    home.mkdir()
    program(home / "bin", "java", "echo 'openjdk version \"17.0.1\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert cassandra_jars.java() == str(home / "bin" / "java")


def test_jars_that_are_not_there_are_named_with_the_command(path: Path) -> None:
    with pytest.raises(CassandraMissing, match="make cluster"):
        cassandra_jars.jars()


def test_without_maven_it_is_named(path: Path) -> None:
    with pytest.raises(CassandraMissing, match=r"Maven is needed.*maven"):
        cassandra_jars.fetched()


def test_what_maven_said_is_told_and_nothing_half_stays(path: Path) -> None:
    program(path, "mvn", "echo 'the network is away'; exit 1")
    with pytest.raises(CassandraMissing, match="the network is away"):
        cassandra_jars.fetched()
    assert list(cassandra_jars.jars_folder().parent.iterdir()) == []


def test_the_jars_are_fetched_once(path: Path) -> None:
    brought = f"cassandra-all-{cassandra_jars.CASSANDRA_VERSION}.jar"
    # The folder comes in the last argument; no program of the system is on this path.
    program(
        path, "mvn", f'for last; do :; done\n/bin/mkdir -p "${{last#*=}}"; : > "${{last#*=}}/{brought}"; : > $0.ran'
    )
    folder = cassandra_jars.fetched()
    assert (folder / brought).exists()
    os.unlink(path / "mvn")
    assert cassandra_jars.fetched() == folder == cassandra_jars.jars()
