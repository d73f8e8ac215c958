"""Accounts in the store's file: they share the writer's transactions, and an older file gets their tables."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from folkmoot.backends.sqlite.accounts import STANDINGS_PER_READ_MAX
from folkmoot.backends.sqlite.database import connect, migrate, migrations
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.accounts import ApiKey, Profile, Standing
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import StoreAway, StoreFull
from folkmoot.testing.faulty_files import FaultyFiles, FaultyReserve
from folkmoot.testing.store_suite import Author

KEY = ApiKey(id="k", name="shop", secret_hash=b"h" * 32, scopes=("read",), requests_per_s=1.0, created_ms=1)


async def opened(path: Path, **options: Any) -> SqliteStore:
    return await SqliteStore.open(path, clock=SystemClock(), **{"reserve_bytes": 0, **options})


def test_accounts_and_appends_share_commits(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path / "folkmoot.db")
        author = Author(store)
        await author.make()
        before = store.statistics()["commits"]
        await asyncio.gather(
            author.say("x"),
            *(store.accounts.set_active(f"user-{n}", False, at_ms=5) for n in range(40)),
            *(store.accounts.put_profile(Profile(user=f"user-{n}", changed_ms=5)) for n in range(40)),
        )
        assert store.statistics()["commits"] - before < 20
        assert len(await store.accounts.users(after="", rows_max=100)) == 40
        assert len(await author.log()) == 2
        await store.close()

    asyncio.run(run())


def test_a_change_that_cannot_be_written_harms_no_other(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path / "folkmoot.db")
        wrong: Any = Profile(user="user-2", data="text, and not bytes", changed_ms=1)  # type: ignore[arg-type]
        answers = await asyncio.gather(
            store.accounts.put_profile(Profile(user="user-1", changed_ms=1)),
            store.accounts.put_profile(wrong),
            store.accounts.put_key(KEY),
            return_exceptions=True,
        )
        assert [isinstance(answer, BaseException) for answer in answers] == [False, True, False]
        assert await store.accounts.users(after="", rows_max=5) == ["user-1"]
        assert await store.accounts.key("k") == KEY
        await store.close()

    asyncio.run(run())


def test_a_file_of_the_first_version_keeps_its_log_and_gets_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"

    async def run() -> None:
        author = Author(await opened(path))
        await author.make("user-2")
        await author.say(*(str(n) for n in range(5)))
        before = await author.log()
        await author.store.close()
        _take_back(path)
        store = await opened(path)
        author.store = store
        assert await author.log() == before
        await author.refresh()
        await author.say("after")
        await store.accounts.put_key(KEY)
        await store.accounts.set_active("user-2", False, at_ms=5)
        await store.close()
        again = await opened(path)
        assert await again.accounts.key("k") == KEY
        assert await again.accounts.standing("user-2") == Standing(user="user-2", active=False, active_changed_ms=5)
        await again.close()

    asyncio.run(run())


def _take_back(path: Path) -> None:
    """Make of the file what the first version of the program had made."""
    with sqlite3.connect(path) as database:
        for table in ("profiles", "standings", "api_keys"):
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 1")
        tables = [row[0] for row in database.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name")]
    database.close()
    first = connect(path.with_name("first.db"))
    migrate(first, migrations()[:1])
    made = first.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name").fetchall()
    first.close()
    assert tables == [sql for (sql,) in made]


def test_on_a_full_disk_users_are_still_shut_out_and_keys_revoked(tmp_path: Path) -> None:
    async def run() -> None:
        files = FaultyFiles()
        files.room_bytes = 600_000
        reserve = FaultyReserve(files, tmp_path / "reserve", 262_144)
        store = await opened(tmp_path / "folkmoot.db", vfs=files.name, reserve=reserve)
        await store.accounts.put_key(KEY)
        full = 0
        while not full:
            for n in range(100):
                try:
                    await store.accounts.put_profile(Profile(user=f"user-{n}", name="x" * 20_000, changed_ms=1))
                except StoreFull:
                    full += 1
        for n in range(100):
            await store.accounts.set_active(f"user-{n}", False, at_ms=5)
        await store.accounts.sign_out("user-1", "phone", at_ms=5)
        await store.accounts.revoke_key("k", at_ms=5)
        with pytest.raises(StoreFull):
            await store.accounts.put_profile(Profile(user="user-1", name="x" * 200_000, changed_ms=1))
        assert not (await store.accounts.standing("user-99")).active
        key = await store.accounts.key("k")
        assert key is not None
        assert key.revoked_ms == 5
        await store.close()

    asyncio.run(run())


def test_a_crowd_is_looked_up_in_few_reads_and_each_gets_their_own(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path / "folkmoot.db")
        users = [f"user-{n}" for n in range(2 * STANDINGS_PER_READ_MAX)]
        await asyncio.gather(*(store.accounts.set_active(user, False, at_ms=5) for user in users[::3]))
        reads = 0
        read = store.accounts._read

        def counted(work: Any) -> Any:
            nonlocal reads
            reads += 1
            return read(work)

        store.accounts._read = counted
        waiting = [asyncio.create_task(store.accounts.standing(user)) for user in users]
        gone = asyncio.create_task(store.accounts.standing("user-1"))
        await asyncio.sleep(0)
        gone.cancel()
        found = await asyncio.gather(*waiting)
        assert [standing.user for standing in found] == users
        assert [standing.active for standing in found] == [n % 3 != 0 for n in range(len(users))]
        assert reads <= 4
        await store.close()

    asyncio.run(run())


def test_what_goes_wrong_with_a_read_reaches_all_who_asked_and_no_later_one(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path / "folkmoot.db")
        read = store.accounts._read

        def away(_: Any) -> Any:
            raise StoreAway("for a moment")

        store.accounts._read = away
        answers = await asyncio.gather(
            *(store.accounts.standing(f"user-{n}") for n in range(5)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [StoreAway] * 5
        store.accounts._read = read
        assert (await store.accounts.standing("user-1")).active
        await store.close()

    asyncio.run(run())


def test_a_store_that_is_closed_tells_and_takes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path / "folkmoot.db")
        await store.close()
        with pytest.raises(StoreAway):
            await store.accounts.standing("user-1")
        with pytest.raises(StoreAway):
            await store.accounts.revoke_key("k", at_ms=1)

    asyncio.run(run())
