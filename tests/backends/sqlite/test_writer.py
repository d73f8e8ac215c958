"""The writer thread: what waits together is one transaction, and one bad write in it harms no other."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from folkmoot.backends.sqlite import writer as writers
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import Conflict, StoreAway
from folkmoot.testing.store_suite import Author


async def opened(tmp_path: Path, **options: Any) -> SqliteStore:
    return await SqliteStore.open(tmp_path / "folkmoot.db", clock=SystemClock(), reserve_bytes=0, **options)


def test_many_groups_share_a_commit_and_a_conflict_hurts_only_itself(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path)
        authors = [Author(store, f"make{n}") for n in range(40)]
        await asyncio.gather(*(author.make() for author in authors))
        stale = authors[0].write(authors[0].a_send("stale", body={"text": "x"}))
        await authors[0].say("first")
        before = store.statistics()["commits"]
        answers = await asyncio.gather(
            *(author.say("m") for author in authors[1:]), store.append(stale), return_exceptions=True
        )
        assert isinstance(answers[-1], Conflict)
        assert not any(isinstance(answer, BaseException) for answer in answers[:-1])
        assert store.statistics()["commits"] - before < 39
        await store.close()

    asyncio.run(run())


def test_one_write_more_than_may_wait_is_turned_away_for_sure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        store = await opened(tmp_path)
        author = Author(store)
        await author.make()
        monkeypatch.setattr(writers, "JOBS_WAITING_MAX", 0)
        with pytest.raises(StoreAway):
            await author.say("x")
        monkeypatch.undo()
        await author.say("x")
        await store.close()

    asyncio.run(run())


def test_the_log_is_copied_into_the_file_and_stays_short(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path, checkpoint_bytes=200_000)
        author = Author(store)
        await author.make()
        for n in range(60):
            await author.say(*(f"{n}.{k}" for k in range(20)), size=500)
        log_bytes = (tmp_path / "folkmoot.db-wal").stat().st_size
        assert (tmp_path / "folkmoot.db").stat().st_size > 500_000
        assert log_bytes < 4 * 200_000 + 200_000  # Four times, and what the last write added.
        await store.close()
        assert not (tmp_path / "folkmoot.db-wal").exists()

    asyncio.run(run())
