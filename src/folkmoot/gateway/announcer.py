"""Telling delivery what this edge has, when it asks: one task for however many ask at a time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from folkmoot.gateway.feeds import Feeds
from folkmoot.gateway.presence import Presence
from folkmoot.model.partitions import ALL


class Announcer:
    """Partitions that were asked about, told of together."""

    def __init__(self, feeds: Feeds, presence: Presence, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._feeds = feeds
        self._presence = presence
        self._spawn = spawn
        self._asked: set[int] = set()
        self._telling = False

    def recalled(self, partitions: Iterable[int] | None = None) -> None:
        """Whoever owns these now (all, where None) has to be told what is here."""
        self._asked |= ALL if partitions is None else ALL.intersection(partitions)
        if self._asked and not self._telling:
            self._telling = True
            self._spawn(self._tell())

    async def _tell(self) -> None:
        try:
            while self._asked:
                partitions, self._asked = sorted(self._asked), set()
                await asyncio.gather(
                    self._presence.tell_partitions(partitions), self._feeds.announce_partitions(partitions)
                )
        finally:
            self._telling = False
