"""Opening a file: ours is taken, another's is not touched, and what was written last is looked at."""

import asyncio
import sqlite3
from pathlib import Path

import apsw
import pytest

from folkmoot.backends.sqlite.database import APPLICATION_ID, connect, migrate, migrations
from folkmoot.backends.sqlite.rows import LAST_GROUPS
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import SchemaUnknown, StoreBroken
from folkmoot.testing.store_suite import Author


async def opened(path: Path) -> SqliteStore:
    return await SqliteStore.open(path, clock=SystemClock(), reserve_bytes=0)


def write(path: Path) -> None:
    async def run() -> None:
        store = await opened(path)
        author = Author(store)
        await author.make()
        await author.say(*(str(n) for n in range(5)))
        await store.close()

    asyncio.run(run())


def test_a_new_file_gets_the_newest_schema_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    for _ in range(2):
        database = connect(path)
        migrate(database)
        assert database.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()


def test_a_schema_of_a_newer_program_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    write(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(SchemaUnknown, match="newer"):
        asyncio.run(opened(path))
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(SchemaUnknown, match="another program"):
        asyncio.run(opened(path))
    # Not even its journal mode, which is what a connection of ours sets first.
    assert path.read_bytes() == before


def test_a_newer_schema_that_is_still_in_the_log_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    write(path)
    database = connect(path)
    database.execute("PRAGMA user_version = 99")
    left = {name: (tmp_path / name).read_bytes() for name in ("folkmoot.db", "folkmoot.db-wal")}
    database.close()
    for name, content in left.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SchemaUnknown, match="newer"):
        asyncio.run(opened(path))
    assert {name: (tmp_path / name).read_bytes() for name in left} == left


def test_each_step_of_a_migration_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    write(path)
    database = connect(path)
    steps = [*migrations(), "CREATE TABLE second (x)", "CREATE TABLE third (x); CREATE TABLE second (x)"]
    with pytest.raises(apsw.SQLError):
        migrate(database, steps)
    version = len(migrations()) + 1
    assert database.execute("PRAGMA user_version").fetchone() == (version,)
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert "second" in tables
    assert "third" not in tables
    migrate(database, [*steps[:-1], "CREATE TABLE third (x)"])
    assert database.execute("PRAGMA user_version").fetchone() == (version + 1,)
    database.close()
    with pytest.raises(SchemaUnknown, match="newer"):
        asyncio.run(opened(path))


def test_a_damaged_file_of_ours_is_no_foreign_one(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[:4_096] + b"\xff" * (len(content) - 4_096))
    with pytest.raises(StoreBroken):
        asyncio.run(opened(path))


def test_every_group_of_the_last_transaction_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"

    async def run() -> None:
        store = await opened(path)
        authors = [Author(store, f"make{n}") for n in range(5)]
        await asyncio.gather(*(author.make() for author in authors))
        await asyncio.gather(*(author.say("x") for author in authors))
        await store.close()

    asyncio.run(run())
    database = connect(path)
    (noted,) = database.execute("SELECT value FROM meta WHERE name = ?", (LAST_GROUPS,)).fetchone() or ("",)
    first = str(noted).split()[0]
    database.execute("UPDATE groups SET seq = 7 WHERE no = ?", (int(first),))
    database.close()
    with pytest.raises(StoreBroken):
        asyncio.run(opened(path))


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    path.write_bytes(b"not a database at all, but long enough to be looked at as one" * 100)
    with pytest.raises(SchemaUnknown):
        asyncio.run(opened(path))


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE groups SET seq = seq + 1",
        "UPDATE groups SET hash = zeroblob(32)",
        "DELETE FROM entries WHERE seq = 6",
        "DELETE FROM entries",
        "DELETE FROM groups",
        "UPDATE entries SET body = CAST('forged' AS BLOB) WHERE seq = 5",
        "UPDATE entries SET sender = 'user-9' WHERE seq = 4",
    ],
)
def test_a_log_whose_end_contradicts_itself_is_not_served_from(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "folkmoot.db"
    write(path)
    with sqlite3.connect(path) as database:
        database.execute(harm)
    database.close()
    with pytest.raises(StoreBroken):
        asyncio.run(opened(path))
