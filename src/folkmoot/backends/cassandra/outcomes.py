"""What became of each send: three point reads, whatever the length of the log, and the index that makes it so."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from folkmoot.backends.cassandra.driver import Driver, Statement
from folkmoot.backends.cassandra.log import Log
from folkmoot.backends.cassandra.rows import HEAD, HEAD_COLUMNS, OUTCOMES, HeadRow, head_row_of, key_of
from folkmoot.model.ids import GroupId
from folkmoot.model.send import Appended, Outcome, Refused, SendKey
from folkmoot.ports.store import StoreBroken

ABSENT_KNOWN_MAX: Final = 200_000
"""Send keys known to be in no older bucket. One more, and the oldest is looked up anew."""

_IN_BUCKET: Final = f"SELECT {HEAD_COLUMNS}, key, code FROM log WHERE group_id = ? AND bucket = ? AND (slot, key) IN ?"
_IN_INDEX: Final = "SELECT at_seq, code FROM outcomes WHERE group_id = ? AND key = ?"
_OF_BUCKET: Final = f"SELECT key, at_seq, code FROM log WHERE group_id = ? AND bucket = ? AND slot = {OUTCOMES}"
_INDEX_APPENDED: Final = "INSERT INTO outcomes (group_id, key, at_seq) VALUES (?, ?, ?)"
_INDEX_REFUSED: Final = "INSERT INTO outcomes (group_id, key, code) VALUES (?, ?, ?)"
_INDEXED: Final = "SELECT indexed FROM groups WHERE group_id = ?"
_NOTE_INDEXED: Final = "UPDATE groups USING TIMESTAMP ? SET indexed = ? WHERE group_id = ?"

Found = dict[SendKey, tuple[int | None, str | None]]
"""By key: the seq of the entry, or the code of the refusal."""


class Outcomes:
    """The outcomes of all groups."""

    def __init__(self, driver: Driver, log: Log, bucket_size: int) -> None:
        self._driver = driver
        self._log = log
        self._bucket_size = bucket_size
        self._absent: OrderedDict[tuple[GroupId, SendKey], int] = OrderedDict()
        self._settled: OrderedDict[GroupId, tuple[int, int]] = OrderedDict()

    def settle(self, group: GroupId, bucket: int, writes: int) -> None:
        """All that was written up to `writes` is known to stand on a quorum."""
        self._settled[group] = (bucket, writes)
        self._settled.move_to_end(group)
        if len(self._settled) > ABSENT_KNOWN_MAX:
            self._settled.popitem(last=False)

    async def find(self, group: GroupId, keys: Sequence[SendKey]) -> dict[SendKey, Outcome]:
        """The outcomes of those of `keys` that have one. Raises StoreAway."""
        if not keys:
            self._driver.check()
            return {}
        bucket = self._log.known_bucket(group)
        if bucket is None:
            place = await self._log.place(group)
            if place is None:
                return {}
            bucket = place.row.bucket
        (row, found), older = await asyncio.gather(
            self._in_newest(group, bucket, keys), self.older(group, bucket, keys)
        )
        while row is not None and row.full(self._bucket_size):
            # The next may be open: then this one is older too.
            older |= found
            row, found = await self._in_newest(group, row.bucket + 1, keys)
        return await self._told(group, older | found)

    async def older(self, group: GroupId, bucket: int, keys: Sequence[SendKey]) -> Found:
        """Outcomes in buckets before `bucket`, which is open: none of those changes any more. Raises StoreAway."""
        asked = [key for key in keys if self._absent.get((group, key), -1) < bucket] if bucket else []
        found: Found = {}
        if not asked:
            return found
        before = asyncio.ensure_future(self._in_bucket(group, bucket - 1, asked))
        try:
            if bucket >= 2:
                reads = (self._driver.read(_IN_INDEX, (group, key_of(key))) for key in asked)
                indexed = await asyncio.gather(*reads)
                found = {key: (rows[0][0], rows[0][1]) for key, rows in zip(asked, indexed, strict=True) if rows}
        finally:
            _, in_before = await before
        found |= in_before
        for key in asked:
            if key not in found:
                self._absent[(group, key)] = bucket
        while len(self._absent) > ABSENT_KNOWN_MAX:
            self._absent.popitem(last=False)
        return found

    async def in_bucket_serial(
        self, group: GroupId, bucket: int, keys: Sequence[SendKey]
    ) -> tuple[HeadRow | None, Found]:
        """The head and the outcomes in one bucket, together and of one moment. Raises StoreAway."""
        return await self._in_bucket(group, bucket, keys, serial=True)

    async def index(self, group: GroupId, bucket: int) -> None:
        """Write the index for `bucket` and those before it that lack it; they are full, so their rows never change.

        Raises StoreAway or StoreUnknown; safe to repeat.
        """
        rows = await self._driver.read(_INDEXED, (group,))
        indexed = rows[0][0] if rows and rows[0][0] is not None else -1
        for one in range(indexed + 1, bucket + 1):
            outcomes = await self._driver.read(_OF_BUCKET, (group, one))
            statements: list[Statement] = [
                (_INDEX_REFUSED, (group, key, code)) if seq is None else (_INDEX_APPENDED, (group, key, seq))
                for key, seq, code in outcomes
            ]
            await self._driver.write_all(statements)
            await self._driver.write(_NOTE_INDEXED, (one + 1, one, group))

    async def _in_newest(self, group: GroupId, bucket: int, keys: Sequence[SendKey]) -> tuple[HeadRow | None, Found]:
        row, found = await self._in_bucket(group, bucket, keys)
        if row is None or self._settled.get(group) == (bucket, row.writes):
            return row, found
        # Somebody else wrote last. Their head may have been repaired onto a quorum without their outcomes, and to miss
        # one is to refuse for good what is stored: a serial read finishes that write first.
        row, found = await self._in_bucket(group, bucket, keys, serial=True)
        if row is not None:
            self.settle(group, bucket, row.writes)
        return row, found

    async def _in_bucket(
        self, group: GroupId, bucket: int, keys: Sequence[SendKey], *, serial: bool = False
    ) -> tuple[HeadRow | None, Found]:
        slots = [(HEAD, ""), *((OUTCOMES, key_of(key)) for key in keys)]
        rows = await self._driver.read(_IN_BUCKET, (group, bucket, slots), serial=serial)
        by_text = {key_of(key): key for key in keys}
        found: Found = {by_text[row[8]]: (row[3], row[9]) for row in rows if row[0] == OUTCOMES}
        heads = [row for row in rows if row[0] == HEAD and row[2] is not None]
        return (head_row_of(bucket, heads[0][:8]) if heads else None), found

    async def _told(self, group: GroupId, found: Found) -> dict[SendKey, Outcome]:
        outcomes: dict[SendKey, Outcome] = {}
        appended: list[tuple[SendKey, int]] = []
        for key, (seq, code) in found.items():
            if seq is None:
                outcomes[key] = Refused(code or "")
            else:
                appended.append((key, seq))
        entries = await asyncio.gather(*(self._log.entry(group, seq) for _, seq in appended))
        for (key, seq), entry in zip(appended, entries, strict=True):
            if entry is None:
                raise StoreBroken(f"group {group}: an outcome names entry {seq}, which is not there")
            outcomes[key] = Appended(seq, entry.kind, entry.digest, entry.salt)
        return outcomes
