"""Restored stores: a raised epoch, logs cut at their first fault, pointers at the head, the rest made from the logs."""

import asyncio
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from folkmoot.backends.sqlite import database as module
from folkmoot.backends.sqlite.backup import back_up
from folkmoot.backends.sqlite.restore import Cut, RestoreFailed, next_epoch, restore
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.checker.logs import verify_store
from folkmoot.model.send import SKIP, Appended, Refused
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import MovedPointer
from folkmoot.testing.store_suite import OTHER, OWNER, Author

NOW_MS = 1_800_000_000_000
NOW_S = NOW_MS // 1_000
SENT = 20


async def opened(folder: Path) -> SqliteStore:
    return await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), reserve_bytes=0)


async def fill(folder: Path, size: int = 10) -> list[str]:
    await asyncio.to_thread(folder.mkdir)
    store = await opened(folder)
    authors = [Author(store, name) for name in ("make", "other")]
    for author in authors:
        await author.make(OTHER)
        for n in range(SENT):
            await author.say(f"m{n}", size=size)
        await author.ask(author.a_send("refused", kind=SKIP, body={}))
        await store.move_pointers([MovedPointer(author.group, OTHER, 1, 15)])
    await store.close()
    return [author.group for author in authors]


@pytest.fixture
def groups(tmp_path: Path) -> list[str]:
    return asyncio.run(fill(tmp_path / "data"))


def change(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def rows(folder: Path, sql: str) -> list[Any]:
    database = sqlite3.connect(f"file:{folder / 'folkmoot.db'}?mode=ro", uri=True)
    found = database.execute(sql).fetchall()
    database.close()
    return found


def verified(folder: Path) -> int:
    report = asyncio.run(verify_store(folder / "folkmoot.db", [], lambda read, total: None))
    assert report.broken == []
    return report.entries


def test_an_epoch_is_above_every_life_that_is_known_and_by_the_clock_above_those_that_are_not() -> None:
    assert next_epoch([1], NOW_S) == NOW_S
    assert next_epoch([NOW_S, NOW_S + 7], NOW_S) == NOW_S + 8


def test_a_backup_comes_back_whole_under_a_raised_epoch_and_goes_on(groups: list[str], tmp_path: Path) -> None:
    change(
        tmp_path / "data" / "folkmoot.db",
        "INSERT INTO meta VALUES ('kept', 'as it is')",
        "INSERT INTO profiles VALUES ('user-1', 'One', '', x'7b7d', 5)",
        "INSERT INTO standings VALUES ('user-2', 0, 5, 6, '{}')",
        "INSERT INTO api_keys VALUES ('k', 'backend', x'00ff', 'read', 1.5, 5, 7)",
    )
    (tmp_path / "data" / "secret.key").write_bytes(b"s" * 48)
    (tmp_path / "data" / "secret.old.json").write_bytes(b"[]")
    back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS, with_secret=True)
    done = restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS)
    assert (done.epoch, done.epoch_before, done.groups, done.entries) == (NOW_S, 1, 2, 2 * SENT + 2)
    assert (done.cuts, done.pointers_cut, done.secret) == ([], 0, True)
    assert (tmp_path / "new" / "secret.key").read_bytes() == b"s" * 48
    assert (tmp_path / "new" / "secret.old.json").read_bytes() == b"[]"
    assert stat.S_IMODE((tmp_path / "new" / "folkmoot.db").stat().st_mode) == 0o600
    assert verified(tmp_path / "new") == 2 * SENT + 2
    assert rows(tmp_path / "new", "SELECT value FROM meta WHERE name = 'kept'") == [("as it is",)]
    kept = ("entries", "outcomes", "memberships", "groups_of_user", "profiles", "standings", "api_keys")
    for table in kept:
        assert rows(tmp_path / "new", f"SELECT count(*) > 0 FROM {table}") == [(1,)]
        select = f"SELECT * FROM {table}"
        assert sorted(rows(tmp_path / "new", select)) == sorted(rows(tmp_path / "data", select)), table

    async def go_on() -> None:
        store = await opened(tmp_path / "new")
        assert await store.epoch() == NOW_S
        author = Author(store)
        author.state = await store.state(groups[0])
        assert author.state.head.epoch == NOW_S
        head = await author.say("later", sender=OTHER)
        assert (head.epoch, head.seq) == (NOW_S, SENT + 2)
        assert [entry.epoch for entry in await author.log()] == [1] * (SENT + 1) + [NOW_S]
        outcomes = await store.outcomes(groups[0], [(OWNER, "m3"), (OWNER, "refused")])
        assert isinstance(outcomes[OWNER, "m3"], Appended)
        assert isinstance(outcomes[OWNER, "refused"], Refused)
        await Author(store, "a third").make()
        await store.close()

    asyncio.run(go_on())
    assert verified(tmp_path / "new") == 2 * SENT + 4


