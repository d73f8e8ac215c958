"""Verifying a store: a sound one passes, and each way of breaking it is found and placed."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from folkmoot.checker.logs import LogsReport, StoreReport, Unreadable, examine_store, verify_store
from folkmoot.client import Client
from folkmoot.testing.served import served

SENT = 12


def verify(path: Path, *groups: str) -> LogsReport:
    return asyncio.run(verify_store(path, groups, lambda read, total: None))


async def fill(folder: Path) -> str:
    """A store in which two groups were made; the id of the one with many entries."""
    async with served(folder) as server, Client(server.url, server.token("ann")) as ann:
        group = await ann.create_group("tea", members=["bob", "cat"], send_id="make")
        for number in range(SENT):
            await ann.send(group, f"text {number}", send_id=f"s{number}")
        await ann.remove(group, "bob")
        await ann.rename(group, "coffee")
        await ann.create_group("other", send_id="make-other")
    return group


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("filled")
    return folder / "folkmoot.db", asyncio.run(fill(folder))


@pytest.fixture
def store(filled: tuple[Path, str], tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A copy that a test may break: committed when the test has let go of it."""
    path = tmp_path / "folkmoot.db"
    path.write_bytes(filled[0].read_bytes())
    database = sqlite3.connect(path, isolation_level=None)
    yield database
    database.close()


NO = "(SELECT no FROM groups WHERE name = 'coffee')"


def test_a_sound_store_passes_and_is_counted(filled: tuple[Path, str]) -> None:
    path, group = filled
    steps: list[tuple[int, int]] = []
    report = asyncio.run(verify_store(path, [], lambda read, total: steps.append((read, total))))
    assert report == LogsReport(2, SENT + 4, [])
    assert steps[-1] == (SENT + 4, SENT + 4)
    assert verify(path, group) == LogsReport(1, SENT + 3, [])


def test_a_group_that_is_not_there_is_said(filled: tuple[Path, str]) -> None:
    report = verify(filled[0], "gnone")
    assert [(b.group, b.seq, b.what) for b in report.broken] == [("gnone", 0, "there is no such group")]


def test_what_is_no_store_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    path.write_bytes(b"not a database, and long enough to be sure of it" * 100)
    with pytest.raises(Unreadable):
        verify(path)
    with pytest.raises(Unreadable):
        verify(tmp_path / "nothing.db")


@pytest.mark.parametrize(
    ("change", "seq", "what"),
    [
        (f"UPDATE entries SET body = x'7b7d' WHERE group_no = {NO} AND seq = 5", 5, "does not chain"),
        (f"UPDATE entries SET sender = 'bob' WHERE group_no = {NO} AND seq = 5", 5, "does not chain"),
        (f"UPDATE entries SET time_ms = time_ms + 1 WHERE group_no = {NO} AND seq = 5", 5, "does not chain"),
        (f"UPDATE entries SET hash = zeroblob(32) WHERE group_no = {NO} AND seq = 5", 5, "does not chain"),
        (f"UPDATE entries SET body = NULL WHERE group_no = {NO} AND seq = 5", 5, "does not chain"),
        (f"DELETE FROM entries WHERE group_no = {NO} AND seq = 5", 5, "no such entry"),
        (f"DELETE FROM entries WHERE group_no = {NO} AND seq >= 14", 14, "no such entry"),
        (f"DELETE FROM entries WHERE group_no = {NO}", 1, "no such entry"),
        (f"DELETE FROM outcomes WHERE group_no = {NO} AND send_id = 's3'", 5, "outcome"),
        (f"UPDATE outcomes SET seq = 3 WHERE group_no = {NO} AND send_id = 's3'", 5, "outcome"),
        (f"INSERT INTO outcomes VALUES ({NO}, 'eve', 'x', 5, NULL)", 15, "1 outcomes that name no entry"),
        (f"UPDATE groups SET seq = 14 WHERE no = {NO}", 14, "head is not the log's end"),
        (f"UPDATE groups SET messages = 13 WHERE no = {NO}", 15, "head is not the log's end"),
        (f"UPDATE groups SET members = 3 WHERE no = {NO}", 15, "members_count"),
        (f"UPDATE groups SET name = 'tea' WHERE no = {NO}", 15, "name"),
        (f"UPDATE memberships SET ended = NULL WHERE group_no = {NO}", 15, "memberships"),
        (f"UPDATE pointers SET seq = 99 WHERE group_no = {NO}", 15, "read pointers past the head"),
        ("DELETE FROM groups_of_user WHERE user = 'cat'", 15, "1 members whose list of groups lacks it"),
    ],
)
def test_each_break_is_found_where_it_is(
    store: sqlite3.Connection, tmp_path: Path, filled: tuple[Path, str], change: str, seq: int, what: str
) -> None:
    assert store.execute(change).rowcount > 0
    store.close()
    report = verify(tmp_path / "folkmoot.db")
    assert [(b.group, b.seq) for b in report.broken] == [(filled[1], seq)]
    assert what in report.broken[0].what


