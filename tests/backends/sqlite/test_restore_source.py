"""What is read of a damaged file: rows from both ends, none that cannot have been written, and what was lost."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from folkmoot.backends.sqlite.database import migrate
from folkmoot.backends.sqlite.restore import REBUILT
from folkmoot.backends.sqlite.restore_source import MEANINGS, Source, reading

PAGE_BYTES = 4_096


def make(path: Path, *statements: str, strict: bool = True) -> None:
    database = apsw.Connection(str(path))
    migrate(database)
    if not strict:
        database.execute("DROP TABLE profiles")
        database.execute(
            "CREATE TABLE profiles (user TEXT PRIMARY KEY, name TEXT NOT NULL, picture TEXT NOT NULL,"
            " data BLOB NOT NULL, changed_ms INTEGER NOT NULL)"
        )
    for statement in statements:
        database.execute(statement)
    database.close(True)


def an_entry(number: int, seq: int, send_id: str) -> str:
    """The statement that puts it; `send_id` as SQL."""
    values = f"{number}, {seq}, 1, 'message', 'user-1', 'd', {send_id}, 5, 1, NULL, NULL, zeroblob(900), zeroblob(32)"
    return f"INSERT INTO entries VALUES ({values})"


@contextlib.contextmanager
def source(path: Path, *, salvage: bool = True) -> Iterator[Source]:
    opened = Source(reading(path), salvage=salvage)
    try:
        yield opened
    finally:
        opened.close()


def test_every_table_that_is_read_has_a_word_on_what_its_loss_means(tmp_path: Path) -> None:
    make(tmp_path / "f.db")
    database = apsw.Connection(str(tmp_path / "f.db"))
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    database.close(True)
    assert MEANINGS.keys() == tables - REBUILT | {"groups", "entries", "outcomes", "pointers"}


def test_rows_that_cannot_have_been_written_are_passed_over_and_noted(tmp_path: Path) -> None:
    make(
        tmp_path / "f.db",
        "INSERT INTO profiles VALUES ('a', 'A', '', x'7b7d', 5)",
        "INSERT INTO profiles VALUES ('b', x'00', '', x'7b7d', 5)",
        "INSERT INTO profiles VALUES ('c', 'C', '', x'7b7d', 'later')",
        "INSERT INTO profiles VALUES ('d', 'D', '', x'7b7d', -5)",
        "INSERT INTO profiles VALUES (NULL, 'N', '', x'7b7d', 5)",
        "INSERT INTO profiles VALUES ('e', 'E', '', x'7b7d', 5)",
        strict=False,
    )
    with source(tmp_path / "f.db") as opened:
        assert [row[0] for row in opened.rows("profiles")] == ["a", "e"]
        assert [lost.table for lost in opened.lost] == ["profiles"]
    with source(tmp_path / "f.db", salvage=False) as opened:
        assert len(list(opened.rows("profiles"))) == 6
        assert opened.lost == []


def test_text_that_is_none_is_passed_over_like_a_bad_page(tmp_path: Path) -> None:
    make(
        tmp_path / "f.db",
        "INSERT INTO profiles VALUES ('a', 'A', '', x'7b7d', 5), ('b', CAST(x'c3' AS TEXT), '', x'7b7d', 5)",
        "INSERT INTO profiles VALUES ('c', 'C', '', x'7b7d', 5), ('d', 'D', '', x'7b7d', 5)",
        an_entry(1, 1, "'one'"),
        an_entry(1, 2, "CAST(x'c3' AS TEXT)"),
    )
    with source(tmp_path / "f.db") as opened:
        # Behind what cannot be read it is the last first.
        assert [row[0] for row in opened.rows("profiles")] == ["a", "d", "c"]
        assert [lost.table for lost in opened.lost] == ["profiles"]
        page, readable = opened.page(1, 0, 10)
        assert ([row[1] for row in page], readable) == ([1], False)
    with source(tmp_path / "f.db", salvage=False) as opened, pytest.raises(UnicodeDecodeError):
        list(opened.rows("profiles"))


def test_a_row_of_another_group_than_was_asked_for_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    make(path, "INSERT INTO outcomes VALUES (2, 'user', 'one', NULL, 'muted'), (2, 'user', 'two', NULL, 'muted')")
    path.write_bytes(path.read_bytes().replace(b"\x02usertwo", b"\x00usertwo"))
    with source(path) as opened:
        assert [row[2] for row in opened.rows("outcomes", 2, group="g")] == ["one"]
        assert [(lost.table, lost.groups) for lost in opened.lost] == [("outcomes", ["g"])]


def test_groups_are_looked_up_from_both_ends_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    make(path, *(an_entry(n, 1, f"'send-{n}.'") for n in range(1, 41)))
    with source(path) as opened:
        assert opened.numbers() == set(range(1, 41))
    content = bytearray(path.read_bytes())
    at = content.index(b"send-22.") // PAGE_BYTES * PAGE_BYTES
    content[at : at + PAGE_BYTES] = b"\xff" * PAGE_BYTES
    path.write_bytes(content)
    with source(path) as opened:
        found = opened.numbers()
        assert {1, 2, 39, 40} < found
        assert 22 not in found
        assert len(found) > 30
        # All that is not found here is known from elsewhere, unless that cannot be read.
        assert opened.lost == []
        opened.lose("groups")
        assert opened.numbers() == found
        assert [lost.table for lost in opened.lost] == ["groups", "entries"]


def test_a_file_is_left_as_it_is(tmp_path: Path) -> None:
    make(tmp_path / "f.db")
    database = reading(tmp_path / "f.db")
    with pytest.raises(apsw.ReadOnlyError):
        database.execute("DELETE FROM meta")
    database.close(True)
