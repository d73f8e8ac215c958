"""Reading logs: where a group's head is, its entries page by page, and never a gap."""

import asyncio
from collections import OrderedDict
from typing import Final

import msgspec

from folkmoot.backends.cassandra.driver import Driver, Row
from folkmoot.backends.cassandra.rows import (
    ENTRY_COLUMNS,
    HEAD,
    HEAD_COLUMNS,
    READERS,
    HeadRow,
    bucket_of,
    entry_of,
    head_row_of,
    last_of,
)
from folkmoot.model.entry import Entry
from folkmoot.model.ids import GroupId, UserId
from folkmoot.ports.store import StoreBroken

GROUPS_KNOWN_MAX: Final = 100_000
"""Of how many groups it is kept in memory where they stand. One more, and the oldest is looked up anew."""

ROWS_PER_READ_MAX: Final = 256

_HEAD: Final = f"SELECT {HEAD_COLUMNS} FROM log WHERE group_id = ? AND bucket = ? AND (slot, key) IN ?"
_ENTRIES: Final = (
    f"SELECT {ENTRY_COLUMNS} FROM log WHERE group_id = ? AND bucket = ? AND slot >= ? AND slot <= ? LIMIT ?"
)
_BUCKET: Final = "SELECT bucket FROM groups WHERE group_id = ?"


class Place(msgspec.Struct, frozen=True):
    """A group's head, and the (epoch, seq) up to which one user has read by sending in its bucket."""

    row: HeadRow
    sent: tuple[int, int]


class Log:
    """The logs of all groups, as they are read."""

    def __init__(self, driver: Driver, bucket_size: int) -> None:
        self._driver = driver
        self._bucket_size = bucket_size
        self._places: OrderedDict[GroupId, tuple[int, int]] = OrderedDict()
        self.repaired = 0

    def known_bucket(self, group: GroupId) -> int | None:
        """The newest bucket of the group that was seen open here."""
        place = self._places.get(group)
        return None if place is None else place[0]

    def exists(self, group: GroupId) -> bool:
        """Whether an entry of the group was seen here."""
        return self._places.get(group, (0, 0))[1] > 0

    def note(self, group: GroupId, bucket: int, seq: int) -> None:
        """The group's log was seen to reach `seq`, and `bucket` to be open."""
        before = self._places.get(group, (0, 0))
        self._places[group] = (max(bucket, before[0]), max(seq, before[1]))
        self._places.move_to_end(group)
        if len(self._places) > GROUPS_KNOWN_MAX:
            self._places.popitem(last=False)

    async def place(self, group: GroupId, user: UserId = "") -> Place | None:
        """Where the group's log ends now, None where nothing was ever written. Raises StoreAway."""
        bucket = self.known_bucket(group)
        if bucket is None:
            rows = await self._driver.read(_BUCKET, (group,))
            bucket = (rows[0][0] if rows else None) or 0
        found = await self.place_in(group, bucket, user)
        while found is None and bucket > 0:
            bucket -= 1
            found = await self.place_in(group, bucket, user)
        # The group's row names a bucket that is there: the last may be the next.
        while found is not None and found.row.full(self._bucket_size):
            following = await self.place_in(group, found.row.bucket + 1, user)
            if following is None:
                break
            found = following
        if found is not None:
            self.note(group, found.row.bucket, found.row.seq)
        return found

    async def place_in(self, group: GroupId, bucket: int, user: UserId = "", *, serial: bool = False) -> Place | None:
        """The head in one bucket, None where that is not open. Raises StoreAway."""
        slots = [(HEAD, "")] + ([(READERS, user)] if user else [])
        rows = await self._driver.read(_HEAD, (group, bucket, slots), serial=serial)
        head = [row for row in rows if row[0] == HEAD]
        if not head or head[0][2] is None:
            return None
        sent = [(row[1], row[3]) for row in rows if row[0] == READERS]
        return Place(head_row_of(bucket, head[0]), sent[0] if sent else (0, 0))

    async def places(self, groups: list[GroupId]) -> list[Place | None]:
        return await asyncio.gather(*(self.place(group) for group in groups))

    async def entry(self, group: GroupId, seq: int) -> Entry | None:
        """The entry at `seq`, None past the head. Raises StoreAway."""
        found = await self.forward(group, seq, seq, 1, 0)
        return found[0] if found else None

    async def forward(self, group: GroupId, first: int, last: int, entries_max: int, bytes_max: int) -> list[Entry]:
        """The first entries from `first` to `last` up to either bound, one at least. Raises StoreAway, StoreBroken."""
        taken: list[Entry] = []
        size_bytes, seq = 0, first
        while seq <= last and len(taken) < entries_max:
            bucket = bucket_of(seq, self._bucket_size)
            end = min(last, last_of(bucket, self._bucket_size))
            limit = min(entries_max - len(taken), ROWS_PER_READ_MAX)
            rows = await self._rows(group, bucket, seq, end, limit)
            for row in rows:
                size_bytes += len(row[8] or b"")
                if taken and size_bytes > bytes_max:
                    return taken
                taken.append(entry_of(group, row))
            seq += len(rows)
            if not rows or (len(rows) < limit and seq <= end):
                break
        if taken:
            self.note(group, bucket_of(taken[-1].seq, self._bucket_size), taken[-1].seq)
        return taken

    async def back(self, group: GroupId, first: int, last: int, entries_max: int, bytes_max: int) -> list[Entry]:
        """The last entries from `first` to `last`, which is not past the head, in rising order. Raises as `forward`."""
        taken: list[Entry] = []
        size_bytes, seq = 0, last
        while seq >= first and len(taken) < entries_max:
            bucket = bucket_of(seq, self._bucket_size)
            start = max(first, bucket * self._bucket_size)
            limit = min(entries_max - len(taken), ROWS_PER_READ_MAX, seq - start + 1)
            # In rising order by seq, since how many there are is known: so a gap is seen as in any other page.
            rows = await self._rows(group, bucket, seq - limit + 1, seq, limit)
            for row in reversed(rows):
                size_bytes += len(row[8] or b"")
                if taken and size_bytes > bytes_max:
                    return taken[::-1]
                taken.append(entry_of(group, row))
            if len(rows) < limit:
                raise StoreBroken(f"group {group}: entries {seq - limit + 1} to {seq} are not all there")
            seq -= limit
        return taken[::-1]

    async def _rows(self, group: GroupId, bucket: int, first: int, last: int, limit: int) -> list[Row]:
        """Rows without a gap from `first`, as far as the log was seen to reach.

        A read may meet a replica that has a newer head, by the repair of another read, and not yet its entries. A
        serial read then finishes the write that it is about.
        """
        values = (group, bucket, first, last, limit)
        rows = await self._driver.read(_ENTRIES, values)
        seen = min(last, first + limit - 1, self._places.get(group, (0, 0))[1])
        if not _whole(rows, first, seen):
            self.repaired += 1
            rows = await self._driver.read(_ENTRIES, values, serial=True)
            if not _whole(rows, first, seen):
                raise StoreBroken(f"group {group}: there is a gap between {first} and {seen}")
        return rows


def _whole(rows: list[Row], first: int, seen: int) -> bool:
    return len(rows) >= seen - first + 1 and all(row[0] == first + n for n, row in enumerate(rows))