def test_a_body_erased_with_its_salt_leaves_a_sound_log(store: sqlite3.Connection, tmp_path: Path) -> None:
    store.execute(f"UPDATE entries SET body = NULL, salt = NULL WHERE group_no = {NO} AND seq = 5")
    store.close()
    assert verify(tmp_path / "folkmoot.db").broken == []


def test_a_store_in_use_is_verified_as_it_is(tmp_path: Path) -> None:
    async def run() -> LogsReport:
        async with served(tmp_path) as server, Client(server.url, server.token("ann")) as ann:
            group = await ann.create_group("tea")
            await ann.send(group, "hello")
            return await verify_store(tmp_path / "folkmoot.db", [], lambda read, total: None)

    assert asyncio.run(run()) == LogsReport(1, 2, [])


def examine(folder: Path) -> StoreReport:
    return examine_store(folder / "folkmoot.db", lambda read, total: None)


def test_a_sound_store_has_no_damages(filled: tuple[Path, str]) -> None:
    steps: list[tuple[int, int]] = []
    report = examine_store(filled[0], lambda read, total: steps.append((read, total)))
    assert (report.epoch, report.groups, report.entries, report.damages, report.more) == (1, 2, SENT + 4, [], 0)
    assert steps[-1] == (SENT + 4, SENT + 4)


