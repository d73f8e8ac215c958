"""Read pointers: the one truth outside the log, never backwards, and what senders have read by sending."""

import asyncio
from collections.abc import Sequence
from typing import Final

from folkmoot.backends.cassandra.driver import Driver, Statement
from folkmoot.backends.cassandra.log import Log
from folkmoot.backends.cassandra.rows import READERS, SEQ_END, timestamp
from folkmoot.model.ids import GroupId, UserId
from folkmoot.ports.store import MovedPointer

_PUT: Final = "INSERT INTO pointers (user, group_id, epoch, seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
_GET: Final = "SELECT epoch, seq FROM pointers WHERE user = ? AND group_id = ?"
_SENDERS: Final = f"SELECT key, epoch, at_seq FROM log WHERE group_id = ? AND bucket = ? AND slot = {READERS}"
_PROBE: Final = "INSERT INTO meta (name, value) VALUES ('probe', '')"


class Pointers:
    """The pointers of all users in all groups."""

    def __init__(self, driver: Driver, log: Log, epoch: int) -> None:
        self._driver = driver
        self._log = log
        self._epoch = epoch

    async def move(self, pointers: Sequence[MovedPointer]) -> None:
        """Raise those that are behind, of groups that exist. Raises StoreAway or StoreUnknown; safe to repeat."""
        if not pointers:
            await self._driver.write(_PROBE, ())
            return
        groups = {pointer.group for pointer in pointers}
        there = dict(zip(groups, await asyncio.gather(*(self._exists(group) for group in groups)), strict=True))
        await self._driver.write_all([self._putting(pointer) for pointer in pointers if there[pointer.group]])

    async def get(self, group: GroupId, user: UserId) -> tuple[int, int]:
        """The (epoch, seq) of a pointer, without what its user has sent since the last bucket was opened."""
        rows = await self._driver.read(_GET, (user, group))
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    async def take_over(self, group: GroupId, bucket: int) -> None:
        """Keep beyond a full bucket what its senders have read by sending. Raises StoreAway or StoreUnknown."""
        rows = await self._driver.read(_SENDERS, (group, bucket))
        await self._driver.write_all([self._putting(MovedPointer(group, *row)) for row in rows])

    async def _exists(self, group: GroupId) -> bool:
        if self._log.exists(group):
            return True
        place = await self._log.place(group)
        return place is not None and place.row.seq > 0

    def _putting(self, p: MovedPointer) -> Statement:
        # Whatever moves in this life of the store is of its epoch, though the entry that was read be of an earlier one.
        epoch, seq = max(p.epoch, self._epoch), min(max(p.seq, 0), SEQ_END)
        return _PUT, (p.user, p.group, epoch, seq, timestamp(epoch, seq, self._epoch))
