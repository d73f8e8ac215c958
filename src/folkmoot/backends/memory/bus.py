"""The bus of one process: the embedded server's, and the one that others are compared with."""

import asyncio
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable

from folkmoot.ports.bus import BusClosed, Handler, NoAnswer, Reply

_log = logging.getLogger(__name__)

PENDING_MESSAGES_MAX = 65_536
"""Of one subscription. One more is lost, and the subscriber is told of a gap once it has caught up."""


class MemorySubscription:
    """One handler's queue, emptied by the event loop so that `publish` never runs a handler."""

    def __init__(self, bus: "MemoryBus", subject: str, handler: Handler, on_gap: Callable[[], None] | None) -> None:
        self.subject = subject
        self._bus = bus
        self._handler = handler
        self._on_gap = on_gap
        self._pending: deque[tuple[bytes, Reply | None]] = deque()
        self._scheduled = False
        self._gap = False
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        self._pending.clear()
        self._bus._forget(self)

    def offer(self, message: bytes, reply: Reply | None) -> None:
        if len(self._pending) >= self._bus.pending_messages_max:
            self._gap = True
            self._bus.lost += 1
            return
        self._pending.append((message, reply))
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._drain)

    @property
    def waiting(self) -> int:
        """Messages in the queue."""
        return len(self._pending)

    def gap(self) -> None:
        """Tell the subscriber that messages may have been lost."""
        if self._on_gap is not None and not self._cancelled:
            self._on_gap()

    def _drain(self) -> None:
        self._scheduled = False
        # What is published while handlers run waits for the next turn of the loop: nobody starves the sockets.
        for _ in range(len(self._pending)):
            if self._cancelled or not self._pending:
                return
            message, reply = self._pending.popleft()
            try:
                self._handler(message, reply)
            except Exception:
                _log.exception("bus handler failed", extra={"subject": self.subject})
        if self._pending and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._drain)
        if self._gap and not self._pending:
            self._gap = False
            self.gap()


class MemoryBus:
    """Subjects to subscriptions, in two tables: whole subjects, and those whose last word is `*`."""

    def __init__(self, *, pending_messages_max: int = PENDING_MESSAGES_MAX) -> None:
        self.pending_messages_max = pending_messages_max
        self.lost = 0
        self._exact: dict[str, list[MemorySubscription]] = {}
        self._wild: dict[str, list[MemorySubscription]] = {}
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Future[bytes]] = set()
        self._deadlines: list[tuple[float, int, str, asyncio.Future[bytes]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def publish(self, subject: str, message: bytes) -> None:
        self._offer(subject, message, None)

    def subscribe(
        self, subject: str, handler: Handler, *, on_gap: Callable[[], None] | None = None
    ) -> MemorySubscription:
        subscription = MemorySubscription(self, subject, handler, on_gap)
        table, key = self._place(subject)
        table.setdefault(key, []).append(subscription)
        return subscription

    async def request(self, subject: str, message: bytes, *, timeout_s: float) -> bytes:
        if self._closed:
            raise BusClosed
        if self._loop is None:
            # Kept: to ask for the running one is a system call in Python 3.11, for each request.
            self._loop = asyncio.get_running_loop()
        loop = self._loop
        answer: asyncio.Future[bytes] = loop.create_future()

        def reply(content: bytes) -> None:
            if not answer.done():
                answer.set_result(content)

        self._waiting.add(answer)
        heapq.heappush(self._deadlines, (loop.time() + timeout_s, next(self._order), subject, answer))
        self._wait(loop)
        try:
            self._offer(subject, message, reply)
            return await answer
        finally:
            self._waiting.discard(answer)

    async def close(self) -> None:
        self._closed = True
        self._exact.clear()
        self._wild.clear()
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(BusClosed())
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()

    def statistics(self) -> dict[str, int]:
        subscriptions = (one for table in (self._exact, self._wild) for all_of in table.values() for one in all_of)
        return {
            "waiting_largest": max((one.waiting for one in subscriptions), default=0),
            "waiting_max": self.pending_messages_max,
            "lost": self.lost,
        }

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all requests: setting one for each and taking it back costs more than the rest of a request."""
        while self._deadlines and self._deadlines[0][-1].done():
            heapq.heappop(self._deadlines)
        if not self._deadlines:
            return
        first_s = self._deadlines[0][0]
        if self._timer is None or self._timer.when() > first_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(first_s, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now_s = loop.time()
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, _, subject, answer = heapq.heappop(self._deadlines)
            if not answer.done():
                answer.set_exception(NoAnswer(subject))
        self._wait(loop)

    def _offer(self, subject: str, message: bytes, reply: Reply | None) -> None:
        for subscription in self._exact.get(subject, ()):
            subscription.offer(message, reply)
        if self._wild:
            for subscription in self._wild.get(subject.rpartition(".")[0], ()):
                subscription.offer(message, reply)

    def _place(self, subject: str) -> tuple[dict[str, list[MemorySubscription]], str]:
        head, _, last = subject.rpartition(".")
        return (self._wild, head) if last == "*" else (self._exact, subject)

    def _forget(self, subscription: MemorySubscription) -> None:
        table, key = self._place(subscription.subject)
        left = [other for other in table.get(key, ()) if other is not subscription]
        if left:
            table[key] = left
        else:
            table.pop(key, None)
