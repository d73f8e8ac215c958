"""A few threads that read, each over a connection of its own, so that no read waits for a commit."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apsw

from folkmoot.ports.store import StoreAway

T = TypeVar("T")


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

    async def run(self, read: Callable[[apsw.Connection], T]) -> T:
        """What `read` returns. Raises StoreAway."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, read)
        except apsw.Error as error:
            raise StoreAway(f"{type(error).__name__}: {error}") from error
        except RuntimeError as error:  # The pool has been shut down.
            raise StoreAway("the store is closed") from error

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        for database in self._opened:
            database.close(True)

    def _read(self, read: Callable[[apsw.Connection], T]) -> T:
        database = self._connection()
        database.execute("BEGIN")
        try:
            return read(database)
        finally:
            if not database.get_autocommit():
                database.execute("ROLLBACK")

    def _connection(self) -> apsw.Connection:
        held: tuple[int, apsw.Connection] | None = getattr(self._local, "held", None)
        generation = self._generation()
        if held is not None and held[0] == generation:
            return held[1]
        if held is not None:
            with self._lock:
                self._opened.remove(held[1])
            held[1].close(True)
        database = self._open_database()
        with self._lock:
            self._opened.append(database)
        self._local.held = (generation, database)
        return database
