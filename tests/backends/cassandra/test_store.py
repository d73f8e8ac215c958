"""Opening a store, and what it counts."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings, SettingWrong
from folkmoot.backends.cassandra.store import CassandraStore
from folkmoot.ports.store import StoreAway
from folkmoot.telemetry.metrics import MEASURES
from folkmoot.testing.cassandra_harness import CassandraHarness
from folkmoot.testing.store_suite import Author

Keyspace = Callable[[int], CassandraSettings]


def test_a_store_that_is_not_there_is_away() -> None:
    settings = CassandraSettings(hosts=("127.0.0.1",), port=1, datacenter="datacenter1")
    with pytest.raises(StoreAway, match=r"^cassandra_hosts: "):
        asyncio.run(CassandraStore.open(settings))


@pytest.mark.cassandra
def test_what_it_does_is_counted(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        store = await harness.open_store()
        before = store.statistics()
        author = Author(store)
        await author.make()
        await author.say(*"abcdefghijklmnop")
        # Closed, or a full bucket may still be indexed, and that waits.
        await store.close()
        after = store.statistics()
        assert set(after) == {measure.name for measure in MEASURES if measure.role == "cassandra"}
        assert store.histograms() == {}
        assert after["buckets_opened"] - before["buckets_opened"] == 3
        assert after["requests"] > before["requests"]
        assert (after["waiting"], after["unknown"], after["refused"], after["projections_behind"]) == (0, 0, 0, 0)
        await harness.close()

    asyncio.run(run())


@pytest.mark.cassandra
def test_another_bucket_size_is_refused_at_the_start(keyspace: Keyspace) -> None:
    settings = msgspec.structs.replace(keyspace(8), bucket_size=9)
    with pytest.raises(SettingWrong, match=r"^bucket_size: "):
        asyncio.run(CassandraStore.open(settings))
