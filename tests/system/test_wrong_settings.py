"""A process that cannot serve as it is set does not start, and says by which setting: eight ways, on real servers.

Each is a `folkmoot serve` as an operator starts it, with NATS and Cassandra there. They are listed in
`docs/operate/cluster.md`.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings, connect
from folkmoot.backends.nats.server import NatsServer, NatsUser
from folkmoot.checker.child import SERVE, ChildServer
from folkmoot.cli.connect import NOT_DONE, WRONG_USE
from folkmoot.cluster.cassandra_node import CassandraNode, NodeSettings
from folkmoot.cluster.process import free_port

pytestmark = pytest.mark.cassandra

Keyspace = Callable[[int], CassandraSettings]
WAIT_S_MAX = 30.0


class Place:
    """Where a router would serve: a NATS of its own, and the keyspace that the tests share."""

    def __init__(self, folder: Path, nats: NatsServer, settings: CassandraSettings) -> None:
        self.folder = folder
        self.nats = nats
        self.settings = settings

    def router(self, name: str, **changes: object) -> ChildServer:
        """A router with all settings right but the changed ones."""
        return ChildServer(self.folder / name, options=self._options(changes))

    async def refusal(self, **changes: object) -> str:
        """The line with which such a router does not start. Should it start, it ends at once, and well."""
        command = [*SERVE, "--port=0", f"--data-dir={self.folder / 'router'}", *self._options(changes)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        async with asyncio.timeout(WAIT_S_MAX):
            said, words = await process.communicate()
        assert (process.returncode in (NOT_DONE, WRONG_USE), said) == (True, b""), words
        return words.decode().strip().splitlines()[-1]

    def _options(self, changes: dict[str, object]) -> list[str]:
        set_to: dict[str, object] = {
            "roles": "router",
            "bus": "nats",
            "nats_urls": self.nats.url,
            "store": "cassandra",
            "cassandra_hosts": ",".join(self.settings.hosts),
            "cassandra_port": self.settings.port,
            "cassandra_keyspace": self.settings.keyspace,
            "cassandra_datacenter": self.settings.datacenter,
            "cassandra_user": self.settings.user,
            "bucket_size": self.settings.bucket_size,
        }
        return [f"--set={setting}={value}" for setting, value in (set_to | changes).items()]

    async def run_in_store(self, *statements: str) -> None:
        driver = await connect(self.settings)
        try:
            for statement in statements:
                await driver.run(statement)
        finally:
            await driver.close()

    @contextlib.asynccontextmanager
    async def stands_in_schema(self, name: str, value: str) -> AsyncIterator[None]:
        """Meanwhile the schema says so."""
        table = f"{self.settings.keyspace}.meta"
        driver = await connect(self.settings)
        ((was,),) = await driver.run(f"SELECT value FROM {table} WHERE name = '{name}'")
        await driver.close()
        put = f"INSERT INTO {table} (name, value) VALUES ('{name}', '%s')"
        await self.run_in_store(put % value)
        try:
            yield
        finally:
            await self.run_in_store(put % was)

    def private(self, name: str, text: str) -> str:
        """The path of a file with that text, which only its owner reads."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return str(path)


def at_a_place(
    tmp_path: Path, settings: CassandraSettings, test: Callable[[Place], Awaitable[None]], *users: NatsUser
) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path / "nats", users=users) as nats:
            await test(Place(tmp_path, nats, settings))

    (tmp_path / "nats").mkdir()
    asyncio.run(run())


