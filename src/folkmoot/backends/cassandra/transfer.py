"""What a copy asks of a keyspace: its part in the copy, kept in `meta`, and rows that no other port shows.

Whole tables are read in the order of their tokens, some partitions at a time. No lock keeps others out of a keyspace:
whoever copies sees to it that nobody routes.
"""

from typing import Final

import msgspec

from folkmoot.backends.cassandra.driver import Driver
from folkmoot.backends.cassandra.rows import OUTCOMES, send_key_of
from folkmoot.model.ids import GroupId
from folkmoot.ports.store import MovedPointer, StoreAway, StoreBroken
from folkmoot.ports.transfer import Custody, Page, Refusal, StoreOccupied

PARTITIONS_PER_PAGE: Final = 64
TRIES_MAX: Final = 5

_CUSTODY: Final = "SELECT value FROM meta WHERE name = 'custody'"
_FIRST_CUSTODY: Final = "INSERT INTO meta (name, value) VALUES ('custody', ?) IF NOT EXISTS"
_NEXT_CUSTODY: Final = "UPDATE meta SET value = ? WHERE name = 'custody' IF value = ?"
_PARTITIONS: Final = "SELECT DISTINCT group_id, bucket FROM log"
_LATER_PARTITIONS: Final = f"{_PARTITIONS} WHERE token(group_id, bucket) > token(?, ?)"
_OUTCOMES: Final = f"SELECT key, at_seq, code FROM log WHERE group_id = ? AND bucket = ? AND slot = {OUTCOMES}"
_POINTERS: Final = "SELECT user, group_id, epoch, seq FROM pointers"
_TABLES: Final = ("log", "users", "api_keys")
"""Where all of these are empty, so is the store."""


class CassandraTransfer:
    """`ports.transfer.Transfer` of a `CassandraStore`, which makes it and closes with it."""

    def __init__(self, driver: Driver, epoch: int) -> None:
        self._driver = driver
        self._epoch = epoch

    async def custody(self) -> Custody:
        return (await self._held())[1]

    async def begin(self, custody: Custody) -> Custody:
        for _ in range(TRIES_MAX):
            raw, there = await self._held()
            if there.part != "none":
                return there
            if await self._swapped(raw, custody):
                return custody
        raise StoreAway("others change its part in a copy")

    async def claim(self, custody: Custody, epoch: int) -> None:
        raw, there = await self._held()
        if (there.part, there.copy) == ("target", custody.copy):
            return
        if there.part != "none":
            raise StoreOccupied(f"it has a part in another copy, with {there.other}")
        filled = [table for table in _TABLES if await self._driver.run(f"SELECT * FROM {table} LIMIT 1")]
        if filled:
            raise StoreOccupied(f"it has data already ({', '.join(filled)})")
        if epoch != self._epoch:
            raise StoreOccupied(
                f"its keyspace was made for epoch {self._epoch}, and the source is of {epoch}: name one that is not"
                " there yet, and it is made as it has to be"
            )
        if not await self._swapped(raw, custody):
            raise StoreOccupied("another copy into it has just begun")

    async def seal(self, custody: Custody) -> None:
        await self._note(custody)

    async def release(self) -> None:
        await self._note(Custody())

    async def groups(self, *, after: str, rows_max: int) -> Page[GroupId]:
        # Every group has a first bucket; what is made of it may be behind.
        partitions, following = await self._partitions(after, rows_max)
        return Page([group for group, bucket in partitions if bucket == 0], following)

    async def refusals(self, *, after: str, rows_max: int) -> Page[Refusal]:
        partitions, following = await self._partitions(after, min(rows_max, PARTITIONS_PER_PAGE))
        found: list[Refusal] = []
        for group, bucket in partitions:
            rows = await self._driver.read(_OUTCOMES, (group, bucket))
            found += [Refusal(group, send_key_of(key), code) for key, seq, code in rows if seq is None]
        return Page(sorted(found), following)

    async def pointers(self, *, after: str, rows_max: int) -> Page[MovedPointer]:
        """Those that were moved. What senders have read by sending, their messages say."""
        if after:
            user, group = msgspec.json.decode(after, type=tuple[str, str])
            rows = await self._driver.read(
                f"{_POINTERS} WHERE user = ? AND group_id > ? LIMIT ?", (user, group, rows_max)
            )
            if len(rows) < rows_max:
                rest = rows_max - len(rows)
                rows = rows + await self._driver.read(f"{_POINTERS} WHERE token(user) > token(?) LIMIT ?", (user, rest))
        else:
            rows = await self._driver.read(f"{_POINTERS} LIMIT ?", (rows_max,))
        found = [MovedPointer(group, user, epoch, seq) for user, group, epoch, seq in rows]
        return Page(found, _cursor(*rows[-1][:2]) if len(rows) == rows_max else "")

    async def _partitions(self, after: str, count_max: int) -> tuple[list[tuple[GroupId, int]], str]:
        """Groups and their buckets, and the cursor for the next."""
        if after:
            group, bucket = msgspec.json.decode(after, type=tuple[str, int])
            rows = await self._driver.read(f"{_LATER_PARTITIONS} LIMIT ?", (group, bucket, count_max))
        else:
            rows = await self._driver.read(f"{_PARTITIONS} LIMIT ?", (count_max,))
        return [(row[0], row[1]) for row in rows], _cursor(*rows[-1]) if len(rows) == count_max else ""

    async def _held(self) -> tuple[str | None, Custody]:
        """What stands in the keyspace, None where nothing does, and what it says."""
        rows = await self._driver.read(_CUSTODY, (), serial=True)
        if not rows:
            return None, Custody()
        try:
            return rows[0][0], msgspec.json.decode(rows[0][0], type=Custody)
        except msgspec.MsgspecError as error:
            raise StoreBroken(f"what it says of its part in a copy cannot be read: {error}") from error

    async def _note(self, custody: Custody) -> None:
        for _ in range(TRIES_MAX):
            raw, there = await self._held()
            if there == custody or await self._swapped(raw, custody):
                return
        raise StoreAway("others change its part in a copy")

    async def _swapped(self, raw: str | None, custody: Custody) -> bool:
        value = msgspec.json.encode(custody).decode()
        if raw is None:
            return (await self._driver.decide((_FIRST_CUSTODY, (value,))))[0]
        return (await self._driver.decide((_NEXT_CUSTODY, (value, raw))))[0]


def _cursor(*key: object) -> str:
    return msgspec.json.encode(key).decode()
