"""Rows and nouns: what is put is what is found, and a conflict changes nothing of a transaction."""

import asyncio
from pathlib import Path

import apsw
import msgspec
import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.sqlite.database import connect, migrate
from folkmoot.backends.sqlite.rows import ROOM, LogRows, entries_of, group_of, no_group, put, put_pointers, state_of
from folkmoot.ports.store import Conflict, MovedPointer, Write
from folkmoot.testing.store_suite import OTHER, OWNER, Author


@pytest.fixture
def database(tmp_path: Path) -> apsw.Connection:
    opened = connect(tmp_path / "folkmoot.db")
    migrate(opened)
    return opened


def writes() -> list[Write]:
    """A creation and two messages, as a router would have them written."""

    async def run() -> list[Write]:
        disk = Disk()
        author = Author(MemoryStore(disk))
        await author.make(OTHER)
        await author.say("a", "b")
        return [record for record in disk.records if isinstance(record, Write)]

    return asyncio.run(run())


def test_what_is_put_is_what_is_found(database: apsw.Connection) -> None:
    made, said = writes()
    rows, cursor, numbers = LogRows(), database.cursor(), dict[str, int]()
    head, number = put(cursor, made, 1, rows, numbers)
    assert (head.seq, head.writes, head.room) == (1, 1, ROOM)
    assert numbers == {made.group: number}
    head, again = put(cursor, said, 1, rows, numbers)
    rows.put(cursor)
    rows.put(cursor)  # Nothing is left to be put.
    assert (again, head.seq, head.writes) == (number, 3, 2)
    row = database.execute("SELECT * FROM groups").fetchone()
    assert group_of(row) == (number, made.group, head)
    assert state_of(database, row) == msgspec.structs.replace(said.after, head=head)
    entries = entries_of(made.group, database.execute("SELECT * FROM entries ORDER BY seq"))
    assert entries == [*made.entries, *said.entries]
    pointers = database.execute("SELECT user, seq FROM pointers").fetchall()
    assert pointers == [(OWNER, 3)]
    database.close()


def test_a_conflict_leaves_the_transaction_as_it_was(database: apsw.Connection) -> None:
    made, said = writes()
    rows, cursor, numbers = LogRows(), database.cursor(), dict[str, int]()
    cursor.execute("BEGIN IMMEDIATE")
    put(cursor, made, 1, rows, numbers)
    for _ in range(2):
        with pytest.raises(Conflict):
            put(cursor, made, 1, rows, numbers)
    put(cursor, said, 1, rows, numbers)
    late = msgspec.structs.replace(said, expected=msgspec.structs.replace(said.expected, writes=7))
    with pytest.raises(Conflict):
        put(cursor, late, 1, rows, numbers)
    rows.put(cursor)
    database.execute("COMMIT")
    assert database.execute("SELECT count(*) FROM entries").fetchone() == (3,)
    assert database.execute("SELECT count(*) FROM outcomes").fetchone() == (3,)
    database.close()


def test_a_number_that_is_not_the_groups_is_not_believed(database: apsw.Connection) -> None:
    # As one that a rolled back transaction gave to another group.
    made, said = writes()
    cursor = database.cursor()
    _, number = put(cursor, made, 1, LogRows(), {})
    for wrong in (number + 1, -1):
        numbers = {made.group: wrong}
        cursor.execute("SAVEPOINT one")
        head, found = put(cursor, said, 1, LogRows(), numbers)
        assert (head.seq, found, numbers[made.group]) == (3, number, number)
        cursor.execute("ROLLBACK TO one")
    database.close()


def test_no_more_numbers_are_kept_than_so_many(database: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("folkmoot.backends.sqlite.rows.NUMBERS_KNOWN_MAX", 2)
    made, _ = writes()
    numbers = {"ga": 7, "gb": 8}
    _, number = put(database.cursor(), made, 1, LogRows(), numbers)
    assert numbers == {made.group: number}
    database.close()


def test_a_pointer_of_a_group_that_is_not_there_is_passed_over(database: apsw.Connection) -> None:
    put_pointers(database.cursor(), [MovedPointer("gnone", OWNER, 1, 1)], 1)
    assert database.execute("SELECT count(*) FROM pointers").fetchone() == (0,)
    assert no_group("gnone", 3).head.epoch == 3
    database.close()


def test_an_outcome_of_the_same_transaction_is_seen_with_care_and_breaks_it_without(database: apsw.Connection) -> None:
    made, said = writes()
    taken = said.entries[0]
    # Another append to the same head, as of a router that does not know of the first, under a send id that is taken.
    head = msgspec.structs.replace(said.after.head, writes=2)
    after = msgspec.structs.replace(said.after, head=msgspec.structs.replace(head, seq=4))
    again = Write(
        group=said.group,
        expected=head,
        entries=[msgspec.structs.replace(taken, seq=4)],
        refusals={},
        after=after,
        memberships=[],
    )
    for careful, error in ((True, Conflict), (False, apsw.ConstraintError)):
        rows, cursor = LogRows(), database.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        put(cursor, made, 1, rows, {}, careful=careful)
        put(cursor, said, 1, rows, {}, careful=careful)

        def put_again(rows: LogRows = rows, cursor: apsw.Cursor = cursor, careful: bool = careful) -> None:
            put(cursor, again, 1, rows, {}, careful=careful)
            rows.put(cursor)

        with pytest.raises(error):
            put_again()
        database.execute("ROLLBACK")
    database.close()
