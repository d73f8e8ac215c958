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
from folkmoot.backends.sqlite.restore_source import MEANINGS
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.checker.logs import verify_store
from folkmoot.model.send import SKIP, Appended, Refused
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import MovedPointer
from folkmoot.testing.store_suite import OTHER, OWNER, Author

NOW_MS = 1_800_000_000_000
NOW_S = NOW_MS // 1_000
SENT = 20
PAGE_BYTES = 4_096
LEAF = 10


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


def spoil_root(folder: Path, *tables: str) -> None:
    """Overwrite the first page of tables."""
    path = folder / "folkmoot.db"
    change(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    for table in tables:
        ((page,),) = rows(folder, f"SELECT rootpage FROM sqlite_schema WHERE name = '{table}'")
        spoil(path, page - 1)


def spoil(path: Path, *pages: int) -> None:
    content = bytearray(path.read_bytes())
    for page in pages:
        content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = b"\xff" * PAGE_BYTES
    path.write_bytes(content)


def leaves(path: Path, text: bytes) -> list[int]:
    """The pages of tables without row ids that hold `text` and no pages below them."""
    content = path.read_bytes()
    pages = range(len(content) // PAGE_BYTES)
    return [
        page
        for page in pages
        if content[page * PAGE_BYTES] == LEAF and text in content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]
    ]


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


@pytest.mark.parametrize(
    ("table", "whose"),
    [
        ("groups", [0, 1]),
        ("outcomes", [0, 1]),
        ("pointers", [0, 1]),
        ("profiles", []),
        ("standings", []),
        ("api_keys", []),
    ],
)
def test_a_bad_page_costs_what_is_on_it_and_no_log(
    groups: list[str], tmp_path: Path, table: str, whose: list[int]
) -> None:
    spoil_root(tmp_path / "data", table)
    with pytest.raises(RestoreFailed, match="with --salvage"):
        restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS)
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    assert (done.epoch, done.epoch_before, done.groups, done.cuts) == (NOW_S, 1, 2, [])
    assert [(lost.table, lost.groups, lost.what) for lost in done.lost] == [
        (table, [groups[n] for n in whose], MEANINGS[table])
    ]
    assert verified(tmp_path / "new") == done.entries == 2 * SENT + 2
    # The rest is as it was.
    for other, count in (("outcomes", 2 * SENT + 4), ("pointers", 4)):
        there = 2 * SENT + 2 if (other, table) == ("outcomes", "outcomes") else 0 if other == table else count
        assert rows(tmp_path / "new", f"SELECT count(*) FROM {other}") == [(there,)]


@pytest.mark.parametrize("table", ["memberships", "groups_of_user", "sqlite_autoindex_groups_1"])
def test_a_bad_page_of_what_is_made_anew_costs_nothing(groups: list[str], tmp_path: Path, table: str) -> None:
    spoil_root(tmp_path / "data", table)
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    assert (done.lost, done.cuts) == ([], [])
    assert verified(tmp_path / "new") == 2 * SENT + 2


