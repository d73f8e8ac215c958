"""A few threads that read, each over a connection of its own, so that no read waits for a commit."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias, TypeVar

import apsw
import msgspec

from folkmoot.backends.sqlite.file import FAULTS
from folkmoot.ports.store import StoreAway

_log = logging.getLogger(__name__)

T = TypeVar("T")

READS_WAITING_MAX: Final = 20_000
"""One more is turned away: StoreAway, and nothing was read."""

ROWS_TOGETHER_MAX: Final = 256
"""Of short reads in one transaction on one thread: as much as a thread does in a millisecond or so."""

Read: TypeAlias = Callable[[apsw.Connection], Any]


class Readers:
    """Runs functions of a connection, each in one read transaction: of one moment, and of what is committed."""

    def __init__(
        self, open_database: Callable[[], apsw.Connection], generation: Callable[[], int], *, threads: int
    ) -> None:
        self._open_database = open_database
        self._generation = generation
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="folkmoot-reader")
        self._local = threading.local()
        self._opened: list[apsw.Connection] = []
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._together: list[tuple[Read, asyncio.Future[Any]]] = []
        self._rows = 0
        self._reading = 0
        self._closed = False

    async def run(self, read: Callable[[apsw.Connection], T]) -> T:
        """What `read` returns. Raises StoreAway, and whatever is wrong with `read` itself."""
        self._check()
        self._reading += 1
        try:
            return await self._loop.run_in_executor(self._pool, self._read, read)
        finally:
            self._reading -= 1

    async def run_short(self, read: Callable[[apsw.Connection], T], *, rows: int = 2) -> T:
        """The same, for a read of a few `rows`: those asked for in one turn of the loop go to a thread together.

        To a thread and back costs several times as much as such a read itself.
        """
        self._check()
        self._reading += 1
        try:
            answer: asyncio.Future[T] = self._loop.create_future()
            if self._rows + rows > ROWS_TOGETHER_MAX:
                self._start_together()
            if not self._together:
                self._loop.call_soon(self._start_together)
            self._together.append((read, answer))
            self._rows += rows
            return await answer
        finally:
            self._reading -= 1

    async def close(self) -> None:
        """Answer what was asked, then close the connections."""
        self._closed = True
        self._start_together()
        await asyncio.to_thread(self._pool.shutdown)
        for database in self._opened:
            database.close(True)
        self._opened.clear()

    def _check(self) -> None:
        if self._closed:
            raise StoreAway("the store is closed")
        if self._reading >= READS_WAITING_MAX:
            raise StoreAway(f"{READS_WAITING_MAX} reads are waiting")

    def _start_together(self) -> None:
        waiting, self._together, self._rows = self._together, [], 0
        if waiting:
            self._pool.submit(self._read_together, waiting)

    def _read_together(self, asked: Sequence[tuple[Read, "asyncio.Future[Any]"]]) -> None:
        results: list[Any] = []

        def read_each(database: apsw.Connection) -> None:
            for read, _ in asked:
                try:
                    results.append(read(database))
                except (apsw.FullError, *FAULTS):
                    raise
                except Exception as error:
                    results.append(_Failed(error))

        try:
            self._read(read_each)
        except Exception as error:
            results = [_Failed(error)] * len(asked)
        # A loop that has ended has nobody waiting in it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_settle, asked, results)

    def _read(self, read: Callable[[apsw.Connection], T]) -> T:
        try:
            database = self._connection()
            database.execute("BEGIN")
            try:
                return read(database)
            finally:
                if not database.get_autocommit():
                    database.execute("ROLLBACK")
        except (apsw.FullError, *FAULTS) as error:
            _log.error("a read failed", extra={"error": type(error).__name__, "detail": str(error)})
            self._let_go()
            raise StoreAway(f"{type(error).__name__}: {error}") from error

    def _connection(self) -> apsw.Connection:
        held: tuple[int, apsw.Connection] | None = getattr(self._local, "held", None)
        generation = self._generation()
        if held is not None and held[0] == generation:
            return held[1]
        self._let_go()
        database = self._open_database()
        with self._lock:
            self._opened.append(database)
        self._local.held = (generation, database)
        return database

    def _let_go(self) -> None:
        """Close this thread's connection, so that the next read opens another."""
        held: tuple[int, apsw.Connection] | None = getattr(self._local, "held", None)
        if held is None:
            return
        self._local.held = None
        with self._lock:
            self._opened.remove(held[1])
        held[1].close(True)


class _Failed(msgspec.Struct, frozen=True):
    """What stands where a read has no result."""

    error: Exception


def _settle(asked: "Sequence[tuple[Read, asyncio.Future[Any]]]", results: Sequence[Any]) -> None:
    for (_, answer), result in zip(asked, results, strict=True):
        if answer.done():
            continue
        if isinstance(result, _Failed):
            answer.set_exception(result.error)
        else:
            answer.set_result(result)
