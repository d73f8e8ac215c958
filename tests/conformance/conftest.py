"""A real Cassandra for the suites, where there is one."""

import asyncio
import os
from collections.abc import Callable

import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings
from folkmoot.testing.cassandra_harness import emptied, parse_node, settings_of


@pytest.fixture
def keyspace(request: pytest.FixtureRequest) -> Callable[[int], CassandraSettings]:
    """An empty keyspace with buckets of a size, on the node that `CASSANDRA_FOR_TESTS` names, or one of ours."""
    given = os.environ.get("CASSANDRA_FOR_TESTS")
    if given:
        address, port, user, password = parse_node(given)
    else:
        node = request.getfixturevalue("cassandra_node")
        address, port, user, password = node.settings.address, node.settings.cql_port, "", ""

    def made(bucket_size: int) -> CassandraSettings:
        settings = settings_of(address, port, bucket_size=bucket_size, user=user, password=password)
        return asyncio.run(emptied(settings))

    return made
