"""What entries have made of groups: state, members, and groups of users; complete up to `applied`, and folded on.

Nothing here is trusted alone. A group's head says the last entry that was more than a message (`changed`): where the
projection stands at it or after, the two are the state; else the log between is folded, and the projection brought on.
"""

import asyncio
import logging
from collections import OrderedDict
from typing import Final

import msgspec

from folkmoot.backends.cassandra.driver import Driver, Statement
from folkmoot.backends.cassandra.log import GROUPS_KNOWN_MAX, Log, Place
from folkmoot.backends.cassandra.pointers import Pointers
from folkmoot.backends.cassandra.rows import HeadRow, genesis_row, stays_of, timestamp
from folkmoot.model.entry import MESSAGE
from folkmoot.model.fold import changed_memberships, fold
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, current
from folkmoot.ports.store import GroupView, StoreUnknown, Write

_log = logging.getLogger(__name__)

FOLD_ENTRIES_MAX: Final = 500
FOLD_BYTES_MAX: Final = 4 * 1_048_576
"""Of one page of the log that is folded. The rest is the next page."""

_COLUMNS: Final = "applied, name, history_all, open, members, owners"
_GROUP: Final = f"SELECT {_COLUMNS} FROM groups WHERE group_id = ?"
_PUT_GROUP: Final = f"INSERT INTO groups (group_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
_STAYS: Final = "SELECT user, joined, seq, ended, role FROM members WHERE group_id = ?"
_STAYS_OF_USER: Final = f"{_STAYS} AND user = ?"
_STAYS_AFTER: Final = f"{_STAYS} AND user > ? LIMIT ?"
_PUT_STAY: Final = "INSERT INTO members (group_id, user, joined, seq, ended, role) VALUES (?, ?, ?, ?, ?, ?)"
_LIST: Final = "INSERT INTO groups_of_user (user, group_id) VALUES (?, ?) USING TIMESTAMP ?"
_UNLIST: Final = "DELETE FROM groups_of_user USING TIMESTAMP ? WHERE user = ? AND group_id = ?"
_LISTED: Final = "SELECT group_id FROM groups_of_user WHERE user = ? AND group_id > ? LIMIT ?"
_LISTED_PER_READ_MAX: Final = 100


class GroupRow(msgspec.Struct, frozen=True):
    """A group without its members, as it was at `applied`."""

    applied: int
    name: str
    history_all: bool
    open: bool
    members: int
    owners: int


_NOTHING: Final = GroupRow(0, "", False, False, 0, 0)


