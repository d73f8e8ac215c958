"""Backups: of one moment while the store is written to, checked, whole or not there, and never over another."""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import msgspec
import pytest

from folkmoot.backends.sqlite.backup import (
    BackupFailed,
    Contradicted,
    Facts,
    back_up,
    check_file,
    file_digest,
)
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.checker.logs import verify_store
from folkmoot.ports.clock import SystemClock
from folkmoot.testing.faulty_files import FaultyFiles
from folkmoot.testing.store_suite import Author

NOW_MS = 1_800_000_000_000


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteStore]:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    store = await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), reserve_bytes=0)
    try:
        yield store
    finally:
        await store.close()


async def fill(folder: Path, *, messages: int = 20, size: int = 10) -> None:
    async with opened(folder) as store:
        author = Author(store)
        await author.make("user-2")
        for n in range(messages):
            await author.say(f"m{n}", size=size)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    asyncio.run(fill(folder))
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_copy_is_whole_says_what_it_holds_and_is_its_owners_alone(filled: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    facts = back_up(filled, tmp_path / "copy", now_ms=NOW_MS, on_progress=lambda done, of: steps.append((done, of)))
    copy = tmp_path / "copy" / "folkmoot.db"
    assert (facts.groups, facts.entries, facts.epoch, facts.made_ms) == (1, 21, 1, NOW_MS)
    assert (facts.bytes, facts.sha256) == (copy.stat().st_size, file_digest(copy))
    assert msgspec.json.decode((tmp_path / "copy" / "backup.json").read_bytes(), type=Facts) == facts
    assert names(tmp_path / "copy") == {"folkmoot.db", "backup.json"}
    assert steps[-1][0] == steps[-1][1] > 0
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700
    assert asyncio.run(verify_store(copy, [], lambda read, total: None)).broken == []
    assert names(tmp_path / "copy") == {"folkmoot.db", "backup.json"}, "reading it needs no file beside it"


def test_whatever_was_answered_before_is_in_it_however_much_is_written_meanwhile(tmp_path: Path) -> None:
    async def run() -> None:
        folder = tmp_path / "data"
        async with opened(folder) as store:
            author = Author(store)
            await author.make()
            for n in range(100):
                await author.say(f"before{n}", size=4_000)
            answered, ended = author.state.head.seq, asyncio.Event()

            async def write_on() -> None:
                n = 0
                while not ended.is_set():
                    await author.say(f"while{n}", size=4_000)
                    n += 1

            writing = asyncio.create_task(write_on())
            loop = asyncio.get_running_loop()
            seen: list[int] = []

            def slowly(done: int, total: int) -> None:
                # Each step waits for another write of the server: with a transaction a step it would never end.
                start = asyncio.run_coroutine_threadsafe(head_of(author), loop).result(10)
                while asyncio.run_coroutine_threadsafe(head_of(author), loop).result(10) == start:
                    pass
                seen.append(total)

            facts = await asyncio.to_thread(back_up, folder, tmp_path / "copy", now_ms=NOW_MS, on_progress=slowly)
            ended.set()
            await writing
            assert answered <= facts.entries <= author.state.head.seq - len(seen)
            assert len(set(seen)) == 1, "it is of one moment"
        report = await verify_store(tmp_path / "copy" / "folkmoot.db", [], lambda read, total: None)
        assert report.broken == []

    async def head_of(author: Author) -> int:
        return author.state.head.seq

    asyncio.run(run())


def test_it_never_overwrites(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(BackupFailed, match="never overwrites"):
            back_up(filled, tmp_path / name, now_ms=NOW_MS)
    with pytest.raises(BackupFailed, match="has no store"):
        back_up(tmp_path, tmp_path / "copy", now_ms=NOW_MS)


def test_the_secret_goes_along_only_if_asked_for(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="leave out"):
        back_up(filled, tmp_path / "with", now_ms=NOW_MS, with_secret=True)
    (filled / "secret.key").write_bytes(b"s" * 48)
    assert not back_up(filled, tmp_path / "without", now_ms=NOW_MS).secret
    assert "secret.key" not in names(tmp_path / "without")
    (filled / "secret.old.json").write_bytes(b"[]")
    assert back_up(filled, tmp_path / "with", now_ms=NOW_MS, with_secret=True).secret
    assert (tmp_path / "with" / "secret.old.json").read_bytes() == b"[]"
    copy = tmp_path / "with" / "secret.key"
    assert copy.read_bytes() == b"s" * 48
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("room_bytes", [0, 8_192, 65_536])
def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, room_bytes: int) -> None:
    asyncio.run(fill(tmp_path / "data", size=8_000))
    files = FaultyFiles()
    files.room_bytes = room_bytes
    with pytest.raises(BackupFailed, match="no room"):
        back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS, vfs=files.name)
    assert names(tmp_path) == {"data"}


