"""The one thread that writes: whatever waits goes into one transaction, synced once, and is answered together."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import apsw
import msgspec

from folkmoot.backends.sqlite.reserve import Reserve
from folkmoot.backends.sqlite.rows import put, put_pointer
from folkmoot.model.group import Head
from folkmoot.ports.store import Conflict, MovedPointer, StoreAway, StoreFull, StoreUnknown, Write

_log = logging.getLogger(__name__)

JOBS_WAITING_MAX = 20_000
"""One more is turned away: StoreAway, and nothing was written."""

JOBS_PER_TRANSACTION_MAX = 512
REOPEN_S = 0.05
REOPEN_S_MAX = 2.0
CHECKPOINT_BYTES = 4 * 1_048_576
"""The log is copied into the file once it is this long, when nothing waits; at `wal_bytes_max` all the same."""

Work: TypeAlias = Write | Sequence[MovedPointer]
Result: TypeAlias = Head | BaseException | None


class Job(msgspec.Struct):
    """Something to write, and the future that its answer goes to."""

    work: Work
    answer: "asyncio.Future[Any]"


class Writer:
    """A queue, a thread and a connection. `away` while the file has to be opened anew after an I/O error."""

    def __init__(
        self, open_database: Callable[[], apsw.Connection], reserve: Reserve, *, epoch: int, wal_bytes_max: int
    ) -> None:
        self.away = False
        self.generation = 0
        self.commits = 0
        self.unknown = 0
        self.checkpoint_failures = 0
        self._open_database = open_database
        self._wal_bytes = 0
        self._wal_bytes_max = wal_bytes_max
        self._reserve = reserve
        self._epoch = epoch
        self._database: apsw.Connection | None = None
        self._jobs: deque[Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="folkmoot-writer", daemon=True)

    def start(self, database: apsw.Connection) -> None:
        self._use(database)
        self._thread.start()

    async def write(self, work: Work) -> Any:
        """The head after a Write, None after pointers. Raises as the port says."""
        if self._closing or self.away:
            raise StoreAway("the store is being opened")
        if len(self._jobs) >= JOBS_WAITING_MAX:
            raise StoreAway(f"{JOBS_WAITING_MAX} writes are waiting")
        job = Job(work, self._loop.create_future())
        with self._wake:
            self._jobs.append(job)
            self._wake.notify()
        return await job.answer

    async def close(self) -> None:
        """Write what waits, copy the log into the file, and close it."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while jobs := self._take():
                if self._database is None and not self._reopen():
                    self._answer(jobs, [StoreAway("the store is closed")] * len(jobs))
                    continue
                self._answer(jobs, self._carry_out(jobs))
                if self._database is None:
                    self._reopen()
                self._keep_log_short()
        finally:
            self.away = True
            if self._database is not None:
                self._checkpoint("TRUNCATE")
                self._database.close()

    def _take(self) -> list[Job]:
        with self._wake:
            while not self._jobs and not self._closing:
                self._wake.wait()
            return [self._jobs.popleft() for _ in range(min(len(self._jobs), JOBS_PER_TRANSACTION_MAX))]

    def _answer(self, jobs: list[Job], results: Sequence[Result]) -> None:
        # One wake-up of the loop for the whole transaction.
        self._loop.call_soon_threadsafe(_settle, jobs, results)

    def _carry_out(self, jobs: list[Job]) -> Sequence[Result]:
        try:
            return self._transaction(jobs)
        except apsw.FullError:
            self._rollback()
        except apsw.Error as error:
            return self._broken(error, len(jobs))
        except Exception as error:
            _log.exception("a write is not one that the store can take")
            self._rollback()
            if len(jobs) == 1:
                return [error]
        if len(jobs) > 1:
            # Each for itself: what needs no new page still fits, and one bad write fails alone.
            return [result for job in jobs for result in self._carry_out([job])]
        work = jobs[0].work
        if isinstance(work, Write) and work.reserve and self._reserve.release():
            return self._carry_out(jobs)
        return [StoreFull("no room on the disk")]

    def _transaction(self, jobs: list[Job]) -> list[Result]:
        database = self._database
        if database is None:
            return [StoreAway("the store is being opened")] * len(jobs)
        results: list[Result] = []
        last_group = 0
        database.execute("BEGIN IMMEDIATE")
        for job in jobs:
            try:
                if isinstance(job.work, Write):
                    head, last_group = put(database, job.work, self._epoch)
                    results.append(head)
                else:
                    for pointer in job.work:
                        put_pointer(database, pointer)
                    results.append(None)
            except (Conflict, ValueError) as error:  # Before anything of this write was changed.
                results.append(error)
        if last_group:
            database.execute("UPDATE meta SET value = ? WHERE name = 'last_group'", (last_group,))
        database.execute("COMMIT")
        self.commits += 1
        return results

    def _rollback(self) -> None:
        database = self._database
        if database is not None and not database.get_autocommit():
            database.execute("ROLLBACK")

    def _broken(self, error: apsw.Error, count: int) -> Sequence[Result]:
        """What an I/O error leaves behind nobody knows: close, and read what is there once it is open again."""
        _log.error("write failed, opening the store again", extra={"error": type(error).__name__, "detail": str(error)})
        self.unknown += count
        self.away = True
        self._close_database()
        return [StoreUnknown(type(error).__name__)] * count

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close(True)
            except apsw.Error:
                _log.exception("closing failed")

    def _use(self, database: apsw.Connection) -> None:
        self._database = database
        self._wal_bytes = 0
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone() or (4_096,)

        def measured(_: apsw.Connection, name: str, pages: int) -> int:
            self._wal_bytes = pages * page_bytes
            return apsw.SQLITE_OK

        database.set_wal_hook(measured)

    def _reopen(self) -> bool:
        """Open anew and force what is there to the disk again; False if closed meanwhile."""
        wait_s = REOPEN_S
        while not self._closing:
            # Readers let go of theirs, so that the log is recovered from the file and not from shared memory.
            self.generation += 1
            try:
                self._use(self._open_database())
                assert self._database is not None
                # After a failed sync the system may call pages clean that never reached the disk. Copying the whole
                # log into the file writes and syncs them again, before anything is answered from them.
                busy, _, _ = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() or (1, 0, 0)
                if not busy:
                    self.away = False
                    return True
            except apsw.Error as error:
                _log.error("opening again failed", extra={"error": type(error).__name__, "detail": str(error)})
            self._close_database()
            time.sleep(wait_s)
            wait_s = min(REOPEN_S_MAX, wait_s * 2)
        return False

    def _keep_log_short(self) -> None:
        if self._wal_bytes > self._wal_bytes_max:
            self._checkpoint("TRUNCATE")
        elif self._wal_bytes > CHECKPOINT_BYTES and not self._jobs:
            self._checkpoint("RESTART")
        if not self._reserve.held:
            self._reserve.make()

    def _checkpoint(self, mode: str) -> None:
        """Copy the log into the file. That it fails loses nothing: the log is durable, and is copied the next time."""
        if self._database is None:
            return
        try:
            self._database.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        except apsw.Error as error:
            self.checkpoint_failures += 1
            _log.warning("checkpoint failed", extra={"error": type(error).__name__})


def _settle(jobs: list[Job], results: Sequence[Result]) -> None:
    for job, result in zip(jobs, results, strict=True):
        if job.answer.done():
            continue
        if isinstance(result, BaseException):
            job.answer.set_exception(result)
        else:
            job.answer.set_result(result)
