"""A file's part in a copy: who opens it for what, what a backup and a restore make of it. The rest: conformance."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from folkmoot.backends.sqlite.backup import back_up
from folkmoot.backends.sqlite.restore import RestoreFailed, restore
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import StoreBroken
from folkmoot.ports.transfer import Custody, StoreSealed
from folkmoot.testing.store_suite import Author

NOW_MS = 1_800_000_000_000


async def opened(folder: Path, *, to_copy: bool = False) -> SqliteStore:
    return await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), reserve_bytes=0, to_copy=to_copy)


async def sealed(folder: Path) -> None:
    await asyncio.to_thread(folder.mkdir)
    store = await opened(folder)
    await Author(store).make()
    await store.transfer.seal(Custody(part="sealed", copy="c", other="/there"))
    await store.close()


def test_a_sealed_file_opens_for_a_copy_only_and_its_lock_is_let_go(tmp_path: Path) -> None:
    async def run() -> None:
        await sealed(tmp_path / "data")
        for _ in range(2):
            with pytest.raises(StoreSealed, match="/there"):
                await opened(tmp_path / "data")
        store = await opened(tmp_path / "data", to_copy=True)
        assert (await store.transfer.custody()).other == "/there"
        await store.close()

    asyncio.run(run())


def test_going_back_is_asked_for_and_begins_another_life(tmp_path: Path) -> None:
    async def run() -> None:
        await sealed(tmp_path / "data")
        back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS)
        for source in (tmp_path / "data", tmp_path / "copy"):
            with pytest.raises(RestoreFailed, match="copied to /there"):
                restore(source, tmp_path / "new", now_ms=NOW_MS)
            assert not (tmp_path / "new").exists()
        done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, unseal=True)
        assert done.epoch > done.epoch_before
        store = await opened(tmp_path / "new")
        assert await store.transfer.custody() == Custody()
        await store.close()
        with pytest.raises(StoreSealed):
            await opened(tmp_path / "data")

    asyncio.run(run())


def test_a_restore_of_a_source_takes_part_in_no_copy(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path)
        await store.transfer.begin(Custody(part="source", copy="c", other="/there"))
        await store.close()
        restore(tmp_path, tmp_path / "new", now_ms=NOW_MS)
        store = await opened(tmp_path / "new")
        assert await store.transfer.custody() == Custody()
        await store.close()

    asyncio.run(run())


def test_what_cannot_be_read_of_it_is_not_served(tmp_path: Path) -> None:
    async def run() -> None:
        await (await opened(tmp_path)).close()
        database = sqlite3.connect(tmp_path / "folkmoot.db")
        database.execute("INSERT INTO meta VALUES ('custody', '{')")
        database.commit()
        database.close()
        with pytest.raises(StoreBroken, match="copy"):
            await opened(tmp_path)

    asyncio.run(run())