def test_an_interruption_leaves_nothing(filled: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert names(tmp_path) == {"data", "copy.partial"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(filled, tmp_path / "copy", now_ms=NOW_MS, on_progress=interrupt)
    assert names(tmp_path) == {"data"}


def test_what_a_killed_one_left_is_made_anew_but_not_what_another_is_writing(filled: Path, tmp_path: Path) -> None:
    partial = tmp_path / "copy.partial"
    partial.mkdir()
    (partial / "folkmoot.db").write_bytes(b"half a file")
    handle = os.open(partial, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(BackupFailed, match="another backup"):
        back_up(filled, tmp_path / "copy", now_ms=NOW_MS)
    os.close(handle)
    assert back_up(filled, tmp_path / "copy", now_ms=NOW_MS).entries == 21
    assert names(tmp_path) == {"data", "copy"}


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(filled: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="meanwhile"):
        back_up(
            filled, tmp_path / "copy", now_ms=NOW_MS, on_progress=lambda *_: (tmp_path / "copy").mkdir(exist_ok=True)
        )
    assert list((tmp_path / "copy").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE groups SET seq = seq + 1", "is not the end of its log"),
        ("UPDATE groups SET hash = zeroblob(32)", "is not the end of its log"),
        ("DELETE FROM entries WHERE seq = 5", "entries are missing"),
        ("DROP TABLE pointers; DROP TABLE meta", "no such table"),
        ("PRAGMA application_id = 7", "no store of this program"),
    ],
)
def test_a_store_that_contradicts_itself_makes_no_backup(filled: Path, tmp_path: Path, change: str, why: str) -> None:
    database = apsw.Connection(str(filled / "folkmoot.db"))
    database.execute(change)
    database.close()
    with pytest.raises((BackupFailed, Contradicted), match=why):
        check_file(filled / "folkmoot.db")
    with pytest.raises(BackupFailed):
        back_up(filled, tmp_path / "copy", now_ms=NOW_MS)
    assert names(tmp_path) == {"data"}


def test_a_garbled_page_makes_no_backup(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path / "data", size=8_000))
    path = tmp_path / "data" / "folkmoot.db"
    content = bytearray(path.read_bytes())
    content[4_096 * 20 : 4_096 * 21] = b"\xa5" * 4_096
    path.write_bytes(content)
    with pytest.raises(BackupFailed, match=r"damaged|malformed"):
        back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS)
    assert names(tmp_path) == {"data"}


def test_what_a_killed_server_left_in_its_log_is_in_it(filled: Path, tmp_path: Path) -> None:
    # A connection that is never closed leaves a log beside the file, as a killed process does.
    database = sqlite3.connect(filled / "folkmoot.db", isolation_level=None)
    database.execute("INSERT INTO meta VALUES ('late', 1)")
    killed = tmp_path / "killed"
    killed.mkdir()
    for path in filled.glob("folkmoot.db*"):
        (killed / path.name).write_bytes(path.read_bytes())
    database.close()
    assert (killed / "folkmoot.db-wal").stat().st_size > 0
    back_up(killed, tmp_path / "copy", now_ms=NOW_MS)
    copied = sqlite3.connect(tmp_path / "copy" / "folkmoot.db")
    assert copied.execute("SELECT value FROM meta WHERE name = 'late'").fetchall() == [(1,)]
    copied.close()
