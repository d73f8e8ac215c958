"""The writer thread: what waits together is one transaction, and one bad write in it harms no other."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from folkmoot.backends.sqlite import writer as writers
from folkmoot.backends.sqlite.file import Result, StoreFile, Work
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import Conflict, StoreAway, StoreUnknown
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
        counts, histograms = store.statistics(), store.histograms()
        assert histograms["commit_writes"].total >= 40 + 1 + 39
        assert histograms["commit_writes"].count == histograms["commit_seconds"].count == counts["commits"]
        assert histograms["commit_seconds"].total > 0
        assert (counts["waiting"], counts["full"]) == (0, 0)
        assert counts["wal_bytes"] > 0
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


def test_a_transaction_holds_no_more_than_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        store = await opened(tmp_path)
        authors = [Author(store, f"make{n}") for n in range(30)]
        await asyncio.gather(*(author.make() for author in authors))
        monkeypatch.setattr(writers, "ENTRIES_PER_TRANSACTION_MAX", 10)
        monkeypatch.setattr(writers, "JOBS_PER_TRANSACTION_MAX", 4)
        for size, commits_min in ((1, 8), (10, 30)):
            before = store.statistics()["commits"]
            await asyncio.gather(*(author.say(*(f"{size}.{k}" for k in range(size))) for author in authors))
            assert store.statistics()["commits"] - before >= commits_min
        await store.close()

    asyncio.run(run())


def test_a_writer_that_fails_says_so_and_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        store = await opened(tmp_path)
        author, other = Author(store), Author(store, "other")
        await author.make()
        await other.make()
        began, go_on = threading.Event(), threading.Event()

        def fails(file: StoreFile, works: object) -> None:
            began.set()
            go_on.wait(5)
            raise MemoryError("a fault of the program")

        monkeypatch.setattr(StoreFile, "commit", fails)
        first = asyncio.create_task(author.say("x"))
        await asyncio.to_thread(began.wait, 5)
        second = asyncio.create_task(other.say("y"))
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(StoreUnknown):
            await first
        with pytest.raises(StoreAway):
            await second
        with pytest.raises(StoreAway):
            await author.say("z")
        await store.close()

    asyncio.run(run())
    assert "the writer has failed" in caplog.text


def test_what_was_asked_before_closing_is_answered(tmp_path: Path) -> None:
    async def run() -> None:
        store = await opened(tmp_path)
        authors = [Author(store, f"make{n}") for n in range(50)]
        await asyncio.gather(*(author.make() for author in authors))
        writes = [author.write(author.a_send("x", body={"text": "x"})) for author in authors]
        asked = [asyncio.ensure_future(store.append(write)) for write in writes]
        reads = [asyncio.create_task(store.state(author.group)) for author in authors]
        await asyncio.sleep(0)
        await store.close()
        assert [head.seq for head in await asyncio.gather(*asked)] == [2] * 50
        assert {state.head.seq for state in await asyncio.gather(*reads)} <= {1, 2}
        again = await opened(tmp_path)
        heads = await again.heads([author.group for author in authors])
        assert [heads[author.group].seq for author in authors] == [2] * 50
        await again.close()

    asyncio.run(run())


def test_writes_wait_for_others_once_several_shared_a_transaction_and_not_where_they_are_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        waits, go_on = threading.Event(), threading.Event()
        asked_s: list[float] = []
        clock, now_s = SystemClock(), [1_000.0]
        monkeypatch.setattr(clock, "monotonic_s", lambda: now_s[0])
        store = await SqliteStore.open(tmp_path / "folkmoot.db", clock=clock, reserve_bytes=0, gather_s=5.0)
        commits = StoreFile.commit

        def nap(seconds: float) -> None:
            asked_s.append(seconds)
            waits.set()
            go_on.wait(30)

        def held(file: StoreFile, works: Sequence[Work]) -> list[Result]:
            waits.set()
            go_on.wait(30)
            return commits(file, works)

        async def crowd() -> None:
            """While one is being written, enough others come to share the next transaction."""
            waits.clear()
            go_on.clear()
            monkeypatch.setattr(StoreFile, "commit", held)
            one = asyncio.ensure_future(store.move_pointers([]))
            assert await asyncio.to_thread(waits.wait, 30)
            others = [
                asyncio.ensure_future(store.accounts.sign_out(f"user-{n}", "", at_ms=1))
                for n in range(writers.COMPANY_WRITES)
            ]
            await asyncio.sleep(0)
            monkeypatch.setattr(StoreFile, "commit", commits)
            waits.clear()
            go_on.set()
            await asyncio.gather(one, *others)
            go_on.clear()

        monkeypatch.setattr(store._writer, "_nap", nap)
        for n in range(writers.COMPANY_WRITES):
            await store.accounts.set_active(f"user-{n}", True, at_ms=0)
        assert asked_s == []  # Each was alone.
        await crowd()
        assert asked_s == []
        # So the next waits, though it comes alone; and is not alone then.
        before = store.statistics()["commits"]
        first = asyncio.ensure_future(store.accounts.set_active("user-1", False, at_ms=1))
        assert await asyncio.to_thread(waits.wait, 30)
        second = asyncio.ensure_future(store.accounts.set_active("user-2", False, at_ms=1))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, second)
        assert (asked_s, store.statistics()["commits"] - before) == ([5.0], 1)
        # Two are no crowd: the one after them does not wait, nor does one long after a crowd.
        await store.move_pointers([])
        await crowd()
        now_s[0] += 5.0 * writers.COMPANY_TIMES
        await store.move_pointers([])
        assert asked_s == [5.0]
        await store.close()

    asyncio.run(run())
