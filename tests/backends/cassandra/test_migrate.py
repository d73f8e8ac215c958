"""The schema is made once, keeps what it says, and is not served from by those that it does not fit."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings, SettingWrong, connect
from folkmoot.backends.cassandra.migrate import Schema, migrate, read_schema
from folkmoot.backends.cassandra.store import CassandraStore
from folkmoot.ports.store import SchemaUnknown

Keyspace = Callable[[int], CassandraSettings]


async def _run(settings: CassandraSettings, *statements: str) -> None:
    driver = await connect(settings)
    try:
        for statement in statements:
            await driver.run(statement)
    finally:
        await driver.close()


async def _opened(settings: CassandraSettings) -> None:
    store = await CassandraStore.open(settings)
    await store.close()


@pytest.mark.cassandra
def test_making_it_again_and_by_two_at_once_changes_nothing(keyspace: Keyspace) -> None:
    settings = msgspec.structs.replace(keyspace(8), keyspace="folkmoot_test_made")

    async def run() -> None:
        await _run(settings, "DROP KEYSPACE IF EXISTS folkmoot_test_made")
        made = await migrate(settings, epoch=7)
        assert made == Schema(version=1, epoch=7, datacenter="datacenter1", bucket_size=8, store=made.store)
        assert len(made.store) == 16
        assert list(await asyncio.gather(migrate(settings, epoch=9), migrate(settings))) == [made, made]
        store = await CassandraStore.open(settings)
        assert await store.epoch() == 7
        assert store.home == f"keyspace folkmoot_test_made of data centre datacenter1 ({made.store})"
        await store.close()
        await _run(settings, "DROP KEYSPACE folkmoot_test_made")

    asyncio.run(run())


@pytest.mark.cassandra
def test_what_stands_in_it_is_not_to_be_changed_by_a_setting(keyspace: Keyspace) -> None:
    settings = keyspace(8)
    bigger = msgspec.structs.replace(settings, bucket_size=16)
    for act in (_opened(bigger), migrate(bigger)):
        with pytest.raises(SettingWrong, match=r"^bucket_size: folkmoot_test_8 was made with 8.* says 16"):
            asyncio.run(act)


@pytest.mark.cassandra
def test_a_router_of_another_home_does_not_start(keyspace: Keyspace) -> None:
    settings = keyspace(8)
    to, back = (
        f"UPDATE {settings.keyspace}.meta SET value = '{home}' WHERE name = 'datacenter'"
        for home in ("far", settings.datacenter)
    )
    asyncio.run(_run(settings, to))
    try:
        with pytest.raises(SettingWrong, match=r"^cassandra_datacenter: the home of folkmoot_test_8 is far"):
            asyncio.run(_opened(settings))
    finally:
        asyncio.run(_run(settings, back))


@pytest.mark.cassandra
def test_a_process_where_no_copies_are_is_told_so_before_anything_is_read(keyspace: Keyspace) -> None:
    """Where they are two data centres of one Cassandra, reading its schema would only say that copies are away."""
    settings = keyspace(8)

    async def run() -> None:
        driver = await connect(settings, keyspace=settings.keyspace)
        try:
            with pytest.raises(SettingWrong, match=r"^cassandra_datacenter: .* copies in datacenter1, and none in far"):
                await read_schema(driver, msgspec.structs.replace(settings, datacenter="far"))
        finally:
            await driver.close()

    asyncio.run(run())


@pytest.mark.cassandra
def test_a_newer_schema_is_left_alone(keyspace: Keyspace) -> None:
    settings = keyspace(8)
    meta = f"INSERT INTO {settings.keyspace}.meta (name, value) VALUES ('version', '%d')"
    asyncio.run(_run(settings, meta % 99))
    try:
        for act in (_opened, migrate):
            with pytest.raises(SchemaUnknown, match="has schema 99, this program knows 1: use a newer program"):
                asyncio.run(act(settings))
    finally:
        asyncio.run(_run(settings, meta % 1))


@pytest.mark.cassandra
def test_no_schema_and_somebody_elses_are_told_apart(keyspace: Keyspace) -> None:
    settings = msgspec.structs.replace(keyspace(8), keyspace="folkmoot_test_bare")
    drop = "DROP KEYSPACE IF EXISTS folkmoot_test_bare"
    make = "CREATE KEYSPACE folkmoot_test_bare WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    asyncio.run(_run(settings, drop))
    with pytest.raises(SettingWrong, match="cassandra_keyspace: there is no keyspace folkmoot_test_bare"):
        asyncio.run(_opened(settings))
    asyncio.run(_run(settings, make))
    with pytest.raises(SettingWrong, match="cassandra_keyspace: folkmoot_test_bare holds no schema of ours"):
        asyncio.run(_opened(settings))
    table = "CREATE TABLE folkmoot_test_bare.meta (name text PRIMARY KEY, value text)"
    asyncio.run(_run(settings, table, "INSERT INTO folkmoot_test_bare.meta (name, value) VALUES ('version', 'x')"))
    with pytest.raises(SchemaUnknown, match="not one of ours"):
        asyncio.run(_opened(settings))
    asyncio.run(_run(settings, drop))


@pytest.mark.parametrize(
    ("change", "says"),
    [({"bucket_size": 1}, "^bucket_size: "), ({"keyspace": 'a"b'}, "^cassandra_keyspace: a name has")],
)
@pytest.mark.cassandra
def test_settings_that_cannot_be_are_told(change: dict[str, object], says: str, keyspace: Keyspace) -> None:
    with pytest.raises(SettingWrong, match=says):
        asyncio.run(migrate(msgspec.structs.replace(keyspace(8), **change)))