def test_read_pointers_never_go_back_and_always_move_on(groups: list[str], tmp_path: Path) -> None:
    restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS)

    async def move() -> None:
        store = await opened(tmp_path / "new")

        async def read() -> int:
            view = await store.view(groups[0], OTHER)
            assert view is not None
            return view.read

        assert await read() == 15
        # Of an entry of the life before, and of the head's own epoch: neither order of the two may set it back.
        await store.move_pointers([MovedPointer(groups[0], OTHER, 1, 17)])
        assert await read() == 17
        await store.move_pointers([MovedPointer(groups[0], OTHER, NOW_S, 16)])
        assert await read() == 17
        await store.move_pointers([MovedPointer(groups[0], OTHER, 1, 18)])
        assert await read() == 18
        await store.close()

    asyncio.run(move())


def test_the_same_backup_twice_is_two_lives_and_the_lost_one_can_be_shown(groups: list[str], tmp_path: Path) -> None:
    back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS)
    first = restore(tmp_path / "copy", tmp_path / "first", now_ms=NOW_MS)
    assert restore(tmp_path / "copy", tmp_path / "second", now_ms=NOW_MS + 1_000).epoch > first.epoch
    # A clock that has been set back could give an epoch that was.
    with pytest.raises(RestoreFailed, match="clock is before"):
        restore(tmp_path / "copy", tmp_path / "third", now_ms=NOW_MS - 60_000)
    third = restore(tmp_path / "copy", tmp_path / "third", now_ms=NOW_MS - 60_000, over=tmp_path / "second")
    assert third.epoch == first.epoch + 2
    with pytest.raises(RestoreFailed, match="is the clock right"):
        restore(tmp_path / "copy", tmp_path / "fourth", now_ms=2**32 * 1_000)
    with pytest.raises(RestoreFailed, match="epoch cannot be read"):
        restore(tmp_path / "copy", tmp_path / "fourth", now_ms=NOW_MS, over=tmp_path)


@pytest.mark.parametrize(
    ("damage", "seq", "entries", "what"),
    [
        ("DELETE FROM entries WHERE group_no = 1 AND seq = 8", 8, 14, "an entry is missing"),
        ("DELETE FROM entries WHERE group_no = 1 AND seq = 1", 1, 21, "an entry is missing"),
        ("DELETE FROM entries WHERE group_no = 1 AND seq > 18", 19, 3, "the log ends before its head"),
        ("UPDATE entries SET body = x'7b7d' WHERE group_no = 1 AND seq = 8", 8, 14, "does not chain"),
        ("UPDATE entries SET messages = 99 WHERE group_no = 1 AND seq = 8", 8, 14, "does not chain"),
        ("UPDATE entries SET hash = zeroblob(32) WHERE group_no = 1 AND seq = 8", 8, 14, "does not chain"),
    ],
)
def test_a_log_is_cut_at_its_first_fault_and_everything_else_with_it(
    groups: list[str], tmp_path: Path, damage: str, seq: int, entries: int, what: str
) -> None:
    change(tmp_path / "data" / "folkmoot.db", damage)
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS)
    (cut,) = done.cuts
    assert cut == Cut(groups[0], seq, entries, cut.what)
    assert what in cut.what
    assert done.entries == 2 * SENT + 2 - entries
    assert verified(tmp_path / "new") == done.entries
    # The owner's own pointer is at the last message, the other's at 15.
    assert done.pointers_cut == (seq <= 15) + (seq <= SENT + 1)
    assert rows(tmp_path / "new", "SELECT max(seq) FROM pointers WHERE group_no = 1") == [(seq - 1 or None,)]
    gone = rows(tmp_path / "new", f"SELECT count(*) FROM outcomes WHERE group_no = 1 AND seq >= {seq}")
    assert gone == [(0,)]
    assert rows(tmp_path / "new", "SELECT count(*) FROM outcomes WHERE group_no = 1 AND code IS NOT NULL") == [(1,)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE groups SET seq = 12, messages = 3, hash = zeroblob(32) WHERE no = 1",
        "UPDATE groups SET name = 'x', members = 9, owners = 0, open = 1, history_all = 1 WHERE no = 1",
        "DELETE FROM memberships WHERE group_no = 1",
        "INSERT INTO memberships VALUES (1, 'eve', 2, NULL, 'owner')",
        "DELETE FROM groups_of_user",
        "INSERT INTO groups_of_user VALUES ('eve', 'gnone')",
        "UPDATE outcomes SET seq = 3 WHERE group_no = 1 AND seq IS NOT NULL",
        "INSERT INTO outcomes VALUES (1, 'eve', 'x', 9, NULL)",
        "UPDATE outcomes SET seq = NULL, code = 'muted' WHERE group_no = 1 AND send_id = 'm3'",
        "UPDATE groups SET epoch = 77 WHERE no = 1",
    ],
)
def test_whatever_is_made_from_the_log_is_made_anew(groups: list[str], tmp_path: Path, damage: str) -> None:
    change(tmp_path / "data" / "folkmoot.db", damage)
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS)
    assert (done.cuts, done.entries) == ([], 2 * SENT + 2)
    assert verified(tmp_path / "new") == 2 * SENT + 2
    assert rows(tmp_path / "new", "SELECT DISTINCT epoch FROM groups") == [(NOW_S,)]
    assert rows(tmp_path / "new", "SELECT count(*) FROM outcomes WHERE user = 'eve'".replace("user", "sender")) == [
        (0,)
    ]


