"""Readers: each over a connection of its own, opened anew when the writer has opened the file again."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from folkmoot.backends.sqlite import reader as module
from folkmoot.backends.sqlite.database import connect, migrate
from folkmoot.backends.sqlite.reader import Readers
from folkmoot.ports.store import StoreAway


def test_reads_run_side_by_side_and_never_write(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "folkmoot.db"
        migrate(connect(path))
        generation = 0
        opened: list[apsw.Connection] = []

        def open_database() -> apsw.Connection:
            opened.append(connect(path))
            return opened[-1]

        readers = Readers(open_database, lambda: generation, threads=2)

        def epoch(database: apsw.Connection) -> object:
            return (database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone() or (0,))[0]

        assert set(await asyncio.gather(*(readers.run(epoch) for _ in range(20)))) == {1}
        held = len(opened)
        assert 1 <= held <= 2
        generation = 1
        assert await readers.run(epoch) == 1
        assert len(opened) == held + 1

        def fails(database: apsw.Connection) -> object:
            return database.execute("SELECT * FROM nothing").fetchone()

        with pytest.raises(apsw.SQLError):
            await readers.run(fails)
        assert await readers.run(epoch) == 1
        await readers.close()
        with pytest.raises(StoreAway):
            await readers.run(epoch)

    asyncio.run(run())


def test_a_read_that_fails_is_away_and_the_next_has_a_new_connection(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "folkmoot.db"
        migrate(connect(path))
        opened: list[apsw.Connection] = []

        def open_database() -> apsw.Connection:
            opened.append(connect(path, only_reads=True))
            return opened[-1]

        readers = Readers(open_database, lambda: 0, threads=1)

        def fails(database: apsw.Connection) -> None:
            raise apsw.IOError("the disk failed to read")

        def writes(database: apsw.Connection) -> None:
            database.execute("INSERT INTO meta VALUES ('x', 1)")

        with pytest.raises(StoreAway):
            await readers.run(fails)
        with pytest.raises(StoreAway):  # A reader cannot write, whatever it is asked.
            await readers.run(writes)
        assert await readers.run(lambda database: database.execute("SELECT 1").fetchone()) == (1,)
        assert len(opened) == 3
        await readers.close()

    asyncio.run(run())


def test_more_reads_than_may_wait_are_turned_away_and_closing_answers_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        path = tmp_path / "folkmoot.db"
        migrate(connect(path))
        monkeypatch.setattr(module, "READS_WAITING_MAX", 3)
        readers = Readers(lambda: connect(path), lambda: 0, threads=1)
        go_on = threading.Event()

        def waits(database: apsw.Connection) -> bool:
            return go_on.wait(5)

        reads = [asyncio.create_task(readers.run(waits)) for _ in range(4)]
        await asyncio.wait([reads[3]])
        with pytest.raises(StoreAway):
            await reads[3]
        closing = asyncio.create_task(readers.close())
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*reads[:3]) == [True] * 3
        await closing

    asyncio.run(run())


def _one(database: apsw.Connection) -> int:
    row = database.execute("SELECT 1").fetchone()
    assert row is not None
    return int(row[0])


def test_short_reads_of_one_turn_go_together_and_each_has_its_own_result(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "folkmoot.db"
        migrate(connect(path))
        readers = Readers(lambda: connect(path, only_reads=True), lambda: 0, threads=2)
        threads: list[int] = []
        transactions: list[bool] = []

        def noted(database: apsw.Connection) -> int:
            threads.append(threading.get_ident())
            transactions.append(not database.get_autocommit())
            return len(threads)

        def fails(database: apsw.Connection) -> None:
            raise ValueError("its own fault")

        reads = [*(readers.run_short(noted) for _ in range(3)), readers.run_short(fails), readers.run_short(noted)]
        found = await asyncio.gather(*reads, return_exceptions=True)
        assert [found[at] for at in (0, 1, 2, 4)] == [1, 2, 3, 4]
        assert isinstance(found[3], ValueError)
        assert len(set(threads)) == 1
        assert all(transactions)
        many = module.ROWS_TOGETHER_MAX * 2 + 1
        assert await asyncio.gather(*(readers.run_short(_one, rows=1) for _ in range(many))) == [1] * many
        pages = [readers.run_short(_one, rows=module.ROWS_TOGETHER_MAX) for _ in range(3)]
        assert await asyncio.gather(*pages) == [1] * 3
        await readers.close()

    asyncio.run(run())


def test_a_disk_that_fails_takes_all_of_a_turn_with_it_and_none_after(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "folkmoot.db"
        migrate(connect(path))
        readers = Readers(lambda: connect(path, only_reads=True), lambda: 0, threads=1)

        def fails(database: apsw.Connection) -> int:
            raise apsw.IOError("the disk failed to read")

        reads = [readers.run_short(_one), readers.run_short(fails), readers.run_short(_one)]
        found = await asyncio.gather(*reads, return_exceptions=True)
        assert [type(error) for error in found] == [StoreAway] * 3
        assert await readers.run_short(_one) == 1
        await readers.close()

    asyncio.run(run())


def test_what_was_asked_is_answered_before_it_closes(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "folkmoot.db"
        migrate(connect(path))
        readers = Readers(lambda: connect(path, only_reads=True), lambda: 0, threads=1)
        asked = asyncio.ensure_future(readers.run_short(_one))
        given_up = asyncio.ensure_future(readers.run_short(_one))
        await asyncio.sleep(0)
        given_up.cancel()
        await readers.close()
        assert await asked == 1
        with pytest.raises(StoreAway):
            await readers.run_short(_one)

    asyncio.run(run())
