"""The store and the accounts on a real Cassandra keep every promise of their ports, whatever the size of a bucket."""

import asyncio
from collections.abc import Callable

import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings
from folkmoot.testing import accounts_suite, store_suite
from folkmoot.testing.cassandra_harness import CassandraAccountsHarness, CassandraHarness

pytestmark = pytest.mark.cassandra


@pytest.mark.parametrize("check", store_suite.CHECKS, ids=store_suite.name_of)
@pytest.mark.parametrize("bucket_size", [8, 1_000])
def test_a_store_keeps_its_promises(
    bucket_size: int, check: store_suite.Check, keyspace: Callable[[int], CassandraSettings]
) -> None:
    harness = CassandraHarness(keyspace(bucket_size))

    async def run() -> None:
        try:
            await check(harness)
        finally:
            await harness.close()

    asyncio.run(run())


@pytest.mark.parametrize("check", accounts_suite.CHECKS, ids=accounts_suite.name_of)
def test_accounts_keep_their_promises(
    check: accounts_suite.Check, keyspace: Callable[[int], CassandraSettings]
) -> None:
    harness = CassandraAccountsHarness(keyspace(1_000))

    async def run() -> None:
        try:
            await check(harness)
        finally:
            await harness.close()

    asyncio.run(run())
