"""Rows to nouns and back, and the statements that touch them."""

from collections.abc import Iterable
from typing import Any

import apsw

from folkmoot.model.entry import MESSAGE, Entry, genesis
from folkmoot.model.group import GroupState, Head, empty_group
from folkmoot.model.membership import Membership
from folkmoot.ports.store import Conflict, MovedPointer, Write

ROOM = 10_000
"""A log in one file has no buckets: this bounds a batch, no more."""

_SELECT_GROUP = "SELECT * FROM groups WHERE id = ?"
_INSERT_GROUP = (
    "INSERT INTO groups (id, epoch, writes, seq, hash, messages, name, history_all, open, members, owners)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?) RETURNING no"
)
_UPDATE_GROUP = (
    "UPDATE groups SET writes=?, seq=?, hash=?, messages=?, name=?, history_all=?, open=?, members=?, owners=?"
    " WHERE no = ?"
)
_INSERT_ENTRY = "INSERT INTO entries VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
_INSERT_OUTCOME = "INSERT INTO outcomes VALUES (?,?,?,?,?)"
_HAS_OUTCOME = "SELECT 1 FROM outcomes WHERE group_no = ? AND sender = ? AND send_id = ?"
_UPSERT_MEMBERSHIP = (
    "INSERT INTO memberships VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET ended = excluded.ended, role = excluded.role"
)
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


def state_of(row: Any, memberships: Iterable[tuple[str, int, int | None, str]]) -> GroupState:
    """The state in a row of `groups` and the group's rows (user, joined, ended, role), oldest first by user."""
    stays: dict[str, tuple[Membership, ...]] = {}
    for user, joined, ended, role in memberships:
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


def put(database: apsw.Connection, write: Write, epoch: int) -> tuple[Head, int]:
    """Carry out one conditional write in the open transaction; the new head, and the group's number.

    Raises Conflict before anything is changed, so that the transaction can go on with others.
    """
    row = database.execute(_SELECT_GROUP, (write.group,)).fetchone()
    if row is None:
        number, held = 0, head_of(epoch, 0, 0, genesis(write.group), 0)
    else:
        number, _, held = group_of(row)
    if (held.epoch, held.writes) != (write.expected.epoch, write.expected.writes):
        raise Conflict(write.group)
    if write.entries and write.entries[0].seq != held.seq + 1:
        raise ValueError(f"entry {write.entries[0].seq} does not follow {held.seq}")
    keys = [(entry.sender, entry.send_id) for entry in write.entries]
    keys.extend(write.refusals)
    if len(set(keys)) != len(keys):
        raise Conflict(write.group)
    if number:
        for sender, send_id in keys:
            if database.execute(_HAS_OUTCOME, (number, sender, send_id)).fetchone() is not None:
                raise Conflict(write.group)
    head = _put_group(database, write, number, held)
    if not number:
        (number,) = database.execute("SELECT no FROM groups WHERE id = ?", (write.group,)).fetchone() or (0,)
    _put_log(database, write, number)
    _put_memberships(database, write, number)
    return head, number


def put_pointer(database: apsw.Connection, pointer: MovedPointer) -> None:
    """Raise a read pointer, of a group that exists."""
    database.execute(_RAISE_POINTER_BY_ID, (pointer.user, pointer.epoch, pointer.seq, pointer.group))


def _put_group(database: apsw.Connection, write: Write, number: int, held: Head) -> Head:
    after = write.after
    head = head_of(held.epoch, held.writes + 1, after.head.seq, after.head.hash, after.head.messages)
    values = (
        head.writes,
        head.seq,
        head.hash,
        head.messages,
        after.name,
        int(after.history_all),
        int(after.open),
        after.members_count,
        after.owners_count,
    )
    if number:
        database.execute(_UPDATE_GROUP, (*values, number))
    else:
        database.execute(_INSERT_GROUP, (write.group, held.epoch, *values)).fetchall()
    return head


def _put_log(database: apsw.Connection, write: Write, number: int) -> None:
    database.executemany(
        _INSERT_ENTRY,
        [
            (
                number, e.seq, e.epoch, e.kind, e.sender, e.device, e.send_id, e.time_ms, e.messages,
                e.body, e.salt, e.digest, e.hash,
            )
            for e in write.entries
        ],
    )  # fmt: skip
    outcomes = [(number, e.sender, e.send_id, e.seq, None) for e in write.entries]
    refusals = [(number, sender, send_id, None, code) for (sender, send_id), code in write.refusals.items()]
    database.executemany(_INSERT_OUTCOME, [*outcomes, *refusals])
    # The last of each sender: an accepted message moves its sender's pointer to it.
    pointers = {e.sender: (number, e.sender, e.epoch, e.seq) for e in write.entries if e.kind == MESSAGE}
    if pointers:
        database.executemany(_RAISE_POINTER, list(pointers.values()))


def _put_memberships(database: apsw.Connection, write: Write, number: int) -> None:
    if not write.memberships:
        return
    rows = [(number, user, m.join, m.end, m.role) for user, m in write.memberships]
    database.executemany(_UPSERT_MEMBERSHIP, rows)
    users = {user for user, _ in write.memberships}
    listed = [(user, write.group) for user in users if write.after.membership(user) is not None]
    unlisted = [(user, write.group) for user in users if write.after.membership(user) is None]
    database.executemany(_LIST_GROUP, listed)
    database.executemany(_UNLIST_GROUP, unlisted)
