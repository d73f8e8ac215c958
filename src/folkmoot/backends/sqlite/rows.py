"""Rows to nouns and back, and the statements that touch them."""

from collections.abc import Iterable
from typing import Any, Final

import apsw
from msgspec.structs import astuple

from folkmoot.model.entry import MESSAGE, Entry
from folkmoot.model.group import GroupState, Head, empty_group
from folkmoot.model.ids import GroupId
from folkmoot.model.membership import Membership
from folkmoot.ports.store import Conflict, MovedPointer, Write

ROOM: Final = 10_000
"""A log in one file has no buckets: this bounds a batch, no more."""

NUMBERS_KNOWN_MAX: Final = 16_384
"""Groups whose numbers are at hand. With one more, all are looked up anew."""

LAST_GROUPS: Final = "last_groups"
"""In meta: the numbers of groups that were written to last, noted a few times a second, which a start looks at."""

CUSTODY: Final = "custody"
"""In meta: the store's part in a copy, as JSON; not there where it has none."""

_GROUP_NO = "SELECT no FROM groups WHERE id = ?"
_INSERT_GROUP = (
    "INSERT INTO groups (writes, seq, hash, messages, name, history_all, open, members, owners, id, epoch)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING RETURNING no"
)
_SET_GROUP = "UPDATE groups SET writes=?, seq=?, hash=?, messages=?, name=?, history_all=?, open=?, members=?, owners=?"
_UPDATE_GROUP = f"{_SET_GROUP} WHERE id = ? AND epoch = ? AND writes = ? AND seq = ? RETURNING no"
_UPDATE_NUMBERED = f"{_SET_GROUP} WHERE id = ? AND epoch = ? AND writes = ? AND seq = ? AND no = ?"
_INSERT_ENTRY = (
    "INSERT INTO entries"
    " (group_no, epoch, seq, kind, sender, device, send_id, time_ms, messages, body, salt, digest, hash)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_INSERT_OUTCOME = "INSERT INTO outcomes VALUES (?,?,?,?,?)"
_HAS_OUTCOME = "SELECT 1 FROM outcomes WHERE group_no = ? AND sender = ? AND send_id = ?"
_UPSERT_MEMBERSHIP = (
    "INSERT INTO memberships VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET ended = excluded.ended, role = excluded.role"
)
_STAYS = "SELECT user, joined, ended, role FROM memberships WHERE group_no = ? ORDER BY user, joined"
_TIME = "SELECT time_ms FROM entries WHERE group_no = ? AND seq = ?"
_LIST_GROUP = "INSERT OR IGNORE INTO groups_of_user VALUES (?,?)"
_UNLIST_GROUP = "DELETE FROM groups_of_user WHERE user = ? AND group_id = ?"
_RAISE_POINTER = (
    "INSERT INTO pointers VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq"
    " WHERE (excluded.epoch, excluded.seq) > (epoch, seq)"
)
_RAISE_POINTER_BY_ID = (
    "INSERT INTO pointers SELECT no, ?, ?, ? FROM groups WHERE id = ?"
    " ON CONFLICT DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq"
    " WHERE (excluded.epoch, excluded.seq) > (epoch, seq)"
)


def head_of(epoch: int, writes: int, seq: int, hash_at: bytes, messages: int) -> Head:
    return Head(epoch=epoch, writes=writes, seq=seq, hash=hash_at, messages=messages, room=ROOM)


def group_of(row: Any) -> tuple[int, str, Head]:
    """Number, id and head of a row of `groups`."""
    return row[0], row[1], head_of(*row[2:7])


def state_of(database: apsw.Connection, row: Any) -> GroupState:
    """The state in a row of `groups` and what belongs to it."""
    stays: dict[str, tuple[Membership, ...]] = {}
    for user, joined, ended, role in database.execute(_STAYS, (row[0],)):
        stays[user] = (*stays.get(user, ()), Membership(joined, ended, role))
    return GroupState(
        group=row[1],
        head=head_of(*row[2:7]),
        name=row[7],
        history_all=bool(row[8]),
        open=bool(row[9]),
        memberships=stays,
        members_count=row[10],
        owners_count=row[11],
        time_ms=database.execute(_TIME, (row[0], row[4])).get or 0,
    )


def entries_of(group: str, rows: Iterable[Any]) -> list[Entry]:
    """The entries in rows of `entries`."""
    return [
        Entry(
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
        for _, seq, epoch, kind, sender, device, send_id, time_ms, messages, body, salt, digest, hash_at in rows
    ]


def no_group(group: str, epoch: int) -> GroupState:
    """A group that has never been written to."""
    return empty_group(group, epoch, ROOM)


class LogRows:
    """What the writes of one transaction add to the log: put at its end, for all of them together.

    To begin a statement costs several times as much as one row more of it.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[Any, ...]] = []
        self._outcomes: list[tuple[int, str, str, int | None, str | None]] = []
        self._pointers: dict[tuple[int, str], tuple[int, str, int, int]] = {}

    def add(self, write: Write, number: int) -> None:
        for (sender, send_id), code in write.refusals.items():
            self._outcomes.append((number, sender, send_id, None, code))
        for entry in write.entries:
            sender = entry.sender
            self._entries.append((number, *astuple(entry)[1:]))
            self._outcomes.append((number, sender, entry.send_id, entry.seq, None))
            if entry.kind == MESSAGE:
                # The last of each sender: an accepted message moves its sender's pointer to it.
                self._pointers[(number, sender)] = (number, sender, entry.epoch, entry.seq)

    def put(self, cursor: apsw.Cursor) -> None:
        """Raises apsw.ConstraintError where an outcome is there already."""
        entries, outcomes, pointers = self._entries, self._outcomes, self._pointers
        self._entries, self._outcomes, self._pointers = [], [], {}
        if entries:
            cursor.executemany(_INSERT_ENTRY, entries)
        if pointers:
            cursor.executemany(_RAISE_POINTER, list(pointers.values()))
        if outcomes:
            cursor.executemany(_INSERT_OUTCOME, outcomes)


def put(
    cursor: apsw.Cursor, write: Write, epoch: int, rows: LogRows, numbers: dict[GroupId, int], *, careful: bool = True
) -> tuple[Head, int]:
    """Carry out one conditional write in the open transaction, but for its `rows`; new head, and the group's number.

    Raises Conflict or ValueError before anything is changed, so that the transaction can go on with others. Without
    `careful` nobody looks for outcomes first, and one that is there already raises apsw.ConstraintError too late, as
    the rows are put: the whole transaction is to be rolled back, and done again with care. `numbers`: of groups that
    were written to before, as far as they are known.
    """
    write.check()
    if careful:
        rows.put(cursor)
        _check_outcomes(cursor, write)
    head, number = _put_group(cursor, write, epoch, numbers)
    rows.add(write, number)
    if write.memberships:
        _put_memberships(cursor, write, number)
    return head, number


def put_last_groups(cursor: apsw.Cursor, numbers: Iterable[int]) -> None:
    """Note which groups have been written to."""
    cursor.execute("REPLACE INTO meta VALUES (?, ?)", (LAST_GROUPS, " ".join(map(str, numbers))))


def put_pointers(cursor: apsw.Cursor, pointers: Iterable[MovedPointer], epoch: int) -> None:
    """Raise read pointers; those of groups that are not there are passed over.

    Whatever moves in this life of the store is of its epoch, though the entry that was read be of an earlier one: else
    it would stand behind the pointers that a restore took over.
    """
    rows = [(p.user, max(p.epoch, epoch), p.seq, p.group) for p in pointers]
    cursor.executemany(_RAISE_POINTER_BY_ID, rows)


def _check_outcomes(cursor: apsw.Cursor, write: Write) -> None:
    keys = [(entry.sender, entry.send_id) for entry in write.entries]
    keys.extend(write.refusals)
    if len(set(keys)) != len(keys):
        raise Conflict(write.group)
    row = cursor.execute(_GROUP_NO, (write.group,)).fetchone()
    if row is None:
        return
    for sender, send_id in keys:
        if cursor.execute(_HAS_OUTCOME, (row[0], sender, send_id)).fetchone() is not None:
            raise Conflict(write.group)


def _put_group(cursor: apsw.Cursor, write: Write, epoch: int, numbers: dict[GroupId, int]) -> tuple[Head, int]:
    after, expected = write.after, write.expected
    head = head_of(expected.epoch, expected.writes + 1, after.head.seq, after.head.hash, after.head.messages)
    values: tuple[object, ...] = (
        head.writes,
        head.seq,
        head.hash,
        head.messages,
        after.name,
        int(after.history_all),
        int(after.open),
        after.members_count,
        after.owners_count,
        write.group,
        head.epoch,
    )
    if expected.writes > 0:
        values = (*values, expected.writes, expected.seq)
        known = numbers.get(write.group)
        if known is not None:
            # By its number, and with no row returned, it costs less. Where it finds nothing the id has the last word.
            cursor.execute(_UPDATE_NUMBERED, (*values, known))
            if cursor.connection.changes():
                return head, known
        row = cursor.execute(_UPDATE_GROUP, values).fetchone()
    elif expected.epoch == epoch:
        row = cursor.execute(_INSERT_GROUP, values).fetchone()
    else:
        row = None
    if row is None:
        raise Conflict(write.group)
    if len(numbers) >= NUMBERS_KNOWN_MAX:
        numbers.clear()
    number = numbers[write.group] = int(row[0])
    return head, number


def _put_memberships(cursor: apsw.Cursor, write: Write, number: int) -> None:
    rows = [(number, user, m.join, m.end, m.role) for user, m in write.memberships]
    cursor.executemany(_UPSERT_MEMBERSHIP, rows)
    users = {user for user, _ in write.memberships}
    listed = [(user, write.group) for user in users if write.after.membership(user) is not None]
    unlisted = [(user, write.group) for user in users if write.after.membership(user) is None]
    cursor.executemany(_LIST_GROUP, listed)
    cursor.executemany(_UNLIST_GROUP, unlisted)
