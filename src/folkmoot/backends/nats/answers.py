"""The requests of one bus that wait: all their answers come to one subscription, told apart by a number."""

import asyncio
import functools
import heapq
import itertools
from collections.abc import Callable
from typing import Final

from folkmoot.backends.nats.link import NOBODY
from folkmoot.ports.bus import BusClosed, NoAnswer

ASK_AGAIN_S: Final = 0.25
"""After the word that nobody listens: an owner may be about to."""


class _Waiting:
    """One request, until its answer, its time, or the end of the bus."""

    __slots__ = ("answer", "message", "retry", "subject")

    def __init__(self, subject: str, message: bytes, answer: asyncio.Future[bytes]) -> None:
        self.subject = subject
        self.message = message
        self.answer = answer
        self.retry: asyncio.TimerHandle | None = None


class Answers:
    """`send` puts subject, message and where to answer into the bus's outbox; `sends` says whether that is of use now.

    The subscription itself is put there by the bus: it has what a subscription of the bus has.
    """

    cancelled: Final = False

    def __init__(self, inbox: str, *, send: Callable[[str, bytes, str], None], sends: Callable[[], bool]) -> None:
        self.subject = f"{inbox}.*"
        self.number: int | None = None
        self._inbox = inbox
        self._send = send
        self._sends = sends
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._timer: asyncio.Handle | None = None
        self._timer_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, subject: str, message: bytes, timeout_s: float) -> asyncio.Future[bytes]:
        """What becomes the first answer, or NoAnswer after `timeout_s` and not before, or BusClosed."""
        number = next(self._numbers)
        waiting = self._waiting[number] = _Waiting(subject, message, self._loop.create_future())
        waiting.answer.add_done_callback(functools.partial(self._forget, number))
        heapq.heappush(self._deadlines, (self._loop.time() + timeout_s, number))
        self._set_timer()
        self._publish(number, waiting)
        return waiting.answer

    def heard(self, subject: bytes, message: bytes, reply: bytes) -> None:
        """An answer has come, or the server's word that there is nobody to give one."""
        last = subject.rpartition(b".")[2]
        number = int(last) if last.isdigit() else 0
        waiting = self._waiting.get(number)
        if waiting is None or waiting.answer.done():
            return
        if reply != NOBODY:
            waiting.answer.set_result(message)
        elif waiting.retry is None:
            waiting.retry = self._loop.call_later(ASK_AGAIN_S, self._ask_again, number)

    def again(self) -> None:
        """There is a new connection: what was asked on the old one, or on none, may never have been heard."""
        for number, waiting in self._waiting.items():
            self._publish(number, waiting)

    def end(self) -> None:
        """The bus is closed."""
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(BusClosed())
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _forget(self, number: int, _: asyncio.Future[bytes]) -> None:
        waiting = self._waiting.pop(number)
        if waiting.retry is not None:
            waiting.retry.cancel()

    def _publish(self, number: int, waiting: _Waiting) -> None:
        if self._sends() and not waiting.answer.done():
            self._send(waiting.subject, waiting.message, f"{self._inbox}.{number}")

    def _ask_again(self, number: int) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.retry = None
            self._publish(number, waiting)

    def _set_timer(self) -> None:
        """One timer for all: setting one for each and taking it back costs more than the rest of a request."""
        while self._deadlines and self._deadlines[0][1] not in self._waiting:
            heapq.heappop(self._deadlines)
        if not self._deadlines:
            return
        first_s = self._deadlines[0][0]
        # Its time is kept here: what uvloop gives for one that is due already does not know it.
        if self._timer is None or self._timer_s > first_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_s = self._loop.call_at(first_s, self._expire), first_s

    def _expire(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        while self._deadlines and self._deadlines[0][0] <= now_s:
            waiting = self._waiting.get(heapq.heappop(self._deadlines)[1])
            if waiting is not None and not waiting.answer.done():
                waiting.answer.set_exception(NoAnswer(waiting.subject))
        self._set_timer()
