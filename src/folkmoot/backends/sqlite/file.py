"""The file while one thread writes to it: transactions, what a full disk does to them, and a log that stays short."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import apsw

from folkmoot.backends.sqlite import wal
from folkmoot.backends.sqlite.database import BUSY_MS, GROUPS_CHECKED_MAX, check_last, connect, identify, migrate
from folkmoot.backends.sqlite.reserve import Reserve
from folkmoot.backends.sqlite.rows import LogRows, put, put_last_groups, put_pointers
from folkmoot.model.group import Head
from folkmoot.model.histogram import SECONDS, SIZES, Histogram
from folkmoot.model.ids import GroupId
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import Conflict, MovedPointer, StoreFull, Write

_log = logging.getLogger(__name__)

CHECKPOINT_BYTES: Final = 4 * 1_048_576
"""The log is copied into the file when it has grown by this and nothing waits; by four times this in any case.

Commits wait for it meanwhile, so it is short rather than rare: with four times this the slowest in a hundred messages
waited twice as long (22 and 25 ms against 10 and 13, in turn on a quiet machine), at the same CPU.
"""

TRUNCATE_WAIT_MS: Final = 100
"""How long a log past its bound waits for readers of it. Where they stay it grows on, and is tried again later."""

TRUNCATE_AGAIN_S: Final = 5.0
"""How soon that is tried again while they stay, as a backup does: so writes wait for it a fiftieth of the time."""

RESERVE_AGAIN_S: Final = 0.25
"""How often it is tried to set the reserve aside again, once it has been given back."""

NOTE_AGAIN_S: Final = 0.25
"""How often it is noted which groups were written to, for the next start to look at: it is a page more to write."""

ROOM_BYTES: Final = 262_144
"""Once a write did not fit there has to be this much room before it is said, without trying one, that writes fit."""

FAULTS: Final = (
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.NoMemError,
    apsw.ProtocolError,
    apsw.BusyError,
    apsw.LockedError,
)
"""What says that the disk, the machine or another process is at fault. Anything else is the fault of a write."""


class Change(NamedTuple):
    """A change of tables other than a group's. `run` may be run again, after a rollback.

    `reserve`: the room kept for refusals may be used.
    """

    run: Callable[[apsw.Connection], None]
    reserve: bool = False


Work: TypeAlias = Write | Change | Sequence[MovedPointer]
Result: TypeAlias = Head | Exception | None


class Fault(Exception):
    """Nobody knows whether what was being written is there. The file is to be closed and opened again."""


class StoreFile:
    """Used by one thread at a time. `epoch` is known once it has been opened."""

    def __init__(
        self,
        path: Path,
        reserve: Reserve,
        clock: Clock,
        *,
        wal_bytes_max: int,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        vfs: str | None = None,
        synchronous: str = "FULL",
    ) -> None:
        self.epoch = 0
        self.commits = 0
        self.commit_writes = Histogram(SIZES)
        self.commit_seconds = Histogram(SECONDS)
        self.full = 0
        self._lacks_room = False
        self.checkpoints = 0
        self.checkpoint_failures = 0
        self.waits_in_vain = 0
        self.path = path
        self._vfs = vfs
        self._synchronous = synchronous
        self._reserve = reserve
        self._clock = clock
        self._wal_bytes_max = wal_bytes_max
        self._checkpoint_bytes = checkpoint_bytes
        self._wal_bytes = 0
        self._copied_bytes = 0
        self._reserve_again_s = 0.0
        self._truncate_again_s = 0.0
        self._note_again_s = -math.inf
        self._unnoted: list[int] = []
        self._numbers: dict[GroupId, int] = {}
        # One for all that is written: to make one costs as much as a statement.
        self._cursor: apsw.Cursor | None = None

    @property
    def wal_bytes(self) -> int:
        """How long the write-ahead log was after the last commit."""
        return self._wal_bytes

    def open(self) -> None:
        """Open or make the file, and bring to the disk what is in it, before anything is shown from it.

        Raises SchemaUnknown, StoreBroken, OSError, apsw.Error; it is closed then.
        """
        try:
            self._open()
        except (apsw.FullError, apsw.IOError, apsw.CantOpenError):
            self.close()
            # Even reading needs a little room, for the index of the log; without it none of these says it is full.
            if not self._reserve.release():
                raise
            self._open()
        except BaseException:
            self.close()
            raise
        if self._reserve.spent and not self._reserve.make():
            _log.warning("no room to set aside: only refusals are written until there is")

    def connect_reader(self) -> apsw.Connection:
        """A connection for one reader, on any thread."""
        return connect(self.path, vfs=self._vfs, synchronous=self._synchronous, only_reads=True)

    def commit(self, works: Sequence[Work]) -> list[Result]:
        """Write what can be written of `works`, durably, and say of each what became of it. Raises Fault."""
        if self._has_room():
            if self._lacks_room and not any(works):
                self._lacks_room = not self._reserve.room(ROOM_BYTES)
            if any(works) or not self._lacks_room:
                return self._try(works)
        # What is left is for refusals: ordinary writes would take it from them.
        small = [work for work in works if _may_use_reserve(work)]
        self.full += sum(map(bool, works)) - len(small)
        refusals = iter(self._try(small))
        return [next(refusals) if _may_use_reserve(work) else StoreFull("no room on the disk") for work in works]

    def keep_short(self, *, idle: bool) -> None:
        """Copy the log into the file where it has grown enough. `idle`: nothing waits meanwhile."""
        grown_bytes = self._wal_bytes - self._copied_bytes
        if self._reserve.spent:
            # The log takes its room from the little that is left.
            if self._wal_bytes > self._reserve.size_bytes // 8:
                self._checkpoint("TRUNCATE")
        elif grown_bytes > self._checkpoint_bytes:
            if self._wal_bytes > self._wal_bytes_max and self._clock.monotonic_s() >= self._truncate_again_s:
                self._checkpoint("TRUNCATE")
            elif idle or grown_bytes > 4 * self._checkpoint_bytes:
                # Waits for nobody: a reader of an old moment only keeps the log from beginning anew.
                self._checkpoint("PASSIVE")

    def close(self) -> None:
        """Copy the log into the file if that can be done, and let go."""
        cursor, self._cursor = self._cursor, None
        if cursor is None:
            return
        try:
            cursor.connection.close(True)
        except apsw.Error:
            _log.exception("closing the file failed")

    def _open(self) -> None:
        identify(self.path, vfs=self._vfs)
        wal.force(self.path, vfs=self._vfs)
        database = connect(self.path, vfs=self._vfs, synchronous=self._synchronous)
        self._cursor = database.cursor()
        migrate(database)
        check_last(database)
        (self.epoch,) = database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone() or (0,)
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone() or (0,)
        self._wal_bytes = self._copied_bytes = 0

        def measured(_: apsw.Connection, name: str, pages: int) -> int:
            self._wal_bytes = pages * page_bytes
            self._copied_bytes = min(self._copied_bytes, self._wal_bytes)
            return apsw.SQLITE_OK

        database.set_wal_hook(measured)
        try:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except apsw.FullError:
            # The log is on the disk, and is read from there until there is room.
            self.checkpoint_failures += 1

    def _try(self, works: Sequence[Work], *, careful: bool = False) -> list[Result]:
        if not works:
            return []
        try:
            return self._transaction(works, careful=careful)
        except apsw.FullError:
            self._rollback()
            return self._without_room(works)
        except FAULTS as error:
            raise Fault(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            self._rollback()
            if careful and len(works) == 1:
                _log.exception("a write is not one that the store can take")
                return [error]
        if not careful:
            return self._try(works, careful=True)
        return [result for work in works for result in self._try([work], careful=True)]

    def _transaction(self, works: Sequence[Work], *, careful: bool) -> list[Result]:
        cursor = self._opened()
        results: list[Result] = []
        numbers: list[int] = []
        rows = LogRows()
        begun_s = self._clock.monotonic_s()
        cursor.execute("BEGIN IMMEDIATE")
        for work in works:
            if not isinstance(work, Write):
                if isinstance(work, Change):
                    work.run(cursor.connection)
                else:
                    put_pointers(cursor, work, self.epoch)
                results.append(None)
                continue
            try:
                head, number = put(cursor, work, self.epoch, rows, self._numbers, careful=careful)
            except (Conflict, ValueError) as error:  # Before anything of this write was changed.
                results.append(error)
            else:
                results.append(head)
                numbers.append(number)
        rows.put(cursor)
        unnoted = [*self._unnoted, *numbers][-GROUPS_CHECKED_MAX:]
        noted = bool(numbers) and begun_s >= self._note_again_s
        if noted:
            put_last_groups(cursor, unnoted)
        cursor.execute("COMMIT")
        # Only now: of what was rolled back a start would miss the groups.
        self._unnoted = [] if noted else unnoted
        if noted:
            self._note_again_s = begun_s + NOTE_AGAIN_S
        if any(works):  # A write of nothing, by which health is asked for, is no commit that cost anything.
            self.commits += 1
            if self._lacks_room:
                self._lacks_room = not any(work and not _may_use_reserve(work) for work in works)
            self.commit_writes.observe(len(works))
            self.commit_seconds.observe(self._clock.monotonic_s() - begun_s)
        return results

    def _without_room(self, works: Sequence[Work]) -> list[Result]:
        if len(works) > 1:
            # Each for itself: what needs little may still fit.
            return [result for work in works for result in self._try([work])]
        if self._wal_bytes and self._checkpoint("TRUNCATE"):
            return self._try(works)
        if _may_use_reserve(works[0]) and self._reserve.release():
            _log.warning("the disk is full: the reserve is given to refusals")
            self._checkpoint("TRUNCATE")
            return self._try(works)
        self.full += 1
        self._lacks_room = True
        return [StoreFull("no room on the disk")]

    def _has_room(self) -> bool:
        """Whether ordinary writes may be tried: the reserve is there, or can be made again."""
        if not self._reserve.spent:
            return True
        now_s = self._clock.monotonic_s()
        if now_s < self._reserve_again_s:
            return False
        self._reserve_again_s = now_s + RESERVE_AGAIN_S
        return self._reserve.make()

    def _checkpoint(self, mode: str) -> bool:
        """Copy the log into the file; whether all of it was. That it fails loses nothing: the log is durable."""
        database = self._opened().connection
        self._copied_bytes = self._wal_bytes  # Else one that fails would be tried at each commit.
        try:
            database.set_busy_timeout(TRUNCATE_WAIT_MS)
            busy, pages, copied = database.execute(f"PRAGMA wal_checkpoint({mode})").fetchone() or (1, 0, 0)
        except apsw.Error as error:
            self.checkpoint_failures += 1
            _log.warning("checkpoint failed", extra={"error": type(error).__name__})
            return False
        finally:
            database.set_busy_timeout(BUSY_MS)
        self.checkpoints += not busy
        if mode == "TRUNCATE" and not busy:
            self._wal_bytes = self._copied_bytes = 0
        elif mode == "TRUNCATE":
            self.waits_in_vain += 1
            self._truncate_again_s = self._clock.monotonic_s() + TRUNCATE_AGAIN_S
        return not busy and pages == copied

    def _rollback(self) -> None:
        database = self._opened().connection
        try:
            if not database.get_autocommit():
                database.execute("ROLLBACK")
        except apsw.Error as error:
            raise Fault(f"{type(error).__name__}: {error}") from error

    def _opened(self) -> apsw.Cursor:
        if self._cursor is None:
            raise Fault("the file is not open")
        return self._cursor


def _may_use_reserve(work: Work) -> bool:
    return isinstance(work, Write | Change) and work.reserve
