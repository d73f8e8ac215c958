"""The store in one SQLite file: one writer thread with group commit, readers apart, and no answer before a sync."""

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import apsw

from folkmoot.backends.sqlite.accounts import SqliteAccounts
from folkmoot.backends.sqlite.file import CHECKPOINT_BYTES, StoreFile, Work
from folkmoot.backends.sqlite.reader import Readers
from folkmoot.backends.sqlite.reserve import Reserve
from folkmoot.backends.sqlite.rows import entries_of, group_of, no_group, state_of
from folkmoot.backends.sqlite.transfer import SqliteTransfer, custody_of
from folkmoot.backends.sqlite.writer import JOBS_WAITING_MAX, Writer
from folkmoot.model.entry import Entry, genesis
from folkmoot.model.group import GroupState, Head
from folkmoot.model.histogram import Histogram
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, Span
from folkmoot.model.send import Appended, Outcome, Refused, SendKey
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import (
    GroupView,
    Mark,
    MovedPointer,
    StoreAway,
    StoreBroken,
    Write,
)
from folkmoot.ports.transfer import StoreSealed

T = TypeVar("T")
_END = 2**62
PAGE_ROWS_MAX = 128
"""A page of more is read by itself; smaller ones go to a thread together."""

_OUTCOME = (
    "SELECT o.seq, o.code, e.kind, e.digest, e.salt FROM outcomes o"
    " LEFT JOIN entries e ON e.group_no = o.group_no AND e.seq = o.seq"
    " WHERE o.group_no = (SELECT no FROM groups WHERE id = ?) AND o.sender = ? AND o.send_id = ?"
)


class StoreInUse(Exception):
    """Another process has the file open for writing."""


class Writes(Protocol):
    """What a store's writes go to: the writer's thread, or the process that has one."""

    away: bool
    unknown: int
    generation: int

    @property
    def waiting(self) -> int: ...

    def write(self, work: Work) -> Awaitable[Any]: ...

    async def close(self) -> None: ...


