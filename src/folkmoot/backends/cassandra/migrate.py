"""The schema: how it is made and brought forward, and what a server looks at before it serves from one."""

from importlib import resources
from typing import Final

import msgspec

from folkmoot.backends.cassandra.driver import CassandraSettings, Driver, SettingWrong, connect
from folkmoot.ports.clock import Chance, SystemChance
from folkmoot.ports.store import SchemaUnknown

SCRIPTS: Final = ("schema.cql",)
"""What makes each schema version from the one before, in order. What has been released is never changed: add one."""

EPOCH_FIRST: Final = 1


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the keyspace for good. `epoch` is the store's life: a restore goes into a keyspace of its own.

    `store` was drawn when it was made: another keyspace of the same name, elsewhere or later, has another.
    """

    version: int
    epoch: int
    datacenter: str
    bucket_size: int
    store: str = ""


async def migrate(settings: CassandraSettings, *, epoch: int = EPOCH_FIRST, chance: Chance | None = None) -> Schema:
    """Make the keyspace where it is missing, and bring its schema to this version; safe to repeat.

    Raises SettingWrong, SchemaUnknown, StoreAway or StoreUnknown.
    """
    if settings.bucket_size < 2:
        raise SettingWrong("bucket_size: a bucket holds 2 entries at least")
    outside = await connect(settings)
    try:
        replication = (
            f"{{'class': 'NetworkTopologyStrategy', '{_quoted(settings.datacenter)}': {settings.replication}}}"
        )
        await outside.run(
            f'CREATE KEYSPACE IF NOT EXISTS "{_name(settings.keyspace)}" WITH replication = {replication}'
        )
    finally:
        await outside.close()
    driver = await connect(settings, keyspace=settings.keyspace)
    try:
        return await _migrate(driver, settings, epoch, (chance or SystemChance()).token(8).hex())
    finally:
        await driver.close()


async def read_schema(driver: Driver, settings: CassandraSettings) -> Schema:
    """The keyspace's schema, found fit to be served from with these settings. Raises SettingWrong or SchemaUnknown."""
    await _check_copies(driver, settings)
    found = await _found(driver)
    if found is None:
        raise SettingWrong(
            f"cassandra_keyspace: {settings.keyspace} holds no schema of ours; `folkmoot migrate` makes it"
        )
    schema = found
    if schema.version < len(SCRIPTS):
        raise SchemaUnknown(
            f"cassandra_keyspace: {settings.keyspace} has schema {schema.version}, this program needs {len(SCRIPTS)}:"
            " `folkmoot migrate` brings it forward"
        )
    _check(schema, settings)
    ((here,),) = await driver.run("SELECT data_center FROM system.local")
    if here != schema.datacenter:
        raise SettingWrong(
            f"cassandra_hosts: these are nodes of {here}, and the home of {settings.keyspace} is {schema.datacenter}"
        )
    return schema


async def _migrate(driver: Driver, settings: CassandraSettings, epoch: int, store: str) -> Schema:
    await _check_copies(driver, settings)
    found = await _found(driver)
    if found is not None:
        _check(found, settings)
    version = 0 if found is None else found.version
    for script in SCRIPTS[version:]:
        for statement in _statements(script):
            await driver.run(statement)
    values = {
        "datacenter": settings.datacenter,
        "bucket_size": str(settings.bucket_size),
        "epoch": str(epoch),
        "store": store,
    }
    for name, value in values.items():
        # Whoever comes first says it for good, though two migrate at once.
        await driver.decide(("INSERT INTO meta (name, value) VALUES (?, ?) IF NOT EXISTS", (name, value)))
    await driver.write("INSERT INTO meta (name, value) VALUES ('version', ?)", (str(len(SCRIPTS)),))
    made = await _found(driver)
    if made is None:
        raise SchemaUnknown(f"{settings.keyspace}: the schema was written and is not there")
    _check(made, settings)
    return made


async def _check_copies(driver: Driver, settings: CassandraSettings) -> None:
    """Without a copy in this data centre nothing can be read here: Cassandra would only say that copies are away."""
    rows = await driver.run(
        f"SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = '{_quoted(driver.keyspace)}'"
    )
    for (replication,) in rows:
        places = sorted(set(replication) - {"class", "replication_factor"})
        if places and settings.datacenter not in places:
            raise SettingWrong(
                f"cassandra_datacenter: {settings.keyspace} has copies in {', '.join(places)}, and none in"
                f" {settings.datacenter}: a process of another data centre than the home does not serve it"
            )


def _check(schema: Schema, settings: CassandraSettings) -> None:
    if schema.version > len(SCRIPTS):
        raise SchemaUnknown(
            f"cassandra_keyspace: {settings.keyspace} has schema {schema.version}, this program knows {len(SCRIPTS)}:"
            " use a newer program"
        )
    if schema.datacenter != settings.datacenter:
        raise SettingWrong(
            f"cassandra_datacenter: the home of {settings.keyspace} is {schema.datacenter}, not {settings.datacenter};"
            " two homes would be two orders"
        )
    if schema.bucket_size != settings.bucket_size:
        raise SettingWrong(
            f"bucket_size: {settings.keyspace} was made with {schema.bucket_size}, and keeps it;"
            f" the setting says {settings.bucket_size}"
        )


async def _found(driver: Driver) -> Schema | None:
    tables = await driver.run(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name ="
        f" '{_quoted(driver.keyspace)}' AND table_name = 'meta'"
    )
    if not tables:
        return None
    rows = await driver.run("SELECT name, value FROM meta")
    values = {str(name): str(value) for name, value in rows}
    if "version" not in values:
        return None
    try:
        return Schema(
            version=int(values["version"]),
            epoch=int(values["epoch"]),
            datacenter=values["datacenter"],
            bucket_size=int(values["bucket_size"]),
            store=values.get("store", ""),
        )
    except (KeyError, ValueError) as error:
        raise SchemaUnknown(f"cassandra_keyspace: its table meta is not one of ours: {error}") from error


def _statements(script: str) -> list[str]:
    text = resources.files(__package__).joinpath(script).read_text()
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def _name(keyspace: str) -> str:
    if not keyspace.replace("_", "").isalnum() or not keyspace.isascii() or len(keyspace) > 48:
        raise SettingWrong("cassandra_keyspace: a name has up to 48 letters, digits and underscores")
    return keyspace


def _quoted(text: str) -> str:
    return text.replace("'", "''")