class Projections:
    """The projections of all groups."""

    def __init__(self, driver: Driver, log: Log, pointers: Pointers, *, epoch: int, bucket_size: int) -> None:
        self._driver = driver
        self._log = log
        self._pointers = pointers
        self._epoch = epoch
        self._bucket_size = bucket_size
        self._rows: OrderedDict[GroupId, GroupRow] = OrderedDict()
        self.brought_on = 0

    async def state(self, group: GroupId) -> GroupState:
        """The group's state at its head; what is behind is brought on. Raises StoreAway."""
        return (await self._state(group))[0]

    async def view(self, group: GroupId, user: UserId) -> GroupView | None:
        """The group through one user's eyes, at its head. Raises StoreAway."""
        before = self._log.known_bucket(group)
        # In this order: whatever stands at `applied` had its members written before it.
        row = self._rows.get(group) or await self._group_row(group)
        stays, place, pointer = await asyncio.gather(
            self._driver.read(_STAYS_OF_USER, (group, user)),
            self._log.place(group, user),
            self._pointers.get(group, user),
        )
        if place is None or place.row.seq == 0:
            return None
        if place.row.changed > row.applied:
            row = await self._group_row(group)
            stays = await self._driver.read(_STAYS_OF_USER, (group, user))
        if place.row.bucket != before:
            # What was sent in the bucket before was taken over when this one was opened: perhaps only just now.
            pointer = await self._pointers.get(group, user)
        if place.row.changed == row.applied:
            memberships = stays_of(stays, row.applied).get(user, ())
        else:
            state, place = await self._state(group, user)
            assert place is not None
            row = _row_of(state, place.row.changed)
            memberships = state.memberships.get(user, ())
        return GroupView(
            group=group,
            head=place.row.head(self._bucket_size),
            name=row.name,
            history_all=row.history_all,
            open=row.open,
            members_count=row.members,
            memberships=memberships,
            read=max(place.sent, pointer)[1],
        )

    async def members(self, group: GroupId, *, after: UserId, rows_max: int) -> list[tuple[UserId, Membership]]:
        """Lasting memberships, by user. Raises StoreAway."""
        place = await self._log.place(group)
        if place is None or rows_max <= 0:
            return []
        row = await self._group_row(group)
        if row.applied != place.row.changed:
            state = await self.state(group)
            lasting = ((user, current(state.memberships[user])) for user in sorted(state.memberships) if user > after)
            return [(user, stay) for user, stay in lasting if stay is not None][:rows_max]
        found: list[tuple[UserId, Membership]] = []
        while len(found) < rows_max:
            limit = max(100, 2 * (rows_max - len(found)))
            rows = await self._driver.read(_STAYS_AFTER, (group, after, limit))
            if len(rows) == limit:
                # The last user's rows may go on.
                whole = [r for r in rows if r[0] != rows[-1][0]]
                rows = whole or await self._driver.read(_STAYS_OF_USER, (group, rows[-1][0]))
                ended = False
            else:
                ended = True
            stays = stays_of(rows, row.applied)
            found.extend((user, stay) for user in stays if (stay := current(stays[user])) is not None)
            if ended:
                break
            after = rows[-1][0]
        return found[:rows_max]

    async def groups_of(self, user: UserId, *, after: GroupId, rows_max: int) -> list[GroupId]:
        """Groups of which the user is a member, each looked at before it is told. Raises StoreAway."""
        self._driver.check()
        found: list[GroupId] = []
        while len(found) < rows_max:
            limit = min(rows_max - len(found), _LISTED_PER_READ_MAX)
            listed = [row[0] for row in await self._driver.read(_LISTED, (user, after, limit))]
            views = await asyncio.gather(*(self.view(group, user) for group in listed))
            for group, view in zip(listed, views, strict=True):
                if view is not None and current(view.memberships) is not None:
                    found.append(group)
            if len(listed) < limit:
                break
            after = listed[-1]
        return found

    async def before_change(self, write: Write) -> None:
        """List the group for whoever the write makes a member, and bring on what is behind. Safe to repeat.

        Raises StoreAway or StoreUnknown.
        """
        if write.expected.seq:
            place = await self._log.place(write.group)
            if place is not None and (await self._group_row(write.group)).applied < place.row.changed:
                await self.state(write.group)
        await self._driver.write_all(self._listing(write.group, write.after, {user for user, _ in write.memberships}))

    async def after_change(self, write: Write, changed: int) -> None:
        """Bring the projections on to `changed`. Raises StoreAway or StoreUnknown; safe to repeat."""
        await self._put_stays(write.group, changed, list(write.memberships))
        await self._put_row(write.group, write.expected.epoch, _row_of(write.after, changed))
        await self._driver.write_all(self._unlisting(write.group, write.after, {user for user, _ in write.memberships}))

    async def _state(self, group: GroupId, user: UserId = "") -> tuple[GroupState, Place | None]:
        row = await self._group_row(group)
        # After the row: whatever stands at `applied` had its members written before it.
        place, rows = await asyncio.gather(self._log.place(group, user), self._driver.read(_STAYS, (group,)))
        if place is None:
            head = genesis_row(group, self._epoch).head(self._bucket_size)
            return empty_group(group, self._epoch, head.room), None
        state = GroupState(
            group=group,
            head=place.row.head(self._bucket_size),
            name=row.name,
            history_all=row.history_all,
            open=row.open,
            memberships=stays_of(rows, row.applied),
            members_count=row.members,
            owners_count=row.owners,
            time_ms=place.row.time_ms,
        )
        if row.applied < place.row.changed:
            state = await self._bring_on(state, row.applied, place.row)
        return state, place

    async def _bring_on(self, state: GroupState, applied: int, row: HeadRow) -> GroupState:
        """Fold the log from `applied` to the head's `changed`, and write what comes of it."""
        self.brought_on += 1
        group, seq = state.group, applied
        users: set[UserId] = set()
        while seq < row.changed:
            page = await self._log.forward(group, seq + 1, row.changed, FOLD_ENTRIES_MAX, FOLD_BYTES_MAX)
            for entry in page:
                if entry.kind != MESSAGE:
                    at = msgspec.structs.replace(state.head, seq=entry.seq - 1)
                    before = msgspec.structs.replace(state, head=at)
                    users.update(changed_memberships(before, entry))
                    state = fold(before, entry)
            seq = page[-1].seq
        state = msgspec.structs.replace(state, head=row.head(self._bucket_size), time_ms=row.time_ms)
        stays = [(user, stay) for user in users for stay in state.memberships[user]]
        try:
            await self._put_stays(group, row.changed, stays)
            await self._driver.write_all(self._listing(group, state, users))
            await self._put_row(group, row.epoch, _row_of(state, row.changed))
            await self._driver.write_all(self._unlisting(group, state, users))
        except StoreUnknown:
            # What was folded is right all the same, and whoever loads the group next brings it on.
            _log.warning("projections stay behind their log", extra={"group": group})
        return state

    async def _group_row(self, group: GroupId) -> GroupRow:
        rows = await self._driver.read(_GROUP, (group,))
        row = _NOTHING if not rows or rows[0][0] is None else GroupRow(*rows[0])
        self._remember(group, row)
        return row

    async def _put_stays(self, group: GroupId, seq: int, stays: list[tuple[UserId, Membership]]) -> None:
        rows = [(_PUT_STAY, (group, user, stay.join, seq, stay.end, stay.role)) for user, stay in stays]
        await self._driver.write_all(rows)

    async def _put_row(self, group: GroupId, epoch: int, row: GroupRow) -> None:
        at = timestamp(epoch, row.applied, self._epoch)
        await self._driver.write(_PUT_GROUP, (group, *msgspec.structs.astuple(row), at))
        self._remember(group, row)

    def _remember(self, group: GroupId, row: GroupRow) -> None:
        held = self._rows.get(group)
        if held is None or held.applied < row.applied:
            self._rows[group] = row
        self._rows.move_to_end(group)
        if len(self._rows) > GROUPS_KNOWN_MAX:
            self._rows.popitem(last=False)

    def _listing(self, group: GroupId, after: GroupState, users: set[UserId]) -> list[Statement]:
        at = timestamp(after.head.epoch, after.head.seq, self._epoch)
        return [(_LIST, (user, group, at)) for user in users if after.membership(user) is not None]

    def _unlisting(self, group: GroupId, after: GroupState, users: set[UserId]) -> list[Statement]:
        at = timestamp(after.head.epoch, after.head.seq, self._epoch)
        return [(_UNLIST, (at, user, group)) for user in users if after.membership(user) is None]


def _row_of(state: GroupState, changed: int) -> GroupRow:
    return GroupRow(changed, state.name, state.history_all, state.open, state.members_count, state.owners_count)
