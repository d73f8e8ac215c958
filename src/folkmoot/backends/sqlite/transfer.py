"""What a copy asks of a store's file: its part in the copy, kept in `meta`, and rows that no other port shows."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import apsw
import msgspec

from folkmoot.backends.sqlite.file import Change, StoreFile
from folkmoot.backends.sqlite.rows import CUSTODY
from folkmoot.model.ids import GroupId
from folkmoot.ports.store import MovedPointer, StoreBroken
from folkmoot.ports.transfer import Custody, Page, Refusal, StoreOccupied

T = TypeVar("T")

_GROUPS: Final = "SELECT id FROM groups WHERE id > ? ORDER BY id LIMIT ?"
_REFUSALS: Final = (
    "SELECT (SELECT id FROM groups WHERE no = group_no), code, group_no, sender, send_id FROM outcomes"
    " WHERE (group_no, sender, send_id) > (?, ?, ?) AND code IS NOT NULL ORDER BY group_no, sender, send_id LIMIT ?"
)
_POINTERS: Final = (
    "SELECT (SELECT id FROM groups WHERE no = group_no), epoch, seq, group_no, user FROM pointers"
    " WHERE (group_no, user) > (?, ?) ORDER BY group_no, user LIMIT ?"
)
_TABLES: Final = ("groups", "profiles", "standings", "api_keys")
"""Where all of these are empty, so is the store."""


class Read(Protocol):
    """The store's readers: what a function of a connection returns."""

    def __call__(self, read: Callable[[apsw.Connection], T], /) -> Awaitable[T]: ...


class SqliteTransfer:
    """`ports.transfer.Transfer` of a `SqliteStore`, which makes it and closes with it."""

    def __init__(self, read: Read, write: Callable[[Change], Awaitable[Any]], file: StoreFile) -> None:
        self._read = read
        self._write = write
        self._file = file

    async def custody(self) -> Custody:
        return await self._read(custody_of)

    async def begin(self, custody: Custody) -> Custody:
        def run(database: apsw.Connection) -> None:
            if custody_of(database).part == "none":
                _note(database, custody)

        await self._write(Change(run))
        return await self.custody()

    async def claim(self, custody: Custody, epoch: int) -> None:
        refused: list[str] = []

        def run(database: apsw.Connection) -> None:
            # Nothing is raised here: the writer would take it for a write that it cannot do.
            there = custody_of(database)
            refused[:] = [why] if (why := _occupied(database, there, custody)) else []
            if not refused:
                _note(database, custody)
                database.execute("REPLACE INTO meta VALUES ('epoch', ?)", (epoch,))

        await self._write(Change(run))
        if refused:
            raise StoreOccupied(refused[0])
        self._file.epoch = epoch

    async def seal(self, custody: Custody) -> None:
        await self._write(Change(lambda database: _note(database, custody)))

    async def release(self) -> None:
        await self._write(Change(lambda database: _forget(database)))

    async def groups(self, *, after: str, rows_max: int) -> Page[GroupId]:
        def read(database: apsw.Connection) -> Page[GroupId]:
            rows = [row[0] for row in database.execute(_GROUPS, (after, rows_max))]
            return Page(rows, rows[-1] if len(rows) == rows_max else "")

        return await self._read(read)

    async def refusals(self, *, after: str, rows_max: int) -> Page[Refusal]:
        def read(database: apsw.Connection) -> Page[Refusal]:
            start = msgspec.json.decode(after, type=tuple[int, str, str]) if after else (0, "", "")
            rows: list[Any] = database.execute(_REFUSALS, (*start, rows_max)).fetchall()
            found = [Refusal(group, (sender, send_id), code) for group, code, _, sender, send_id in rows]
            return Page(found, _cursor(rows[-1][2:]) if len(rows) == rows_max else "")

        return await self._read(read)

    async def pointers(self, *, after: str, rows_max: int) -> Page[MovedPointer]:
        def read(database: apsw.Connection) -> Page[MovedPointer]:
            start = msgspec.json.decode(after, type=tuple[int, str]) if after else (0, "")
            rows: list[Any] = database.execute(_POINTERS, (*start, rows_max)).fetchall()
            found = [MovedPointer(group, user, epoch, seq) for group, epoch, seq, _, user in rows]
            return Page(found, _cursor(rows[-1][3:]) if len(rows) == rows_max else "")

        return await self._read(read)


def _cursor(key: tuple[object, ...]) -> str:
    return msgspec.json.encode(key).decode()


def custody_of(database: apsw.Connection) -> Custody:
    """The part in a copy of the store in an open file. Raises apsw.Error, StoreBroken."""
    row = database.execute("SELECT value FROM meta WHERE name = ?", (CUSTODY,)).fetchone()
    try:
        return Custody() if row is None else msgspec.json.decode(str(row[0]), type=Custody)
    except msgspec.MsgspecError as error:
        raise StoreBroken(f"what it says of its part in a copy cannot be read: {error}") from error


def _occupied(database: apsw.Connection, there: Custody, custody: Custody) -> str:
    """Why the store cannot be copied into by the copy, "" where it can."""
    if there.part == "target":
        return "" if there.copy == custody.copy else f"a copy from {there.other} into it was begun, and is not finished"
    if there.part != "none":
        return f"it is itself the source of a copy, to {there.other}"
    filled = [table for table in _TABLES if database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()]
    return f"it has data already ({', '.join(filled)})" if filled else ""


def _note(database: apsw.Connection, custody: Custody) -> None:
    database.execute("REPLACE INTO meta VALUES (?, ?)", (CUSTODY, msgspec.json.encode(custody).decode()))


def _forget(database: apsw.Connection) -> None:
    database.execute("DELETE FROM meta WHERE name = ?", (CUSTODY,))