@pytest.mark.parametrize(
    ("table", "values", "whose"),
    [
        ("outcomes", "1, 'user-1', printf('many-%05d', n), NULL, 'cancelled'", [0]),
        ("pointers", "1, printf('many-%05d', n), 1, 5", [0]),
        ("standings", "printf('many-%05d', n), 0, 5, 6, '{}'", []),
        ("profiles", "printf('many-%05d', n), 'One', '', x'7b7d', 5", []),
        ("api_keys", "printf('many-%05d', n), 'backend', x'00ff', 'read', 2.0, 5, NULL", []),
    ],
)
def test_a_bad_page_amid_a_large_table_costs_the_rows_on_it_alone(
    groups: list[str], tmp_path: Path, table: str, values: str, whose: list[int]
) -> None:
    path = tmp_path / "data" / "folkmoot.db"
    numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000)"
    change(
        path, f"{numbers} INSERT INTO {table} SELECT {values} FROM numbers", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"
    )
    pages = leaves(path, b"many-0")
    assert len(pages) > 10
    spoil(path, pages[len(pages) // 2])
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    assert [(lost.table, lost.groups) for lost in done.lost] == [(table, [groups[n] for n in whose])]
    assert (done.cuts, verified(tmp_path / "new")) == ([], 2 * SENT + 2)
    name = {"outcomes": "send_id", "api_keys": "id"}.get(table, "user")
    (found,) = rows(
        tmp_path / "new", f"SELECT count(*), min({name}), max({name}) FROM {table} WHERE {name} LIKE 'many-%'"
    )
    assert found[1:] == ("many-00001", "many-05000")
    assert 0 < 5_000 - found[0] < 10_000 / len(pages)


def test_a_salvage_goes_by_the_log_where_heads_are_gone_or_another_groups(groups: list[str], tmp_path: Path) -> None:
    path = tmp_path / "data" / "folkmoot.db"
    change(path, "DELETE FROM groups WHERE no = 1", "UPDATE groups SET id = 'gother' WHERE no = 2")
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    assert (done.groups, done.cuts) == (2, [])
    assert [(lost.table, lost.groups) for lost in done.lost] == [("groups", groups[:1])]
    assert verified(tmp_path / "new") == 2 * SENT + 2
    assert rows(tmp_path / "new", "SELECT id FROM groups ORDER BY no") == [(group,) for group in groups]
    # What a log is called stands in its first entry alone.
    change(path, "DELETE FROM entries WHERE group_no = 1 AND seq = 1")
    done = restore(tmp_path / "data", tmp_path / "third", now_ms=NOW_MS, salvage=True)
    assert done.cuts == [Cut("", 1, SENT, "entries of groups that are not there")]
    assert verified(tmp_path / "third") == SENT + 1


def test_a_key_that_is_there_twice_is_one_that_was_damaged(groups: list[str], tmp_path: Path) -> None:
    path = tmp_path / "data" / "folkmoot.db"
    change(
        path,
        "INSERT INTO standings VALUES ('user-a', 0, 5, 6, '{}'), ('user-b', 1, 5, 6, '{}')",
        "CREATE TEMP TABLE two AS SELECT * FROM entries WHERE group_no = 2",
        "UPDATE two SET group_no = 3",
        "INSERT INTO entries SELECT * FROM two",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    )
    path.write_bytes(path.read_bytes().replace(b"user-b", b"user-a"))
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    assert [lost.table for lost in done.lost] == ["standings"]
    assert rows(tmp_path / "new", "SELECT user, active FROM standings") == [("user-a", 0)]
    assert done.cuts == [Cut("", 1, SENT + 1, "entries of groups that are not there")]
    assert verified(tmp_path / "new") == 2 * SENT + 2


def test_a_log_that_ends_at_a_bad_page_is_cut_though_no_head_says_how_much_is_gone(tmp_path: Path) -> None:
    group, _ = asyncio.run(fill(tmp_path / "data", size=300))
    path = tmp_path / "data" / "folkmoot.db"
    change(path, "DELETE FROM entries WHERE group_no = 2", "DELETE FROM groups WHERE no = 2", "VACUUM")
    spoil_root(tmp_path / "data", "groups")
    spoil(path, *leaves(path, b'"m19.'))
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    (cut,) = done.cuts
    assert (cut.group, cut.seq, cut.entries) == (group, done.entries + 1, 0)
    assert "whether there was more is not known" in cut.what
    assert 1 < verified(tmp_path / "new") == done.entries < SENT + 1


def test_where_neither_heads_nor_all_logs_can_be_read_groups_may_be_gone_unsaid(
    groups: list[str], tmp_path: Path
) -> None:
    spoil_root(tmp_path / "data", "groups", "entries")
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    assert (done.groups, [lost.table for lost in done.lost]) == (0, ["groups", "entries"])


def test_a_salvaged_epoch_is_above_whichever_can_be_read(groups: list[str], tmp_path: Path) -> None:
    path = tmp_path / "data" / "folkmoot.db"
    change(path, f"UPDATE meta SET value = {NOW_S + 7} WHERE name = 'epoch'", f"UPDATE groups SET epoch = {NOW_S + 5}")
    spoil_root(tmp_path / "data", "groups")
    assert restore(tmp_path / "data", tmp_path / "one", now_ms=NOW_MS, salvage=True).epoch == NOW_S + 8
    with pytest.raises(RestoreFailed, match="epoch cannot be read"):
        restore(tmp_path / "one", tmp_path / "two", now_ms=NOW_MS, over=tmp_path / "data", salvage=True)
    spoil_root(tmp_path / "data", "meta")
    done = restore(tmp_path / "data", tmp_path / "two", now_ms=NOW_MS, salvage=True, unseal=True)
    assert (done.epoch, done.epoch_before, done.entries) == (NOW_S, 0, 2 * SENT + 2)
    assert [lost.table for lost in done.lost] == ["meta", "groups"]


def test_a_store_that_no_longer_says_whether_it_is_sealed_is_restored_only_if_that_is_asked_for(
    groups: list[str], tmp_path: Path
) -> None:
    change(tmp_path / "data" / "folkmoot.db", f"UPDATE groups SET epoch = {NOW_S + 5}")
    change(tmp_path / "data" / "folkmoot.db", f"UPDATE groups SET epoch = {2**40} WHERE no = 2")
    spoil_root(tmp_path / "data", "meta")
    with pytest.raises(RestoreFailed, match=r"cannot be read: .*--unseal goes on"):
        restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True)
    done = restore(tmp_path / "data", tmp_path / "new", now_ms=NOW_MS, salvage=True, unseal=True)
    assert (done.epoch, [lost.table for lost in done.lost]) == (NOW_S + 6, ["meta"])
    assert verified(tmp_path / "new") == 2 * SENT + 2


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
