"""The file that a store is restored from: its rows, as far as they can be read, and of what not all could be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

_UNREADABLE: Final = (apsw.CorruptError, UnicodeDecodeError)
"""What reading a bad page comes to, or one of which a part is bad: SQLite does not look whether text is text."""

MEANINGS: Final = {
    "meta": "its epoch may not be known: the new one is by the clock, which has to be right",
    "groups": "groups were found by their logs, and whether a log has lost its end is not known;"
    " what was refused in groups that have none is gone",
    "entries": "whole groups may be gone, and nothing says which",
    "outcomes": "sends that were refused are stored if they come again, though it was said that they never would be",
    "pointers": "what was read counts as unread",
    "profiles": "some users' names, pictures and data are gone",
    "standings": "users who were deactivated or signed out can come in again, until that is done anew",
    "api_keys": "those that are gone are refused, and so are tokens made with them: make them anew",
}
"""What it means that not all of a table could be read."""


class Lost(msgspec.Struct, frozen=True):
    """A table of which not all could be read, in which groups, where it is theirs, and what that means."""

    table: str
    groups: list[str]
    what: str


class _Column(msgspec.Struct, frozen=True):
    """`in_key`: which part of the primary key it is, from 1, or 0."""

    name: str
    kind: type
    nullable: bool
    in_key: int


class Source:
    """The file, open and only read. Salvaging, what cannot be read is passed over and noted; else it raises."""

    def __init__(self, database: apsw.Connection, *, salvage: bool) -> None:
        self._database = database
        self._salvage = salvage
        self._lost: dict[str, list[str]] = {}
        self._columns: dict[str, list[_Column]] = {}

    @property
    def lost(self) -> list[Lost]:
        return [Lost(table, groups, MEANINGS[table]) for table, groups in self._lost.items()]

    def lose(self, table: str, group: str = "") -> None:
        """Note that not all of a table was there, of the group's rows where one is given."""
        groups = self._lost.setdefault(table, [])
        if group and groups[-1:] != [group]:
            groups.append(group)

    def close(self) -> None:
        self._database.close(True)

    def rows(self, table: str, number: int | None = None, *, group: str = "") -> Iterator[tuple[Any, ...]]:
        """Rows of a table by its key. Those behind a bad page come last, from the end on: one page costs its own rows.

        `number`, `group`: of that group only. Raises apsw.CorruptError, unless salvaging.
        """
        key = sorted((column for column in self._columns_of(table) if column.in_key), key=lambda column: column.in_key)
        where, values = ("", ()) if number is None else (" WHERE group_no = ?", (number,))
        for direction in ("ASC", "DESC"):
            order = ", ".join(f'"{column.name}" {direction}' for column in key)
            try:
                for row in self._database.execute(f'SELECT * FROM "{table}"{where} ORDER BY {order}', values):
                    if self._fits(table, row, number):
                        yield row
                    else:
                        self.lose(table, group)
                return
            except _UNREADABLE:
                if not self._salvage:
                    raise
                self.lose(table, group)

    def page(self, number: int, after: int, entries_max: int) -> tuple[list[Any], bool]:
        """Rows of a group's entries after a seq, as far as they can be read, and whether they could."""
        rows: list[Any] = []
        try:
            for row in self._database.execute(_PAGE, (number, after, entries_max)):
                if not self._fits("entries", row, number):
                    return rows, False
                rows.append(row)
        except _UNREADABLE:
            return rows, False
        return rows, True

    def last_seq(self, number: int) -> int:
        """Of a group's last entry, 0 where there is none, or it cannot be read."""
        return self._number("SELECT max(seq) FROM entries WHERE group_no = ?", number)

    def entries(self, number: int) -> int:
        """How many a group has, 0 where they cannot be counted."""
        return self._number("SELECT count(*) FROM entries WHERE group_no = ?", number)

    def numbers(self) -> set[int]:
        """The numbers of groups that have entries: from the first on, and where a page is bad, from the last back.

        Ask for the rows of `groups` first: only where these are not all known it matters that some are not found.
        """
        found: set[int] = set()
        for step, start in ((_NEXT_NUMBER, -(2**63)), (_NUMBER_BEFORE, 2**63 - 1)):
            at: Any = start
            try:
                # One that was found already: a bad page that reads as a sound one must not send us round for ever.
                while isinstance(at := self._database.execute(step, (at,)).get, int) and at not in found:
                    found.add(at)
                return found
            except apsw.CorruptError:
                if "groups" in self._lost:
                    self.lose("entries")
        return found

    def _number(self, sql: str, number: int) -> int:
        try:
            found = self._database.execute(sql, (number,)).get
        except apsw.CorruptError:
            return 0
        return found if isinstance(found, int) else 0

    def _fits(self, table: str, row: tuple[Any, ...], number: int | None) -> bool:
        """Whether a row can be what was written: on a page of which a part is bad it may be anything."""
        if not self._salvage:
            return True
        return number in (None, row[0]) and all(map(_may_hold, self._columns_of(table), row))

    def _columns_of(self, table: str) -> list[_Column]:
        if table not in self._columns:
            self._columns[table] = [
                _Column(str(name), _TYPES[str(kind)], not (required or in_key), int(str(in_key)))
                for _, name, kind, required, _, in_key in self._database.execute(f'PRAGMA table_info("{table}")')
            ]
        return self._columns[table]


def _may_hold(column: _Column, value: object) -> bool:
    if value is None:
        return column.nullable
    if isinstance(value, int) and value < 0:
        return False  # No number of ours is.
    return isinstance(value, column.kind)


def reading(path: Path) -> apsw.Connection:
    """The file at `path`, open and left as it is. Raises apsw.Error."""
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    # Else the last to close would copy the log into the file: what is read from stays as it is.
    database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return database


_TYPES: Final[dict[str, type]] = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes, "ANY": object}
"""The types of a STRICT table."""

_PAGE: Final = "SELECT * FROM entries WHERE group_no = ? AND seq > ? ORDER BY seq LIMIT ?"
_NEXT_NUMBER: Final = "SELECT min(group_no) FROM entries WHERE group_no > ?"
_NUMBER_BEFORE: Final = "SELECT max(group_no) FROM entries WHERE group_no < ?"
