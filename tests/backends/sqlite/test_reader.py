"""Readers: each over a connection of its own, opened anew when the writer has opened the file again."""

import asyncio
from pathlib import Path

import apsw
import pytest

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
