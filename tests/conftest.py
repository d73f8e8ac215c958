"""What holds for every test: no step of an event loop works for long. And a real Cassandra for those that ask."""

import asyncio
import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from folkmoot.cluster import cassandra_jars
from folkmoot.cluster.cassandra_node import CassandraNode, NodeSettings
from folkmoot.cluster.process import free_port
from folkmoot.testing.long_steps import long_steps

if TYPE_CHECKING:
    from folkmoot.backends.cassandra.driver import CassandraSettings

STEP_SECONDS_MAX: Final = 0.25


def pytest_collection_finish() -> None:
    """Has done, before the first test, what would otherwise count as work of whichever step comes first.

    A first application has a hundred modules loaded, and the collector walks all that was collected.
    """
    from litestar import Litestar

    Litestar()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_step_works_for_long() -> Iterator[None]:
    """Fails the test in which one did."""
    with long_steps(STEP_SECONDS_MAX) as found:
        yield
    assert found == [], f"over {STEP_SECONDS_MAX} s: give the loop a turn in between, or use a thread"


@pytest.fixture(scope="session")
def cassandra_program() -> Path:
    """The folder with Cassandra's jars, fetched where they are not there yet.

    Where that cannot be, who asks for it is skipped, and says so. In CI a machine without Java or Maven is a failure; a
    network that does not bring the jars is not.
    """
    try:
        cassandra_jars.java()
        return cassandra_jars.fetched()
    except cassandra_jars.CassandraMissing as missing:
        words = f"NOT TRIED on a real Cassandra: {missing}"
        if os.environ.get("CI") and not isinstance(missing, cassandra_jars.CassandraUnreachable):
            pytest.fail(words)
        pytest.skip(words)


@pytest.fixture(scope="session")
def cassandra_node(cassandra_program: Path) -> Iterator[CassandraNode]:
    """One node for the whole run, its data in memory; a test takes a keyspace of its own."""
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="folkmoot-cassandra-", dir=in_memory) as folder:
        node = CassandraNode(
            NodeSettings(folder=Path(folder), cql_port=free_port(), storage_port=free_port()), tied=True
        )
        asyncio.run(node.start())
        try:
            yield node
        finally:
            asyncio.run(node.kill())


@pytest.fixture
def keyspace(request: pytest.FixtureRequest) -> "Callable[[int], CassandraSettings]":
    """An empty keyspace with buckets of a size, on the node that `CASSANDRA_FOR_TESTS` names, or one of ours."""
    # Only who asks for one loads the driver.
    from folkmoot.testing.cassandra_harness import emptied, parse_node, settings_of

    given = os.environ.get("CASSANDRA_FOR_TESTS")
    if given:
        address, port, user, password = parse_node(given)
    else:
        node = request.getfixturevalue("cassandra_node")
        address, port, user, password = node.settings.address, node.settings.cql_port, "", ""

    def made(bucket_size: int) -> "CassandraSettings":
        settings = settings_of(address, port, bucket_size=bucket_size, user=user, password=password)
        return asyncio.run(emptied(settings))

    return made