def test_entries_of_a_group_that_is_gone_are_said(groups: list[str], tmp_path: Path) -> None:
    change(tmp_path / "data" / "folkmoot.db", "DELETE FROM groups WHERE no = 1")
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS)
    assert done.cuts == [Cut("", 1, SENT + 1, "entries of groups that are not there")]
    assert verified(tmp_path / "new") == SENT + 1


def test_a_damaged_backup_is_refused_and_salvaged_only_if_asked_for(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path / "data", size=3_000))
    back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS)
    path = tmp_path / "copy" / "folkmoot.db"
    content = bytearray(path.read_bytes())
    at = content.index(b'{"text":"m9.')
    content[at // 4_096 * 4_096 : (at // 4_096 + 1) * 4_096] = b"\xa5" * 4_096
    path.write_bytes(content)
    with pytest.raises(RestoreFailed, match="not the file that was backed up"):
        restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS)
    (tmp_path / "copy" / "backup.json").unlink()
    with pytest.raises(RestoreFailed, match="is damaged"):
        restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS)
    assert not (tmp_path / "new").exists()
    done = restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    assert len(done.cuts) >= 1
    assert 0 < verified(tmp_path / "new") == done.entries < 2 * SENT + 2


def test_a_changed_body_that_leaves_the_file_sound_is_noticed(groups: list[str], tmp_path: Path) -> None:
    back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS)
    path = tmp_path / "copy" / "folkmoot.db"
    path.write_bytes(path.read_bytes().replace(b'{"text":"m9.', b'{"text":"n9.'))
    with pytest.raises(RestoreFailed, match="not the file that was backed up"):
        restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS)
    done = restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    assert sorted(cut.seq for cut in done.cuts) == [11, 11]


@pytest.mark.parametrize("name", ["folkmoot.db", "folkmoot.db-wal"])
def test_a_store_that_is_there_is_never_touched(groups: list[str], tmp_path: Path, name: str) -> None:
    back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).write_bytes(b"old")
    with pytest.raises(RestoreFailed, match="move the old store away"):
        restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS)
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "new").iterdir()] == [(name, b"old")]


def test_a_folder_in_use_is_neither_source_nor_target(groups: list[str], tmp_path: Path) -> None:
    back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS)

    async def run() -> None:
        store = await opened(tmp_path / "data")
        with pytest.raises(RestoreFailed, match="a server uses"):
            restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS)
        with pytest.raises(RestoreFailed, match="a server uses"):
            restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS, over=tmp_path / "data")
        await store.close()

    asyncio.run(run())
    with pytest.raises(RestoreFailed, match="is no backup"):
        restore(tmp_path, tmp_path / "new", now_ms=NOW_MS)
    assert not (tmp_path / "new").exists()


def test_an_interrupted_restore_leaves_no_store(groups: list[str], tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, on_progress=interrupt)
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "folkmoot.db.restoring").write_bytes(b"half, of one that was killed")
    assert restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS).entries == 2 * SENT + 2
    assert {p.name for p in (tmp_path / "new").iterdir()} == {"folkmoot.db", "folkmoot.db.lock"}


def test_a_secret_that_is_there_stays(groups: list[str], tmp_path: Path) -> None:
    (tmp_path / "data" / "secret.key").write_bytes(b"o" * 48)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "secret.key").write_bytes(b"n" * 48)
    assert not restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS).secret
    assert (tmp_path / "new" / "secret.key").read_bytes() == b"n" * 48


def test_a_backup_of_an_older_schema_is_brought_to_this_one(
    groups: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(tmp_path / "data", tmp_path / "copy", now_ms=NOW_MS)
    later = "CREATE TABLE later (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID; INSERT INTO later VALUES ('made')"
    scripts = [*module.migrations(), later]
    monkeypatch.setattr(module, "migrations", lambda: scripts)
    done = restore(tmp_path / "copy", tmp_path / "new", now_ms=NOW_MS)
    assert done.entries == 2 * SENT + 2
    assert rows(tmp_path / "new", "SELECT * FROM later") == [("made",)]
    monkeypatch.undo()
    with pytest.raises(RestoreFailed, match="use a newer program"):
        restore(tmp_path / "new", tmp_path / "older", now_ms=NOW_MS)
    assert {p.name for p in (tmp_path / "new").iterdir()} == {"folkmoot.db", "folkmoot.db.lock"}
