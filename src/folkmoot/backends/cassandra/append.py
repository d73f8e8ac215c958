"""The append: one conditional batch in one bucket, the opening of the next, and what a time-out leaves to settle."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from folkmoot.backends.cassandra.driver import Driver, Statement
from folkmoot.backends.cassandra.log import Log
from folkmoot.backends.cassandra.outcomes import Outcomes
from folkmoot.backends.cassandra.pointers import Pointers
from folkmoot.backends.cassandra.projections import Projections
from folkmoot.backends.cassandra.rows import (
    MOVE_HEAD,
    MOVE_HEAD_UNCHANGED,
    MOVE_WRITES,
    PUT_APPENDED,
    PUT_READER,
    PUT_REFUSED,
    HeadRow,
    bucket_of,
    genesis_row,
    key_of,
    opening_of,
    putting,
    room_after,
)
from folkmoot.model.entry import MESSAGE
from folkmoot.model.group import Head
from folkmoot.model.ids import GroupId
from folkmoot.model.send import SendKey
from folkmoot.ports.store import Conflict, StoreAway, StoreUnknown, Write

_log = logging.getLogger(__name__)

TRIES_MAX: Final = 3
"""Of one conditional write that nobody answers. Then it stays unknown, for whoever decides next to settle."""

_NOTE_BUCKET: Final = "UPDATE groups USING TIMESTAMP ? SET bucket = ? WHERE group_id = ?"


class Appends:
    """Conditional writes to the logs of all groups."""

    def __init__(
        self,
        driver: Driver,
        log: Log,
        outcomes: Outcomes,
        projections: Projections,
        pointers: Pointers,
        *,
        epoch: int,
        bucket_size: int,
    ) -> None:
        self._driver = driver
        self._log = log
        self._outcomes = outcomes
        self._projections = projections
        self._pointers = pointers
        self._epoch = epoch
        self._bucket_size = bucket_size
        self._indexing: set[asyncio.Task[None]] = set()
        self.settled = 0
        self.behind = 0
        self.opened = 0

    async def append(self, write: Write) -> Head:
        """As `ports.store.Store.append` says."""
        write.check()
        group, expected, entries = write.group, write.expected, write.entries
        if len(entries) > room_after(expected.seq, self._bucket_size):
            raise ValueError(f"{len(entries)} entries of {group} stand in more than one bucket")
        keys = [(entry.sender, entry.send_id) for entry in entries] + list(write.refusals)
        if len(set(keys)) != len(keys):
            raise Conflict(group)
        bucket = bucket_of(expected.seq + 1, self._bucket_size)
        changed = max((entry.seq for entry in entries if entry.kind != MESSAGE), default=0)
        await self._open(group, bucket, expected)
        if await self._outcomes.older(group, bucket, keys):
            raise Conflict(group)
        if changed:
            await self._before_change(write)
        await self._decide(write, bucket, keys, changed)
        self._outcomes.settle(group, bucket, expected.writes + 1)
        after = write.after.head
        self._log.note(group, bucket, after.seq)
        if changed:
            await self._after_change(write, changed)
        return Head(
            epoch=expected.epoch,
            writes=expected.writes + 1,
            seq=after.seq,
            hash=after.hash,
            messages=after.messages,
            room=room_after(after.seq, self._bucket_size),
        )

    async def close(self) -> None:
        """Leave what is not urgent to whoever opens the next bucket."""
        for task in self._indexing:
            task.cancel()
        await asyncio.gather(*self._indexing, return_exceptions=True)

    async def _decide(self, write: Write, bucket: int, keys: Sequence[SendKey], changed: int) -> None:
        """Have the batch applied. Raises Conflict, StoreAway or StoreUnknown."""
        statements = self._batch(write, bucket, changed)
        unknown = False
        for _ in range(TRIES_MAX):
            try:
                applied, _ = await self._driver.decide(*statements)
            except StoreUnknown:
                unknown = True
                happened = await self._happened(write, bucket, keys)
                if happened is None:
                    # Nobody knows whether it will yet. Trying it again raises `writes`, and so settles the first try.
                    continue
            except StoreAway as error:
                if unknown:
                    raise StoreUnknown(str(error)) from error
                raise
            else:
                if applied:
                    return
                # An earlier try of ours may be what is in the way.
                happened = await self._happened(write, bucket, keys) if unknown else False
            if happened:
                self.settled += 1
                return
            raise Conflict(write.group)
        raise StoreUnknown(f"group {write.group}: a write was not answered {TRIES_MAX} times")

    async def _happened(self, write: Write, bucket: int, keys: Sequence[SendKey]) -> bool | None:
        """Whether the write happened, by a serial read of head and rows; None where it may yet."""
        expected = write.expected
        try:
            row, found = await self._outcomes.in_bucket_serial(write.group, bucket, keys)
            if len(found) == len(keys):
                return await self._is_ours(write, row, found)
        except StoreAway as error:
            raise StoreUnknown(str(error)) from error
        moved = row is not None and (row.epoch, row.writes) != (expected.epoch, expected.writes)
        return False if moved or found else None

    async def _is_ours(
        self, write: Write, row: HeadRow | None, found: dict[SendKey, tuple[int | None, str | None]]
    ) -> bool:
        told: dict[SendKey, tuple[int | None, str | None]] = {
            (e.sender, e.send_id): (e.seq, None) for e in write.entries
        }
        told |= {key: (None, code) for key, code in write.refusals.items()}
        if found != told:
            return False
        if not write.entries:
            # Another router may have stored the same refusals along with entries, or have gone on since: the head after
            # this write would then be one that never was, and an append on it would replace an entry.
            head = write.after.head
            after = (write.expected.epoch, write.expected.writes + 1, head.seq, head.hash)
            return row is not None and (row.epoch, row.writes, row.seq, row.hash) == after
        # Another router may have stored the same sends: the salts, and so the hashes, are another's then.
        last = await self._log.entry(write.group, write.entries[-1].seq)
        return last is not None and last.hash == write.entries[-1].hash

    def _batch(self, write: Write, bucket: int, changed: int) -> list[Statement]:
        group, expected, entries = write.group, write.expected, write.entries
        where = (group, bucket, expected.epoch, expected.writes, expected.hash)
        if entries:
            head, last = write.after.head, entries[-1]
            moved = (expected.writes + 1, head.seq, head.hash, head.messages, last.time_ms)
            statements: list[Statement] = [(MOVE_HEAD_UNCHANGED, (*moved, *where))]
            if changed:
                statements = [(MOVE_HEAD, (*moved, changed, *where))]
        else:
            statements = [(MOVE_WRITES, (expected.writes + 1, *where))]
        for entry in entries:
            statements.append(putting(bucket, entry))
            statements.append((PUT_APPENDED, (group, bucket, key_of((entry.sender, entry.send_id)), entry.seq)))
        for key, code in write.refusals.items():
            statements.append((PUT_REFUSED, (group, bucket, key_of(key), code)))
        # The last of each sender: an accepted message moves its sender's pointer to it.
        readers = {e.sender: (e.epoch, e.seq) for e in entries if e.kind == MESSAGE}
        statements.extend((PUT_READER, (group, bucket, sender, *read)) for sender, read in readers.items())
        return statements

    async def _open(self, group: GroupId, bucket: int, expected: Head) -> None:
        """Have `bucket` open. Raises Conflict where it cannot follow from `expected`, StoreAway: nothing happened."""
        known = self._log.known_bucket(group)
        if known is not None and known >= bucket:
            return
        place = await self._log.place_in(group, bucket)
        if place is None:
            try:
                await self._open_new(group, bucket, expected)
            except StoreUnknown as error:
                # Whoever comes next opens it with the same head: nothing of the append has been begun.
                raise StoreAway(f"bucket {bucket} could not be opened: {error}") from error
        self._log.note(group, bucket, 0)

    async def _open_new(self, group: GroupId, bucket: int, expected: Head) -> None:
        row = genesis_row(group, self._epoch)
        if bucket:
            # Serial: it finishes a write to the full bucket that was begun, so that what is read there is all.
            before = await self._log.place_in(group, bucket - 1, serial=True)
            if before is None or not before.row.full(self._bucket_size):
                raise Conflict(group)
            row = msgspec.structs.replace(before.row, bucket=bucket)
        if (row.epoch, row.writes, row.seq) != (expected.epoch, expected.writes, expected.seq):
            raise Conflict(group)
        if bucket >= 1:
            await self._pointers.take_over(group, bucket - 1)
        if bucket >= 2:
            await self._outcomes.index(group, bucket - 2)
        await self._driver.decide(opening_of(group, row))
        self.opened += 1
        if bucket:
            await self._driver.write(_NOTE_BUCKET, (bucket + 1, bucket, group))
            # Now rather than when the next is opened, so that no send waits for it.
            task = asyncio.create_task(self._index_early(group, bucket - 1))
            self._indexing.add(task)
            task.add_done_callback(self._indexing.discard)

    async def _index_early(self, group: GroupId, bucket: int) -> None:
        try:
            await self._outcomes.index(group, bucket)
        except (StoreAway, StoreUnknown):
            _log.info("the index of a bucket is left to whoever opens the next", extra={"group": group})

    async def _before_change(self, write: Write) -> None:
        try:
            await self._projections.before_change(write)
        except StoreUnknown as error:
            raise StoreAway(str(error)) from error

    async def _after_change(self, write: Write, changed: int) -> None:
        try:
            await self._projections.after_change(write, changed)
        except (StoreAway, StoreUnknown):
            # The append has happened, and whoever loads the group brings its projections forward.
            self.behind += 1
            _log.warning("projections are behind their log", extra={"group": write.group})
