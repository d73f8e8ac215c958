"""The store and the accounts on tables in memory keep the promises that they keep on a real Cassandra."""

import asyncio

import pytest

from folkmoot.backends.cassandra.migrate import Schema
from folkmoot.backends.cassandra.store import CassandraStore
from folkmoot.ports.accounts import Accounts
from folkmoot.ports.store import Store
from folkmoot.testing import accounts_suite, store_suite
from folkmoot.testing.cassandra_tables import Tables, TablesDriver


class Harness:
    """A crash drops a store with all that it knows; the tables stay."""

    def __init__(self, bucket_size: int) -> None:
        self.tables = Tables()
        self.stores: list[CassandraStore] = []
        self._schema = Schema(version=1, epoch=1, datacenter="home", bucket_size=bucket_size)

    async def open(self) -> Store:
        self.stores.append(CassandraStore(TablesDriver(self.tables), self._schema))
        return self.stores[-1]

    async def crash(self) -> None:
        """The next store starts from the tables alone."""

    async def close(self) -> None:
        for store in self.stores:
            await store.close()


class AccountsHarness:
    def __init__(self) -> None:
        self.stores = Harness(8)

    async def open(self) -> Accounts:
        await self.stores.open()
        return self.stores.stores[-1].accounts

    async def crash(self) -> None:
        """The next accounts start from the tables alone."""

    async def shut(self) -> None:
        await self.stores.stores[-1].close()


@pytest.mark.parametrize("check", store_suite.CHECKS, ids=store_suite.name_of)
@pytest.mark.parametrize("bucket_size", [8, 1_000])
def test_a_store_on_them_keeps_its_promises(bucket_size: int, check: store_suite.Check) -> None:
    harness = Harness(bucket_size)

    async def run() -> None:
        try:
            await check(harness)
        finally:
            await harness.close()

    asyncio.run(run())


@pytest.mark.parametrize("check", accounts_suite.CHECKS, ids=accounts_suite.name_of)
def test_accounts_in_them_keep_their_promises(check: accounts_suite.Check) -> None:
    harness = AccountsHarness()

    async def run() -> None:
        try:
            await check(harness)
        finally:
            await harness.stores.close()

    asyncio.run(run())
