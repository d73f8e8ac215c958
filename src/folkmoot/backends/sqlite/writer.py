"""The one thread that writes: whatever waits goes into one transaction, synced once, and is answered together."""

import asyncio
import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from folkmoot.backends.sqlite.file import Change, Fault, Result, StoreFile, Work
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import SchemaUnknown, StoreAway, StoreBroken, StoreUnknown, Write

_log = logging.getLogger(__name__)

JOBS_WAITING_MAX: Final = 20_000
"""One more is turned away: StoreAway, and nothing was written."""

JOBS_PER_TRANSACTION_MAX: Final = 512
ENTRIES_PER_TRANSACTION_MAX: Final = 4_096
"""The first of either ends a transaction, so that none grows past what the log is bound to; the rest are the next."""

COMPANY_WRITES: Final = 3
"""Writes of one transaction from which on those that come next are made to wait for others: two may meet by chance."""

COMPANY_TIMES: Final = 4.0
"""Once such a transaction is so many times the time to gather away, a write is not made to wait."""

REOPEN_S: Final = 0.05
REOPEN_S_MAX: Final = 2.0


class Job(msgspec.Struct):
    """Something to write, and the future that its answer goes to."""

    work: Work
    answer: "asyncio.Future[Any]"


class Writer:
    """A queue, a thread and an open file. `away` while the file is opened anew, and once the thread has ended.

    `gather_s`: how long a write waits for others to share its transaction, where those before it did; 0: not at all.
    """

    def __init__(self, file: StoreFile, clock: Clock, *, gather_s: float = 0.0) -> None:
        self.away = False
        self.generation = 0
        self.unknown = 0
        self._file = file
        self._clock = clock
        self._gather_s = gather_s
        # When the last transaction was taken, where several shared it.
        self._shared_s = -math.inf
        # No wait that a closing could end, which costs several times as much: it is for a few milliseconds.
        self._nap = time.sleep
        self._jobs: deque[Job] = deque()
        self._lock = threading.Lock()
        # Rung once for whatever waits. A Condition does the same, at several times the cost, for each commit.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_rung = False
        # Also kept as what it is: to ask an Event is a call in Python, several for each transaction.
        self._closing = threading.Event()
        self._is_closing = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="folkmoot-writer", daemon=True)

    @property
    def waiting(self) -> int:
        """Writes that are not yet part of a transaction."""
        return len(self._jobs)

    def start(self) -> None:
        """Begin to write: the file is this thread's from now on."""
        self._thread.start()

    def write(self, work: Work) -> asyncio.Future[Any]:
        """What becomes the head after a Write, None after anything else. Raises as the port says.

        A future and no coroutine: an append needs no task, and no turn of the loop to begin.
        """
        job = Job(work, self._loop.create_future())
        with self._lock:
            turned_away = self._why_away()
            if turned_away is not None:
                job.answer.set_exception(StoreAway(turned_away))
                return job.answer
            self._jobs.append(job)
            ring, self._is_rung = not self._is_rung, True
        if ring:
            self._bell.put(None)
        return job.answer

    async def close(self) -> None:
        """Write what waits, and close the file."""
        self._is_closing = True
        self._closing.set()
        self._bell.put(None)
        await asyncio.to_thread(self._thread.join)

    def _why_away(self) -> str | None:
        if self._is_closing:
            return "the store is closed"
        if self.away:
            return "the store is being opened"
        return f"{JOBS_WAITING_MAX} writes are waiting" if len(self._jobs) >= JOBS_WAITING_MAX else None

    def _run(self) -> None:
        try:
            while jobs := self._take():
                self._serve(jobs)
        except BaseException:
            _log.exception("the writer has failed: nothing is written until the process is started again")
        finally:
            self._turn_away("the store is closed")
            self._file.close()

    def _take(self) -> list[Job]:
        """Jobs for one transaction, once there are any; none once the writer is closing and all is written."""
        while True:
            # Seen before the jobs are looked at: what came in before the closing is among them.
            closing = self._is_closing
            if self._jobs:
                self._gather()
            with self._lock:
                if self._jobs:
                    return self._next()
                self._is_rung = False
            if closing:
                return []
            self._bell.get()

    def _gather(self) -> None:
        """Let others come where it pays: several writes shared the transaction before this one, a moment ago.

        A transaction and its sync cost about the same for one write and for a few.
        """
        since_s = self._clock.monotonic_s() - self._shared_s
        if since_s < COMPANY_TIMES * self._gather_s and len(self._jobs) < JOBS_PER_TRANSACTION_MAX:
            self._nap(self._gather_s)

    def _next(self) -> list[Job]:
        taken: list[Job] = []
        entries = 0
        while self._jobs and len(taken) < JOBS_PER_TRANSACTION_MAX and entries < ENTRIES_PER_TRANSACTION_MAX:
            job = self._jobs.popleft()
            entries += _rows_of(job.work)
            taken.append(job)
        self._shared_s = self._clock.monotonic_s() if len(taken) >= COMPANY_WRITES else -math.inf
        return taken

    def _serve(self, jobs: list[Job]) -> None:
        try:
            results = self._file.commit([job.work for job in jobs])
        except Fault as fault:
            self._lose(jobs, fault)
            return
        except BaseException:
            self._answer(jobs, [StoreUnknown("the writer has failed")] * len(jobs))
            raise
        self._answer(jobs, results)
        self._file.keep_short(idle=not self._jobs)

    def _answer(self, jobs: list[Job], results: Sequence[Result]) -> None:
        # One wake-up of the loop for the whole transaction. A loop that has ended has nobody waiting in it.
        try:
            self._loop.call_soon_threadsafe(_settle, jobs, results)
        except RuntimeError:
            return

    def _lose(self, jobs: list[Job], fault: Fault) -> None:
        """What a fault leaves behind nobody knows: open the file again, and let what is there then count."""
        _log.error("a write failed, opening the store again", extra={"detail": str(fault)})
        self.unknown += len(jobs)
        self._turn_away("the store is being opened")
        self._answer(jobs, [StoreUnknown(str(fault))] * len(jobs))
        wait_s = REOPEN_S
        while not self._reopened():
            if self._closing.wait(wait_s):
                return
            wait_s = min(REOPEN_S_MAX, wait_s * 2)

    def _reopened(self) -> bool:
        self._file.close()
        try:
            self._file.open()
        except (apsw.Error, OSError, SchemaUnknown, StoreBroken) as error:
            _log.error("opening again failed", extra={"error": type(error).__name__, "detail": str(error)})
            return False
        # Readers open theirs anew too, before they answer again.
        self.generation += 1
        self.away = False
        return True

    def _turn_away(self, why: str) -> None:
        with self._lock:
            self.away = True
            waiting = list(self._jobs)
            self._jobs.clear()
        self._answer(waiting, [StoreAway(why)] * len(waiting))


def _rows_of(work: Work) -> int:
    match work:
        case Write():
            return len(work.entries)
        case Change():
            return 1
        case _:
            return len(work)


def _settle(jobs: list[Job], results: Sequence[Result]) -> None:
    for job, result in zip(jobs, results, strict=True):
        if job.answer.done():
            continue
        if isinstance(result, BaseException):
            job.answer.set_exception(result)
        else:
            job.answer.set_result(result)