def test_cassandra_away_at_the_start_is_told_as_cassandra_hosts(keyspace: Keyspace, tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        port = free_port()
        said = await place.refusal(cassandra_port=port)
        assert said.startswith(f"folkmoot: cassandra_hosts: no Cassandra answers at 127.0.0.1 at port {port}")

    at_a_place(tmp_path, keyspace(8), test)


def test_a_schema_that_is_missing_is_told_as_cassandra_keyspace(keyspace: Keyspace, tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        assert await place.refusal(cassandra_keyspace="nothing_here") == (
            "folkmoot: cassandra_keyspace: there is no keyspace nothing_here; `folkmoot migrate` makes it"
        )

    at_a_place(tmp_path, keyspace(8), test)


def test_a_wrong_password_is_told_as_cassandra_password_file_and_not_shown(
    cassandra_program: Path, tmp_path: Path
) -> None:
    async def test(place: Place) -> None:
        node = CassandraNode(
            NodeSettings(folder=tmp_path / "node", cql_port=free_port(), storage_port=free_port(), passwords=True)
        )
        try:
            await node.start()
            said = await place.refusal(
                cassandra_port=node.settings.cql_port,
                cassandra_user="user-1",
                cassandra_password_file=place.private("password", "not-the-one"),
            )
        finally:
            await node.kill()
        assert said == (
            "folkmoot: cassandra_password_file: Cassandra does not take this user and password (cassandra_user)"
        )

    at_a_place(tmp_path, CassandraSettings(hosts=("127.0.0.1",), datacenter="datacenter1"), test)


def test_a_data_centre_that_is_not_there_is_told_as_cassandra_datacenter(keyspace: Keyspace, tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        said = await place.refusal(cassandra_datacenter="elsewhere")
        assert said.startswith("folkmoot: cassandra_datacenter: 127.0.0.1 at port ")
        assert said.endswith(" has no data centre 'elsewhere'")

    at_a_place(tmp_path, keyspace(8), test)


def test_a_bucket_size_changed_after_the_fact_is_told_as_bucket_size(keyspace: Keyspace, tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        assert await place.refusal(bucket_size=16) == (
            "folkmoot: bucket_size: folkmoot_test_8 was made with 8, and keeps it; the setting says 16"
        )

    at_a_place(tmp_path, keyspace(8), test)


def test_a_nats_without_the_rights_is_told_as_nats_credentials_file(keyspace: Keyspace, tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        assert await place.refusal(nats_credentials_file=place.private("credentials", "user-1:a")) == (
            "folkmoot: nats_credentials_file: that user may not both publish and subscribe to `folkmoot.>`:"
            " give it these rights in NATS"
        )

    at_a_place(tmp_path, keyspace(8), test, NatsUser(name="user-1", password="a", allow=("other.>",)))


def test_a_router_of_another_data_centre_is_told_as_cassandra_datacenter(keyspace: Keyspace, tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        async with place.stands_in_schema("datacenter", "far"):
            assert await place.refusal() == (
                "folkmoot: cassandra_datacenter: the home of folkmoot_test_8 is far, not datacenter1;"
                " two homes would be two orders"
            )

    at_a_place(tmp_path, keyspace(8), test)


def test_a_router_of_another_store_that_meets_this_ones_on_nats_is_told_as_nats_urls(
    keyspace: Keyspace, tmp_path: Path
) -> None:
    """As where the servers of two data centres, each with a Cassandra of its own, were joined into one NATS."""
    ours, theirs = keyspace(8), keyspace(1_000)

    async def test(place: Place) -> None:
        first, later = place.router("first"), place.router("later")
        try:
            await first.start()
            said = await place.refusal(cassandra_keyspace=theirs.keyspace, bucket_size=1_000)
            assert said.startswith("folkmoot: nats_urls: processes of another store are on this NATS: theirs is")
            assert "keyspace folkmoot_test_8 of data centre datacenter1" in said
            assert "this one's is keyspace folkmoot_test_1000 of data centre datacenter1" in said
            # Who was there goes on, among its own, and has said so too.
            await later.start()
            async with asyncio.timeout(WAIT_S_MAX):
                log = first.data_dir / "server.log"
                while b"theirs is keyspace folkmoot_test_1000" not in log.read_bytes():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        finally:
            await first.stop()
            await later.stop()

    at_a_place(tmp_path, ours, test)


def test_a_schema_newer_than_the_program_is_told_as_cassandra_keyspace(keyspace: Keyspace, tmp_path: Path) -> None:
    async def test(place: Place) -> None:
        async with place.stands_in_schema("version", "99"):
            assert await place.refusal() == (
                "folkmoot: cassandra_keyspace: folkmoot_test_8 has schema 99, this program knows 1: use a newer program"
            )

    at_a_place(tmp_path, keyspace(8), test)