HERE = f"group_no = {NO}"
TWICE = (
    "CREATE TABLE copied AS SELECT * FROM entries",
    "DROP TABLE entries",
    "ALTER TABLE copied RENAME TO entries",
    f"INSERT INTO entries SELECT * FROM entries WHERE {HERE} AND seq = 5",
)
LOG, STORE = True, False
PLANTED: dict[str, tuple[tuple[str, ...], bool, int, str]] = {
    "a row gone": ((f"DELETE FROM entries WHERE {HERE} AND seq = 5",), LOG, 5, "there is no such entry"),
    "rows gone": ((f"DELETE FROM entries WHERE {HERE} AND seq IN (5, 6, 7)",), LOG, 5, "nor any up to 7"),
    "a body changed": ((f"UPDATE entries SET body = x'7b7d' WHERE {HERE} AND seq = 5",), LOG, 5, "its own body"),
    "a sender changed": ((f"UPDATE entries SET sender = 'eve' WHERE {HERE} AND seq = 5",), LOG, 5, "does not chain"),
    "a broken chain": ((f"UPDATE entries SET hash = zeroblob(32) WHERE {HERE} AND seq = 5",), LOG, 5, "does not chain"),
    "a number twice": (TWICE, LOG, 5, "two entries of this number"),
    "a table without its key": (TWICE, STORE, 0, "table entries is not as schema"),
    "a count of messages off": (
        (f"UPDATE entries SET messages = messages + 1 WHERE {HERE} AND seq = 5",),
        LOG,
        5,
        "counts 5 messages, there are 4",
    ),
    "a head's count off": (
        (f"UPDATE groups SET messages = 13 WHERE no = {NO}",),
        LOG,
        15,
        "counts 13 messages, not 12",
    ),
    "a head behind": (
        (f"UPDATE groups SET seq = 13 WHERE no = {NO}",),
        LOG,
        13,
        "the head is not the log's end, which is 15",
    ),
    "a head ahead": ((f"UPDATE groups SET seq = 18 WHERE no = {NO}",), LOG, 16, "no such entry, nor any up to 18"),
    "a head's hash": ((f"UPDATE groups SET hash = zeroblob(32) WHERE no = {NO}",), LOG, 15, "its hash is another"),
    "a head of another life": ((f"UPDATE groups SET epoch = 2 WHERE no = {NO}",), LOG, 15, "epoch 2, the store of 1"),
    "an outcome missing": (
        (f"DELETE FROM outcomes WHERE {HERE} AND seq = 5",),
        LOG,
        5,
        "outcome of its send is not this entry",
    ),
    "an outcome of another": ((f"UPDATE outcomes SET seq = 6 WHERE {HERE} AND seq = 5",), LOG, 5, "it names entry 6"),
    "an outcome refused": (
        (f"UPDATE outcomes SET seq = NULL, code = 'muted' WHERE {HERE} AND seq = 5",),
        LOG,
        5,
        "says refused",
    ),
    "an outcome of nothing": (
        (f"INSERT INTO outcomes VALUES ({NO}, 'eve', 'x', 5, NULL)",),
        LOG,
        15,
        "1 outcomes that name no entry: eve x",
    ),
    "an outcome of neither": (
        (f"INSERT INTO outcomes VALUES ({NO}, 'eve', 'x', NULL, NULL)",),
        LOG,
        15,
        "both or neither",
    ),
    "a projection behind": ((f"UPDATE groups SET name = 'coffee', open = 1 WHERE no = {NO}",), LOG, 15, "open is not"),
    "a count of members off": ((f"UPDATE groups SET members = 3 WHERE no = {NO}",), LOG, 15, "members_count is not"),
    "a membership that is over": (
        (f"UPDATE memberships SET ended = NULL WHERE {HERE}",),
        LOG,
        15,
        "the memberships of bob are not what the log says: member 1 to now instead of member 1 to 14",
    ),
    "a membership gone": (
        (f"DELETE FROM memberships WHERE {HERE} AND user = 'bob'",),
        LOG,
        15,
        "none instead of member",
    ),
    "a membership made up": (
        (f"INSERT INTO memberships VALUES ({NO}, 'eve', 1, NULL, 'owner')",),
        LOG,
        15,
        "the memberships of eve",
    ),
    "a role": ((f"UPDATE memberships SET role = 'admin' WHERE {HERE} AND user = 'cat'",), LOG, 15, "admin 1 to now"),
    "a list without the group": (
        ("DELETE FROM groups_of_user WHERE user = 'cat'",),
        LOG,
        15,
        "1 members whose list of groups lacks it: cat",
    ),
    "a list with another": (
        ("INSERT INTO groups_of_user VALUES ('eve', 'gnone')",),
        STORE,
        0,
        "users who are no members: eve in gnone",
    ),
    "a pointer past the head": (
        (f"UPDATE pointers SET seq = 99 WHERE {HERE} AND user = 'ann'",),
        LOG,
        15,
        "past the head: ann at 99",
    ),
    "a group gone": ((f"DELETE FROM groups WHERE no = {NO}",), STORE, 0, "15 rows of entries whose group is not there"),
    "no epoch": (("DELETE FROM meta WHERE name = 'epoch'",), STORE, 0, "says no epoch"),
    "another schema": (("CREATE TABLE more (x)",), STORE, 0, "table more is not as schema"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_damage_is_found_where_it_is(
    store: sqlite3.Connection, tmp_path: Path, filled: tuple[Path, str], name: str
) -> None:
    changes, of_log, seq, what = PLANTED[name]
    for change in changes:
        store.execute(change)
    store.close()
    found = [(d.group, d.seq) for d in examine(tmp_path).damages if what in d.what]
    where = (filled[1] if of_log else "", seq)
    # A hash that is not the entry's own is one that the next does not chain on either.
    assert found == [where, *([(filled[1], seq + 1)] if name == "a broken chain" else [])], examine(tmp_path).damages


def test_a_garbled_page_is_found_with_its_table_and_the_other_groups_are_still_read(
    store: sqlite3.Connection, tmp_path: Path, filled: tuple[Path, str]
) -> None:
    (root,) = store.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'").fetchone()
    store.close()
    garble(tmp_path / "folkmoot.db", root)
    report = examine(tmp_path)
    assert any("(entries)" in d.what for d in report.damages if d.group == ""), report.damages
    assert (filled[1], 1) in [(d.group, d.seq) for d in report.damages if "cannot be read" in d.what]
    with pytest.raises(Unreadable):
        verify(tmp_path / "folkmoot.db")


def test_an_index_that_lacks_a_row_is_found(store: sqlite3.Connection, tmp_path: Path) -> None:
    (root,) = store.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_groups_1'").fetchone()
    store.close()
    path = tmp_path / "folkmoot.db"
    content = bytearray(path.read_bytes())
    # A leaf that says it has one cell less.
    content[(root - 1) * 4_096 + 4] -= 1
    path.write_bytes(content)
    assert any("sqlite_autoindex_groups_1" in d.what for d in examine(tmp_path).damages)


def test_many_damages_are_kept_up_to_a_bound_and_counted_beyond_it(store: sqlite3.Connection, tmp_path: Path) -> None:
    store.execute(f"DELETE FROM outcomes WHERE {HERE}")
    store.execute(f"UPDATE entries SET body = x'7b7d' WHERE {HERE}")
    store.close()
    report = examine(tmp_path)
    assert len(report.damages) == 20
    assert report.more > 5


def garble(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * 4_096)
        file.write(b"\xa5" * 4_096)
