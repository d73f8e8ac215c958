"""Verifying a store: a sound one passes, and each way of breaking it is found and placed."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from folkmoot.checker.logs import LogsReport, Unreadable, verify_store
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
