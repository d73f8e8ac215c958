"""Rows of a log's partition to nouns and back, the arithmetic of buckets, and the timestamps that order projections."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from folkmoot.backends.cassandra.driver import Row, Statement
from folkmoot.model.entry import Entry, genesis
from folkmoot.model.group import Head
from folkmoot.model.ids import GroupId, SendId, UserId
from folkmoot.model.membership import Membership
from folkmoot.model.send import SendKey

HEAD: Final = -2
READERS: Final = -1
OUTCOMES: Final = 0
"""The slots of a partition before its entries, which stand at their seq."""

SEQ_END: Final = 2**62

_EPOCHS_AHEAD_MAX: Final = 2**14
_SEQ_BITS: Final = 47

HEAD_COLUMNS: Final = "slot, epoch, writes, at_seq, hash, messages, time_ms, changed"
ENTRY_COLUMNS: Final = "slot, epoch, kind, sender, device, send_id, time_ms, messages, body, salt, digest, hash"
PUT_ENTRY: Final = f"INSERT INTO log (group_id, bucket, key, {ENTRY_COLUMNS}) VALUES (?, ?, '', {', '.join('?' * 12)})"
PUT_APPENDED: Final = (
    f"INSERT INTO log (group_id, bucket, slot, key, at_seq) VALUES (?, ?, {OUTCOMES}, ?, ?) IF NOT EXISTS"
)
PUT_REFUSED: Final = (
    f"INSERT INTO log (group_id, bucket, slot, key, code) VALUES (?, ?, {OUTCOMES}, ?, ?) IF NOT EXISTS"
)
"""Two, since a null that is written is a tombstone, of each send."""

PUT_READER: Final = f"INSERT INTO log (group_id, bucket, slot, key, epoch, at_seq) VALUES (?, ?, {READERS}, ?, ?, ?)"
OPEN_BUCKET: Final = (
    f"INSERT INTO log (group_id, bucket, key, {HEAD_COLUMNS}) VALUES (?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
)
_MOVE: Final = (
    f"WHERE group_id = ? AND bucket = ? AND slot = {HEAD} AND key = '' IF epoch = ? AND writes = ? AND hash = ?"
)
"""`writes` alone would do if every head that is told were true; with the hash one that never was changes nothing."""

MOVE_HEAD: Final = f"UPDATE log SET writes = ?, at_seq = ?, hash = ?, messages = ?, time_ms = ?, changed = ? {_MOVE}"
MOVE_HEAD_UNCHANGED: Final = f"UPDATE log SET writes = ?, at_seq = ?, hash = ?, messages = ?, time_ms = ? {_MOVE}"
MOVE_WRITES: Final = f"UPDATE log SET writes = ? {_MOVE}"


class HeadRow(msgspec.Struct, frozen=True, kw_only=True):
    """The head in one bucket. `changed` is the last entry up to it that was more than a message."""

    bucket: int
    epoch: int
    writes: int
    seq: int
    hash: bytes
    messages: int
    time_ms: int
    changed: int

    def full(self, bucket_size: int) -> bool:
        """Whether the next entry belongs to another bucket."""
        return bucket_of(self.seq + 1, bucket_size) > self.bucket

    def head(self, bucket_size: int) -> Head:
        return Head(
            epoch=self.epoch,
            writes=self.writes,
            seq=self.seq,
            hash=self.hash,
            messages=self.messages,
            room=room_after(self.seq, bucket_size),
        )


def bucket_of(seq: int, bucket_size: int) -> int:
    """The bucket of the entry `seq`. The first bucket has one entry less: there is no entry 0."""
    return seq // bucket_size


def room_after(seq: int, bucket_size: int) -> int:
    """How many entries after `seq` stand in the bucket of the next one. Never 0: a full bucket's next is told."""
    return bucket_size - (seq + 1) % bucket_size


def last_of(bucket: int, bucket_size: int) -> int:
    """The last seq of a bucket."""
    return (bucket + 1) * bucket_size - 1


def bounded(seq: int) -> int:
    """A seq that fits in a column, and is one of an entry."""
    return min(max(seq, 1), SEQ_END)


def key_of(key: SendKey) -> str:
    """Sender and send id in one text: neither holds a space."""
    return f"{key[0]} {key[1]}"


def send_key_of(text: str) -> SendKey:
    sender, _, send_id = text.partition(" ")
    return UserId(sender), SendId(send_id)


def head_row_of(bucket: int, row: Row) -> HeadRow:
    """From a row of HEAD_COLUMNS."""
    _, epoch, writes, seq, hash_at, messages, time_ms, changed = row
    return HeadRow(
        bucket=bucket,
        epoch=epoch,
        writes=writes,
        seq=seq,
        hash=hash_at,
        messages=messages,
        time_ms=time_ms,
        changed=changed,
    )


def genesis_row(group: GroupId, epoch: int) -> HeadRow:
    """The head of a group's first bucket before anything is in it."""
    return HeadRow(bucket=0, epoch=epoch, writes=0, seq=0, hash=genesis(group), messages=0, time_ms=0, changed=0)


def opening_of(group: GroupId, row: HeadRow) -> Statement:
    """Opening `row.bucket` with that head: whoever opens it says the same."""
    values = (row.epoch, row.writes, row.seq, row.hash, row.messages, row.time_ms, row.changed)
    return OPEN_BUCKET, (group, row.bucket, HEAD, *values)


def entry_of(group: GroupId, row: Row) -> Entry:
    """From a row of ENTRY_COLUMNS."""
    seq, epoch, kind, sender, device, send_id, time_ms, messages, body, salt, digest, hash_at = row
    return Entry(
        group=group,
        epoch=epoch,
        seq=seq,
        kind=kind,
        sender=sender,
        device=device,
        send_id=send_id,
        time_ms=time_ms,
        messages=messages,
        body=body,
        salt=salt,
        digest=digest,
        hash=hash_at,
    )


def putting(bucket: int, e: Entry) -> Statement:
    """Writing an entry."""
    header = (e.seq, e.epoch, e.kind, e.sender, e.device, e.send_id, e.time_ms, e.messages)
    return PUT_ENTRY, (e.group, bucket, *header, e.body, e.salt, e.digest, e.hash)


def stays_of(rows: Iterable[Row], applied: int) -> Mapping[UserId, tuple[Membership, ...]]:
    """Memberships as they were at `applied`, from rows of (user, joined, seq, ended, role) in their order."""
    found: dict[UserId, dict[int, Membership]] = {}
    for user, joined, seq, ended, role in rows:
        if seq <= applied:
            found.setdefault(user, {})[joined] = Membership(joined, ended, role)
    return {user: tuple(stays.values()) for user, stays in found.items()}


def timestamp(epoch: int, seq: int, epoch_first: int) -> int:
    """A write's place in the order of (epoch, seq), as Cassandra compares them: a replay converges.

    Epochs before that of the keyspace count as its own: what was copied in from an earlier life is not behind it.
    """
    ahead = min(max(0, epoch - epoch_first), _EPOCHS_AHEAD_MAX)
    return (ahead << _SEQ_BITS) + min(seq, (1 << _SEQ_BITS) - 2) + 1
