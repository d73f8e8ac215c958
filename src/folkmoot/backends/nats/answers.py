"""The requests of one bus that wait: all their answers come to one subscription, told apart by a number."""

import asyncio
import functools
import itertools
from collections.abc import Callable
from typing import Final

from folkmoot.backends.deadlines import Deadlines
from folkmoot.backends.nats.link import NOBODY

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
        self._deadlines = Deadlines()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, subject: str, message: bytes, timeout_s: float) -> asyncio.Future[bytes]:
        """What becomes the first answer, or NoAnswer after `timeout_s` and not before, or BusClosed."""
        number = next(self._numbers)
        waiting = self._waiting[number] = _Waiting(subject, message, self._loop.create_future())
        waiting.answer.add_done_callback(functools.partial(self._forget, number))
        self._deadlines.add(self._loop, subject, waiting.answer, timeout_s)
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
        self._deadlines.close()

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
