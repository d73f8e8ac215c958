"""The bus of one process: the embedded server's, and the one that others are compared with."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from folkmoot.backends.deadlines import Deadlines
from folkmoot.ports.bus import BusClosed, Handler, Reply

_log = logging.getLogger(__name__)

PENDING_MESSAGES_MAX = 65_536
"""Of one subscription. One more is lost, and the subscriber is told of a gap once it has caught up."""

SUBJECTS_KNOWN_MAX = 16_384
"""Subjects of which it is known who hears them. With one more, all are looked up anew."""

TURN_MESSAGES_MIN = 64
"""Handled in one turn of the loop, if so many come up: what waited at its beginning, or this where that is more."""


class MemorySubscription:
    """One handler's place in the bus's queue."""

    def __init__(self, bus: "MemoryBus", subject: str, handler: Handler, on_gap: Callable[[], None] | None) -> None:
        self.subject = subject
        self._bus = bus
        self._handler = handler
        self._on_gap = on_gap
        self._gap = False
        self._cancelled = False
        self.waiting = 0

    def cancel(self) -> None:
        self._cancelled = True
        self._bus._forget(self)

    def lose(self) -> None:
        """A message is lost, since too many wait."""
        self._gap = True
        self._bus.lost += 1

    def gap(self) -> None:
        """Tell the subscriber that messages may have been lost."""
        if self._on_gap is not None and not self._cancelled:
            self._on_gap()

    def handle(self, message: bytes, reply: Reply | None) -> None:
        self.waiting -= 1
        if self._cancelled:
            return
        try:
            self._handler(message, reply)
        except Exception:
            _log.exception("bus handler failed", extra={"subject": self.subject})
        if self._gap and not self.waiting:
            self._gap = False
            try:
                self.gap()
            except Exception:
                _log.exception("bus handler failed at a gap", extra={"subject": self.subject})


class MemoryBus:
    """Subjects to subscriptions, in two tables: whole subjects, and those whose last word is `*`.

    One queue for all, which the event loop empties, so that `publish` never runs a handler.
    """

    def __init__(self, *, pending_messages_max: int = PENDING_MESSAGES_MAX) -> None:
        self.pending_messages_max = pending_messages_max
        self.lost = 0
        self._exact: dict[str, list[MemorySubscription]] = {}
        self._wild: dict[str, list[MemorySubscription]] = {}
        self._heard_by: dict[str, list[MemorySubscription]] = {}
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inbox: deque[tuple[MemorySubscription, bytes, Reply | None]] = deque()
        self._draining = False
        self._deadlines = Deadlines()

    def publish(self, subject: str, message: bytes) -> None:
        self._offer(subject, message, None)

    def subscribe(
        self, subject: str, handler: Handler, *, on_gap: Callable[[], None] | None = None
    ) -> MemorySubscription:
        subscription = MemorySubscription(self, subject, handler, on_gap)
        table, key = self._place(subject)
        table.setdefault(key, []).append(subscription)
        self._heard_by.clear()
        return subscription

    def request(self, subject: str, message: bytes, *, timeout_s: float) -> asyncio.Future[bytes]:
        loop = self._loop or self._running()
        answer: asyncio.Future[bytes] = loop.create_future()
        if self._closed:
            answer.set_exception(BusClosed())
            return answer

        def reply(content: bytes) -> None:
            if not answer.done():
                answer.set_result(content)

        self._deadlines.add(loop, subject, answer, timeout_s)
        self._offer(subject, message, reply)
        return answer

    async def close(self) -> None:
        self._closed = True
        self._exact.clear()
        self._wild.clear()
        self._heard_by.clear()
        self._deadlines.close()

    def away_s(self) -> float:
        """For how many seconds nothing has gone out: never, within a process."""
        return 0.0

    def statistics(self) -> dict[str, int]:
        subscriptions = (one for table in (self._exact, self._wild) for all_of in table.values() for one in all_of)
        return {
            "waiting_largest": max((one.waiting for one in subscriptions), default=0),
            "waiting_max": self.pending_messages_max,
            "lost": self.lost,
        }

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            # Kept: to ask for the running one is a system call in Python 3.11, for each message.
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _drain(self) -> None:
        inbox = self._inbox
        # What handlers publish is handled in the same turn, so that a message crosses all roles in one. The rest waits
        # for the next turn: nobody starves the sockets.
        for _ in range(max(len(inbox), TURN_MESSAGES_MIN)):
            if not inbox:
                break
            subscription, message, reply = inbox.popleft()
            subscription.handle(message, reply)
        if inbox:
            self._running().call_soon(self._drain)
        else:
            self._draining = False

    def _offer(self, subject: str, message: bytes, reply: Reply | None) -> None:
        heard_by = self._heard_by.get(subject)
        if heard_by is None:
            heard_by = self._look_up(subject)
        for subscription in heard_by:
            if subscription.waiting >= self.pending_messages_max:
                subscription.lose()
                continue
            subscription.waiting += 1
            self._inbox.append((subscription, message, reply))
        if heard_by and not self._draining:
            self._draining = True
            (self._loop or self._running()).call_soon(self._drain)

    def _look_up(self, subject: str) -> list[MemorySubscription]:
        if len(self._heard_by) >= SUBJECTS_KNOWN_MAX:
            self._heard_by.clear()
        found = [*self._exact.get(subject, ()), *self._wild.get(subject.rpartition(".")[0], ())]
        self._heard_by[subject] = found
        return found

    def _place(self, subject: str) -> tuple[dict[str, list[MemorySubscription]], str]:
        head, _, last = subject.rpartition(".")
        return (self._wild, head) if last == "*" else (self._exact, subject)

    def _forget(self, subscription: MemorySubscription) -> None:
        self._heard_by.clear()
        table, key = self._place(subscription.subject)
        left = [other for other in table.get(key, ()) if other is not subscription]
        if left:
            table[key] = left
        else:
            table.pop(key, None)
