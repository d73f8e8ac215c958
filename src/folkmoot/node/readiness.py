"""Whether this process takes sends, and if not, why: what `/readyz` answers."""

import asyncio
from collections.abc import Callable
from typing import Final

from folkmoot.ports.clock import Clock
from folkmoot.ports.store import Store, StoreAway, StoreFull, StoreUnknown

LOOK_AGAIN_S: Final = 1.0
"""How old an answer of the store may be: whoever asks more often costs nothing more."""

ANSWER_S_MAX: Final = 2.0
"""A store that has not answered by then hangs, as its disk may."""


BUS_AWAY_S_MAX: Final = 2.0
"""Shorter cuts are healed by asking again, and are no reason to send clients elsewhere."""


class Readiness:
    """Asks the store by a write of nothing, which goes the way that all writes go, and the bus how long it is away."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        draining: Callable[[], bool],
        bus_away_s: Callable[[], float],
        answer_s: float = ANSWER_S_MAX,
    ) -> None:
        self.started = False
        self._bus_away_s = bus_away_s
        self._store = store
        self._clock = clock
        self._draining = draining
        self._answer_s = answer_s
        self._look: asyncio.Task[str] | None = None
        self._looked_s = 0.0

    async def why_not(self) -> str:
        """Why no sends are taken, "" where they are."""
        if self._draining():
            return "draining: this server stops"
        if not self.started:
            return "starting"
        if self._bus_away_s() > BUS_AWAY_S_MAX:
            return "the bus is away"
        now_s = self._clock.monotonic_s()
        if self._look is None or (self._look.done() and now_s - self._looked_s >= LOOK_AGAIN_S):
            self._looked_s = now_s
            self._look = asyncio.create_task(self._try())
        await asyncio.wait({self._look}, timeout=self._answer_s)
        return self._look.result() if self._look.done() else "the store does not answer"

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)

    async def _try(self) -> str:
        try:
            await self._store.move_pointers([])
        except StoreFull:
            return "the disk is full: sends are refused"
        except StoreAway as away:
            return f"the store is away: {away}" if str(away) else "the store is away"
        except StoreUnknown:
            return "writes to the store fail"
        return ""
