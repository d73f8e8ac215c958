"""The store in memory: every promise of the port, kept in the plainest way, for others to be compared with."""

import bisect
from collections.abc import Iterable, Sequence

import msgspec

from folkmoot.backends.memory.disk import Disk
from folkmoot.model.entry import MESSAGE, Entry, genesis
from folkmoot.model.group import GroupState, Head, empty_group
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, Span, current
from folkmoot.model.send import Appended, Outcome, Refused, SendKey
from folkmoot.ports.store import Conflict, GroupView, Mark, MovedPointer, StoreAway, StoreFull, Write


class _Group:
    def __init__(self, state: GroupState) -> None:
        self.state = state
        self.entries: list[Entry] = []
        self.outcomes: dict[SendKey, Outcome] = {}


class MemoryStore:
    """Groups by id, rebuilt from the disk's records at the start. Buckets hold `bucket_size` entries."""

    def __init__(self, disk: Disk, *, bucket_size: int = 1_000) -> None:
        self._disk = disk
        self._bucket_size = bucket_size
        self._groups: dict[GroupId, _Group] = {}
        self._groups_of: dict[UserId, list[GroupId]] = {}
        self._pointers: dict[tuple[GroupId, UserId], tuple[int, int]] = {}
        self._closed = False
        for record in disk.records:
            if isinstance(record, Write):
                self._apply(record)
            else:
                self._raise_pointer(record)

    async def epoch(self) -> int:
        self._check()
        return self._disk.epoch

    async def state(self, group: GroupId) -> GroupState:
        self._check()
        held = self._groups.get(group)
        return held.state if held is not None else self._empty(group)

    async def head(self, group: GroupId) -> Head | None:
        self._check()
        held = self._groups.get(group)
        return held.state.head if held is not None and held.entries else None

    async def heads(self, groups: Sequence[GroupId]) -> dict[GroupId, Head]:
        self._check()
        return {g: held.state.head for g in groups if (held := self._groups.get(g)) is not None and held.entries}

    async def last_times(self, groups: Sequence[GroupId]) -> dict[GroupId, int]:
        self._check()
        return {
            g: held.entries[-1].time_ms for g in groups if (held := self._groups.get(g)) is not None and held.entries
        }

    async def view(self, group: GroupId, user: UserId) -> GroupView | None:
        self._check()
        held = self._groups.get(group)
        if held is None or not held.entries:
            return None
        state = held.state
        return GroupView(
            group=group,
            head=state.head,
            name=state.name,
            history_all=state.history_all,
            open=state.open,
            members_count=state.members_count,
            memberships=state.memberships.get(user, ()),
            read=self._pointers.get((group, user), (0, 0))[1],
        )

    async def append(self, write: Write) -> Head:
        self._check()
        write.check()
        held = self._groups.get(write.group)
        head = held.state.head if held is not None else self._empty(write.group).head
        if (head.epoch, head.writes) != (write.expected.epoch, write.expected.writes):
            raise Conflict(write.group)
        known = held.outcomes if held is not None else {}
        keys = [(e.sender, e.send_id) for e in write.entries] + list(write.refusals)
        if any(key in known for key in keys) or len(set(keys)) != len(keys):
            raise Conflict(write.group)
        if self._disk.full and not write.reserve:
            raise StoreFull(write.group)
        self._disk.sync(write)
        return self._apply(write)

    async def outcomes(self, group: GroupId, keys: Iterable[SendKey]) -> dict[SendKey, Outcome]:
        self._check()
        held = self._groups.get(group)
        known = held.outcomes if held is not None else {}
        return {key: known[key] for key in keys if key in known}

    async def mark(self, group: GroupId, seq: int) -> Mark | None:
        self._check()
        held = self._groups.get(group)
        if held is None or not held.entries or not 0 <= seq <= len(held.entries):
            return None
        if seq == 0:
            return Mark(held.entries[0].epoch, genesis(group), 0)
        entry = held.entries[seq - 1]
        return Mark(entry.epoch, entry.hash, entry.messages)

    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        self._check()
        entries, first, last = self._cut(group, span)
        return _bounded((entries[seq - 1] for seq in range(first, last + 1)), entries_max, bytes_max)

    async def read_back(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        self._check()
        entries, first, last = self._cut(group, span)
        return _bounded((entries[seq - 1] for seq in range(last, first - 1, -1)), entries_max, bytes_max)[::-1]

    async def groups_of(self, user: UserId, *, after: GroupId, rows_max: int) -> list[GroupId]:
        self._check()
        groups = self._groups_of.get(user, [])
        return groups[(start := bisect.bisect_right(groups, after)) : start + max(0, rows_max)]

    async def members(self, group: GroupId, *, after: UserId, rows_max: int) -> list[tuple[UserId, Membership]]:
        self._check()
        held = self._groups.get(group)
        stays = held.state.memberships if held is not None else {}
        rows = [(user, last) for user in sorted(stays) if user > after and (last := current(stays[user])) is not None]
        return rows[: max(0, rows_max)]

    async def move_pointers(self, pointers: Sequence[MovedPointer]) -> None:
        self._check()
        if self._disk.full:
            raise StoreFull
        self._disk.sync(*pointers)
        for pointer in pointers:
            self._raise_pointer(pointer)

    async def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed or self._disk.away:
            raise StoreAway

    def _empty(self, group: GroupId) -> GroupState:
        return empty_group(group, self._disk.epoch, self._bucket_size)

    def _apply(self, write: Write) -> Head:
        held = self._groups.get(write.group)
        if held is None:
            held = self._groups[write.group] = _Group(self._empty(write.group))
        held.entries.extend(write.entries)
        head = msgspec.structs.replace(
            write.after.head,
            epoch=self._disk.epoch,
            writes=write.expected.writes + 1,
            room=self._bucket_size - write.after.head.seq % self._bucket_size,
        )
        held.state = msgspec.structs.replace(write.after, head=head)
        for entry in write.entries:
            held.outcomes[(entry.sender, entry.send_id)] = Appended(entry.seq, entry.kind, entry.digest, entry.salt)
            if entry.kind == MESSAGE:
                self._raise_pointer(MovedPointer(write.group, entry.sender, entry.epoch, entry.seq))
        for key, code in write.refusals.items():
            held.outcomes[key] = Refused(code)
        for user, _ in write.memberships:
            self._list_group(user, write.group, listed=held.state.membership(user) is not None)
        return head

    def _list_group(self, user: UserId, group: GroupId, *, listed: bool) -> None:
        groups = self._groups_of.setdefault(user, [])
        at = bisect.bisect_left(groups, group)
        there = at < len(groups) and groups[at] == group
        if listed and not there:
            groups.insert(at, group)
        elif there and not listed:
            del groups[at]

    def _raise_pointer(self, pointer: MovedPointer) -> None:
        key = (pointer.group, pointer.user)
        if pointer.group not in self._groups:
            return
        self._pointers[key] = max(self._pointers.get(key, (0, 0)), (pointer.epoch, pointer.seq))

    def _cut(self, group: GroupId, span: Span) -> tuple[list[Entry], int, int]:
        """The group's log, and the first and the last number of it that `span` holds."""
        held = self._groups.get(group)
        entries = held.entries if held is not None else []
        last = len(entries) if span.last is None else min(span.last, len(entries))
        return entries, max(1, span.first), last


def _bounded(entries: Iterable[Entry], entries_max: int, bytes_max: int) -> list[Entry]:
    """The first of `entries` up to either bound, but one at least."""
    taken: list[Entry] = []
    size_bytes = 0
    for entry in entries:
        size_bytes += len(entry.body or b"")
        if taken and (size_bytes > bytes_max or len(taken) >= entries_max):
            break
        taken.append(entry)
    return taken
