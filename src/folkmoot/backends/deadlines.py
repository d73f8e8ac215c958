"""When requests on a bus are given up: one timer for all that wait."""

import asyncio
import heapq
import itertools

from folkmoot.ports.bus import BusClosed, NoAnswer


class Deadlines:
    """Answers that become NoAnswer at their time, unless they came before it.

    Setting a timer for each request and taking it back costs more than the rest of a request.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, str, asyncio.Future[bytes]]] = []
        self._order = itertools.count()
        self._timer: asyncio.Handle | None = None
        self._timer_s = 0.0

    def add(
        self, loop: asyncio.AbstractEventLoop, subject: str, answer: asyncio.Future[bytes], timeout_s: float
    ) -> None:
        """Have `answer` become NoAnswer after `timeout_s`, and not before."""
        heapq.heappush(self._due, (loop.time() + timeout_s, next(self._order), subject, answer))
        self._set_timer(loop)

    def close(self) -> None:
        """All that still wait become BusClosed."""
        for *_, answer in self._due:
            if not answer.done():
                answer.set_exception(BusClosed())
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._due and self._due[0][-1].done():
            heapq.heappop(self._due)
        if not self._due:
            return
        first_s = self._due[0][0]
        # Its time is kept here: what uvloop gives for one that is due already does not know it.
        if self._timer is None or self._timer_s > first_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_s = loop.call_at(first_s, self._expire, loop), first_s

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now_s = loop.time()
        while self._due and self._due[0][0] <= now_s:
            _, _, subject, answer = heapq.heappop(self._due)
            if not answer.done():
                answer.set_exception(NoAnswer(subject))
        self._set_timer(loop)
