"""A node of Cassandra: its files and its command; and a real one, started, killed, paused and started again."""

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from folkmoot.cluster.cassandra_node import (
    CassandraNode,
    NodeSettings,
    answers,
    command,
    configuration,
    files,
    has_all_copies,
)
from folkmoot.cluster.process import ProcessFailed, free_port


@pytest.fixture
def in_memory() -> Iterator[Path]:
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="folkmoot-cassandra-", dir=place) as folder:
        yield Path(folder)


def test_an_answered_write_is_one_that_the_disk_has(tmp_path: Path) -> None:
    settings = configuration(NodeSettings(folder=tmp_path))
    assert (settings["commitlog_sync"], settings["commitlog_sync_group_window"]) == ("group", "2ms")
    assert settings["concurrent_writes"] >= 128
    assert settings["native_transport_max_threads"] >= 128


def test_all_of_a_node_is_in_its_folder(tmp_path: Path) -> None:
    settings = NodeSettings(folder=tmp_path / "one")
    texts = {path.name: text for path, text in files(settings).items()}
    assert {path.parent for path in files(settings)} == {tmp_path / "one"}
    written = json.loads(texts["cassandra.yaml"])
    assert written == configuration(settings)
    places = [value for key, value in written.items() if key.endswith("directory")] + written["data_file_directories"]
    assert len(places) == 5
    assert all(place.startswith(str(tmp_path / "one")) for place in places)
    assert str(tmp_path / "one" / "system.log") in texts["logback.xml"]


def test_three_nodes_share_ports_and_seeds_and_differ_by_address(tmp_path: Path) -> None:
    three = [NodeSettings(folder=tmp_path, address=f"127.0.0.{n}", storage_port=7100, nodes=3) for n in (1, 2, 3)]
    written = [configuration(one) for one in three]
    assert [one["listen_address"] for one in written] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert {one["seed_provider"][0]["parameters"][0]["seeds"] for one in written} == {"127.0.0.1:7100"}
    assert {one["allocate_tokens_for_local_replication_factor"] for one in written} == {3}


def test_who_asks_for_passwords_gets_them(tmp_path: Path) -> None:
    assert configuration(NodeSettings(folder=tmp_path))["authenticator"] == "AllowAllAuthenticator"
    assert configuration(NodeSettings(folder=tmp_path, passwords=True))["authenticator"] == "PasswordAuthenticator"


def test_the_command_names_the_java_the_jars_and_the_heap(tmp_path: Path) -> None:
    (tmp_path / "jamm-0.4.0.jar").touch()
    words = command(NodeSettings(folder=tmp_path / "one", heap_mb=512), "/opt/java", tmp_path)
    assert words[0] == "/opt/java"
    assert "-Xmx512M" in words
    assert f"-javaagent:{tmp_path / 'jamm-0.4.0.jar'}" in words
    assert words[-2:] == [f"{tmp_path}/*", "org.apache.cassandra.service.CassandraDaemon"]


def test_where_nothing_listens_nothing_answers() -> None:
    assert not asyncio.run(answers("127.0.0.1", free_port()))


def test_who_speaks_something_else_is_no_cassandra() -> None:
    async def run() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            assert not await answers("127.0.0.1", server.sockets[0].getsockname()[1])

    asyncio.run(run())


def test_a_real_node_that_is_killed_or_paused_does_not_answer_and_comes_back(
    cassandra_program: Path, in_memory: Path
) -> None:
    async def run() -> None:
        settings = NodeSettings(folder=in_memory, cql_port=free_port(), storage_port=free_port())
        node = CassandraNode(settings)
        await node.start()
        assert await answers(settings.address, settings.cql_port)
        assert await has_all_copies(settings.address, settings.cql_port, "system.local")
        assert not await has_all_copies(settings.address, settings.cql_port, "system.nothing_here")
        await node.kill()
        assert not await answers(settings.address, settings.cql_port)
        await node.start()
        node.pause()
        assert not await answers(settings.address, settings.cql_port)
        node.resume()
        await node.ready()
        await node.stop()
        assert node.process is not None
        assert not node.process.is_running

    asyncio.run(run())


def test_a_real_node_that_cannot_start_says_why(cassandra_program: Path, in_memory: Path) -> None:
    async def run() -> None:
        taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with taken:
            settings = NodeSettings(
                folder=in_memory, cql_port=free_port(), storage_port=taken.sockets[0].getsockname()[1]
            )
            with pytest.raises(ProcessFailed, match=r"(?s)127\.0\.0\.1 ended.*in use"):
                await CassandraNode(settings).start()

    asyncio.run(run())
