"""The bus of one process: the embedded server's, and the one that others are compared with."""

import asyncio
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
        self._waiting: set[asyncio.Future[bytes]] = set()

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
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def reply(content: bytes) -> None:
            if not answer.done():
                answer.set_result(content)

        self._waiting.add(answer)
        try:
            self._offer(subject, message, reply)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise NoAnswer(subject) from None
        finally:
            self._waiting.discard(answer)

    async def close(self) -> None:
        self._closed = True
        self._exact.clear()
        self._wild.clear()
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(BusClosed())

    def statistics(self) -> dict[str, int]:
        subscriptions = (one for table in (self._exact, self._wild) for all_of in table.values() for one in all_of)
        return {
            "waiting_largest": max((one.waiting for one in subscriptions), default=0),
            "waiting_max": self.pending_messages_max,
            "lost": self.lost,
        }

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