class SqliteStore:
    """`ports.store.Store` in a file, with the `accounts` in it. Made with `open`; one process at a time writes."""

    def __init__(self, file: StoreFile, writer: "Writes", readers: Readers, lock: int | None) -> None:
        self._file = file
        self._writer = writer
        self._readers = readers
        self._lock = lock
        self._closed = False
        self.accounts = SqliteAccounts(self._read, writer.write)
        self.transfer = SqliteTransfer(self._read, writer.write, file)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        readers: int = 2,
        wal_bytes_max: int = 64 * 1_048_576,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        reserve_bytes: int = 4 * 1_048_576,
        gather_s: float = 0.0,
        reserve: Reserve | None = None,
        vfs: str | None = None,
        synchronous: str = "FULL",
        to_copy: bool = False,
    ) -> "SqliteStore":
        """Open or make the store in `path`. Raises StoreInUse, SchemaUnknown, StoreBroken, OSError;
        StoreSealed where it must not be served, unless it is opened only `to_copy`.

        `reserve`, `vfs` and `synchronous` are for tests: other disks, and what is lost without syncs.
        """
        lock = locked(path)
        file = StoreFile(
            path,
            reserve or Reserve(path.with_name("reserve"), reserve_bytes),
            clock,
            wal_bytes_max=wal_bytes_max,
            checkpoint_bytes=checkpoint_bytes,
            vfs=vfs,
            synchronous=synchronous,
        )
        try:
            await asyncio.to_thread(file.open)
            if not to_copy:
                await asyncio.to_thread(_check_served, file)
        except apsw.CorruptError as error:
            os.close(lock)
            raise StoreBroken(f"{path.name} is damaged: {error}") from error
        except apsw.Error as error:
            os.close(lock)
            raise OSError(f"{path} cannot be opened: {error}") from error
        except BaseException:
            os.close(lock)
            raise
        writer = Writer(file, clock, gather_s=gather_s)
        pool = Readers(file.connect_reader, lambda: writer.generation, threads=readers)
        writer.start()
        return cls(file, writer, pool, lock)

    @property
    def home(self) -> str:
        """Which store it is, in words: the same for every process on this file."""
        return f"the file {self._file.path.resolve()}"

    async def epoch(self) -> int:
        self._check()
        return self._file.epoch

    async def state(self, group: GroupId) -> GroupState:
        def read(database: apsw.Connection) -> GroupState:
            row = _group_row(database, group)
            return no_group(group, self._file.epoch) if row is None else state_of(database, row)

        return await self._read(read)

    async def head(self, group: GroupId) -> Head | None:
        return (await self.heads((group,))).get(group)

    async def heads(self, groups: Sequence[GroupId]) -> dict[GroupId, Head]:
        def read(database: apsw.Connection) -> dict[GroupId, Head]:
            found = {}
            for group in groups:
                row = _group_row(database, group)
                if row is not None and row[4] > 0:
                    found[group] = group_of(row)[2]
            return found

        return await self._read(read)

    async def last_times(self, groups: Sequence[GroupId]) -> dict[GroupId, int]:
        sql = "SELECT e.time_ms FROM groups g JOIN entries e ON e.group_no = g.no AND e.seq = g.seq WHERE g.id = ?"

        def read(database: apsw.Connection) -> dict[GroupId, int]:
            rows = ((group, database.execute(sql, (group,)).fetchone()) for group in groups)
            return {group: row[0] for group, row in rows if row is not None}

        return await self._read(read)

    async def view(self, group: GroupId, user: UserId) -> GroupView | None:
        def read(database: apsw.Connection) -> GroupView | None:
            row = _group_row(database, group)
            if row is None or row[4] == 0:
                return None
            number, _, head = group_of(row)
            stays = database.execute(
                "SELECT joined, ended, role FROM memberships WHERE group_no = ? AND user = ? ORDER BY joined",
                (number, user),
            )
            memberships = tuple(Membership(*stay) for stay in stays)
            pointer = database.execute(
                "SELECT seq FROM pointers WHERE group_no = ? AND user = ?", (number, user)
            ).fetchone()
            return GroupView(
                group=group,
                head=head,
                name=row[7],
                history_all=bool(row[8]),
                open=bool(row[9]),
                members_count=row[10],
                memberships=memberships,
                read=pointer[0] if pointer is not None else 0,
            )

        return await self._read_short(read)

    def append(self, write: Write) -> Awaitable[Head]:
        return self._writer.write(write)

    async def outcomes(self, group: GroupId, keys: Iterable[SendKey]) -> dict[SendKey, Outcome]:
        wanted = list(keys)

        def read(database: apsw.Connection) -> dict[SendKey, Outcome]:
            found: dict[SendKey, Outcome] = {}
            for sender, send_id in wanted:
                outcome = database.execute(_OUTCOME, (group, sender, send_id)).fetchone()
                if outcome is not None:
                    seq, code, kind, digest, salt = outcome
                    found[(sender, send_id)] = Refused(code) if seq is None else Appended(seq, kind, digest, salt)
            return found

        return await self._read_short(read)

    async def mark(self, group: GroupId, seq: int) -> Mark | None:
        if not 0 <= seq < _END:
            return None

        def read(database: apsw.Connection) -> Mark | None:
            row = database.execute(
                "SELECT epoch, hash, messages FROM entries WHERE group_no = (SELECT no FROM groups WHERE id = ?)"
                " AND seq = ?",
                (group, max(seq, 1)),
            ).fetchone()
            if row is None:
                return None
            return Mark(*row) if seq else Mark(row[0], genesis(group), 0)

        return await self._read_short(read)

    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        return await self._page(group, span, entries_max, bytes_max, "ASC")

    async def read_back(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        return (await self._page(group, span, entries_max, bytes_max, "DESC"))[::-1]

    async def groups_of(self, user: UserId, *, after: GroupId, rows_max: int) -> list[GroupId]:
        sql = "SELECT group_id FROM groups_of_user WHERE user = ? AND group_id > ? ORDER BY group_id LIMIT ?"
        return await self._read(
            lambda database: [row[0] for row in database.execute(sql, (user, after, max(0, rows_max)))]
        )

    async def members(self, group: GroupId, *, after: UserId, rows_max: int) -> list[tuple[UserId, Membership]]:
        sql = (
            "SELECT user, joined, role FROM memberships WHERE group_no = (SELECT no FROM groups WHERE id = ?)"
            " AND user > ? AND ended IS NULL ORDER BY user LIMIT ?"
        )

        def read(database: apsw.Connection) -> list[tuple[UserId, Membership]]:
            rows = database.execute(sql, (group, after, max(0, rows_max)))
            return [(user, Membership(joined, None, role)) for user, joined, role in rows]

        return await self._read(read)

    async def move_pointers(self, pointers: Sequence[MovedPointer]) -> None:
        await self._writer.write(list(pointers))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # Readers first: the writer, closing last, copies the log into the file.
        await self._readers.close()
        await self._writer.close()
        if self._lock is not None:
            os.close(self._lock)

    def statistics(self) -> dict[str, int]:
        return {
            "commits": self._file.commits,
            "waiting": self._writer.waiting,
            "waiting_max": JOBS_WAITING_MAX,
            "full": self._file.full,
            "unknown": self._writer.unknown,
            "reopened": self._writer.generation,
            "wal_bytes": self._file.wal_bytes,
            "checkpoints": self._file.checkpoints,
            "checkpoint_failures": self._file.checkpoint_failures,
        }

    def histograms(self) -> dict[str, Histogram]:
        return {"commit_writes": self._file.commit_writes, "commit_seconds": self._file.commit_seconds}

    def _check(self) -> None:
        if self._closed or self._writer.away:
            raise StoreAway("the store is closed" if self._closed else "the store is being opened")

    async def _read(self, read: Callable[[apsw.Connection], T]) -> T:
        self._check()
        return await self._readers.run(read)

    async def _read_short(self, read: Callable[[apsw.Connection], T], *, rows: int = 2) -> T:
        self._check()
        return await self._readers.run_short(read, rows=rows)

    async def _page(self, group: GroupId, span: Span, entries_max: int, bytes_max: int, way: str) -> list[Entry]:
        sql = (
            "SELECT * FROM entries WHERE group_no = (SELECT no FROM groups WHERE id = ?)"
            f" AND seq BETWEEN ? AND ? ORDER BY seq {way} LIMIT ?"
        )
        limit = min(max(1, entries_max), _END)
        last = _END if span.last is None else min(span.last, _END)

        def read(database: apsw.Connection) -> list[Any]:
            taken: list[Any] = []
            size_bytes = 0
            for row in database.execute(sql, (group, min(max(span.first, 1), _END), last, limit)):
                size_bytes += len(row[9] or b"")
                if taken and size_bytes > bytes_max:
                    break
                taken.append(row)
            return taken

        if limit > PAGE_ROWS_MAX:
            return entries_of(group, await self._read(read))
        return entries_of(group, await self._read_short(read, rows=limit))


def _group_row(database: apsw.Connection, group: GroupId) -> Any:
    return database.execute("SELECT * FROM groups WHERE id = ?", (group,)).fetchone()


def _check_served(file: StoreFile) -> None:
    database = file.connect_reader()
    try:
        custody = custody_of(database)
    finally:
        database.close(True)
    try:
        custody.check_served()
    except StoreSealed:
        file.close()
        raise


def locked(path: Path) -> int:
    """A lock that goes with the process, however it ends. Raises StoreInUse."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StoreInUse(f"{path.name} is open in another process") from None
    return lock
