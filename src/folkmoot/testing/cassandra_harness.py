"""A keyspace in which the suites of stores and accounts run on a real Cassandra, emptied before each."""

from typing import Final

from folkmoot.backends.cassandra.driver import CassandraSettings, connect
from folkmoot.backends.cassandra.migrate import migrate
from folkmoot.backends.cassandra.store import CassandraStore
from folkmoot.ports.accounts import Accounts
from folkmoot.ports.store import Store

_MADE: Final[list[CassandraSettings]] = []
"""Those that this process made: looking at a schema takes as long as a test."""


async def emptied(settings: CassandraSettings) -> CassandraSettings:
    """Make the keyspace that the settings name, with nothing in it but what its schema says. For tests alone."""
    if settings not in _MADE:
        await migrate(settings)
        _MADE.append(settings)
    driver = await connect(settings, keyspace=settings.keyspace)
    try:
        tables = await driver.run(
            f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{settings.keyspace}'"
        )
        for (table,) in tables:
            if table != "meta" and await driver.run(f"SELECT * FROM {table} LIMIT 1"):
                await driver.run(f"TRUNCATE {table}")
        await driver.run("DELETE FROM meta WHERE name = 'custody' IF EXISTS")
    finally:
        await driver.close()
    return settings


def settings_of(address: str, port: int, *, bucket_size: int, user: str = "", password: str = "") -> CassandraSettings:
    """One node of its own data centre, as tests start one; a keyspace for each bucket size."""
    return CassandraSettings(
        hosts=(address,),
        port=port,
        datacenter="datacenter1",
        keyspace=f"folkmoot_test_{bucket_size}",
        bucket_size=bucket_size,
        replication=1,
        user=user,
        password=password,
    )


def parse_node(text: str) -> tuple[str, int, str, str]:
    """Address, port, user and password of a node that runs already, from `address:port[:user:password]`."""
    address, port, *login = text.split(":", 3)
    user, password = login if len(login) == 2 else ("", "")
    return address, int(port), user, password


class CassandraHarness:
    """Opens stores. A crash drops one, with all that it knows and had begun; what is durable stays in the keyspace."""

    def __init__(self, settings: CassandraSettings) -> None:
        self.settings = settings
        self.stores: list[CassandraStore] = []

    async def open_store(self) -> CassandraStore:
        self.stores.append(await CassandraStore.open(self.settings))
        return self.stores[-1]

    async def open(self) -> Store:
        return await self.open_store()

    async def crash(self) -> None:
        """The next store starts from the keyspace alone."""

    async def close(self) -> None:
        """Let go of all that were opened."""
        for store in self.stores:
            await store.close()


class CassandraAccountsHarness:
    """Opens accounts, each in a store of its own."""

    def __init__(self, settings: CassandraSettings) -> None:
        self._stores = CassandraHarness(settings)

    async def open(self) -> Accounts:
        return (await self._stores.open_store()).accounts

    async def crash(self) -> None:
        """The next accounts start from the keyspace alone."""

    async def shut(self) -> None:
        await self._stores.stores[-1].close()

    async def close(self) -> None:
        await self._stores.close()
