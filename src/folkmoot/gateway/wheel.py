"""One task for the times of all connections: the hello's deadline, pings, silence, and tokens that expire."""

import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from folkmoot.ports.clock import Clock

TICK_S: Final = 1.0
PINGS_AT_ONCE: Final = 32
"""With 13,000 connections 520 are due each second, which with their answers would keep everyone waiting for 10 ms."""

BUSY_INTERVALS: Final = 4
"""One that is written to all the while is asked for a sign of life this rarely: what it takes is nearly one."""

STALE_EXPIRIES_MAX: Final = 1_000
"""Expiries of connections renewed or closed since, beside twice as many as are live: past this they are swept."""

_log = logging.getLogger(__name__)


class Timed(Protocol):
    """A connection, as the wheel sees it.

    `heard` is the tick at which anything last came from the client, `asked` that of the first ping since, or before it.
    """

    heard: int
    asked: int

    def is_busy(self) -> bool:
        """Whether entries were written to it just now, all of which it took."""

    def ping(self) -> None: ...

    def expire(self, code: str) -> None: ...


class Wheel:
    """Connections in slots by when they are pinged; no task, timer or closure for any of them."""

    def __init__(self, clock: Clock, *, ping_interval_s: float = 25.0, hello_seconds: float = 5.0) -> None:
        self.now = 0
        self._clock = clock
        self._interval = max(1, round(ping_interval_s / TICK_S))
        # One more than the time has: a connection may open just before a tick, and is owed all of it.
        self._hello_ticks = 1 + max(1, round(hello_seconds / TICK_S))
        self._slots: list[dict[Timed, None]] = [{} for _ in range(self._interval)]
        self._slot_of: dict[Timed, int] = {}
        self._next_slot = 0
        # All deadlines are the same time away, so the first in is the first due.
        self._hellos: deque[tuple[int, Timed]] = deque()
        self._waiting: set[Timed] = set()
        self._expiries: list[tuple[int, int, Timed]] = []
        self._expires: dict[Timed, int] = {}
        self._order = itertools.count()

    def opened(self, connection: Timed) -> None:
        """A connection that has yet to say who it is."""
        connection.heard = self.now
        self._waiting.add(connection)
        self._hellos.append((self.now + self._hello_ticks, connection))

    def ready(self, connection: Timed, expires_ms: int | None) -> None:
        """It has: from now on it is pinged, and ended when its token's time is over."""
        self._waiting.discard(connection)
        slot = self._next_slot = (self._next_slot + 1) % self._interval
        self._slots[slot][connection] = None
        self._slot_of[connection] = slot
        self.renewed(connection, expires_ms)

    def renewed(self, connection: Timed, expires_ms: int | None) -> None:
        """Its token's time is over at `expires_ms`, whatever it was before."""
        if expires_ms is None:
            self._expires.pop(connection, None)
            return
        self._expires[connection] = expires_ms
        heapq.heappush(self._expiries, (expires_ms, next(self._order), connection))

    def gone(self, connection: Timed) -> None:
        self._waiting.discard(connection)
        self._expires.pop(connection, None)
        slot = self._slot_of.pop(connection, None)
        if slot is not None:
            del self._slots[slot][connection]

    async def run(self) -> None:
        """Tick for ever, and spread each tick's pings over it."""
        due: list[Timed] = []
        while True:
            shares = max(1, -(-len(due) // PINGS_AT_ONCE))
            for share in range(shares):
                self._guarded(self._ping, due[share * PINGS_AT_ONCE : (share + 1) * PINGS_AT_ONCE])
                await self._clock.sleep(TICK_S / shares)
            self._guarded(self._turn)
            due = list(self._slots[self.now % self._interval])

    def tick(self) -> None:
        """One second has passed: what is due in it, at once."""
        self._turn()
        self._ping(list(self._slots[self.now % self._interval]))

    def _guarded(self, work: Callable[..., None], *given: object) -> None:
        """One connection's fault must not be the end of all deadlines."""
        try:
            work(*given)
        except Exception:
            _log.exception("a tick failed")

    def _turn(self) -> None:
        self.now += 1
        while self._hellos and self._hellos[0][0] <= self.now:
            _, connection = self._hellos.popleft()
            if connection in self._waiting:
                connection.expire("hello_timeout")
        self._expire_tokens()

    def _ping(self, due: Sequence[Timed]) -> None:
        for connection in due:
            if connection not in self._slot_of:
                continue
            if connection.asked > connection.heard:
                if self.now - connection.asked >= 2 * self._interval:
                    connection.expire("idle")
                    continue
            elif self.now - connection.heard < BUSY_INTERVALS * self._interval and connection.is_busy():
                continue
            else:
                connection.asked = self.now
            connection.ping()

    def _expire_tokens(self) -> None:
        now_ms = self._clock.wall_ms()
        while self._expiries and self._expiries[0][0] <= now_ms:
            expires_ms, _, connection = heapq.heappop(self._expiries)
            # An older expiry of a renewed or closed connection says nothing any more.
            if self._expires.get(connection) == expires_ms:
                connection.expire("token_expired")
        if len(self._expiries) > STALE_EXPIRIES_MAX + 2 * len(self._expires):
            self._expiries = [(ms, next(self._order), connection) for connection, ms in self._expires.items()]
            heapq.heapify(self._expiries)
