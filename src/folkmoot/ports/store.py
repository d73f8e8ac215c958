"""The store port: durable logs of groups, what is projected from them, and read pointers."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from folkmoot.model.entry import Entry
from folkmoot.model.group import GroupState, Head
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, Span
from folkmoot.model.send import Outcome, SendKey


class Conflict(Exception):
    """Definite: nothing was written, since the group's (epoch, writes) is no longer the expected one."""


class StoreFull(Exception):
    """Definite: nothing was written, for want of room."""


class StoreUnknown(Exception):
    """Indefinite: the write may have happened. What a later read shows settles it (DESIGN: time-outs)."""


class StoreAway(Exception):
    """Definite: nothing was read or written, the store cannot be used now."""


class SchemaUnknown(Exception):
    """The store was made by a newer program, or is not one of ours. Nothing was touched."""


class StoreBroken(Exception):
    """What the store holds contradicts itself. It is not served from until someone has looked."""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One conditional write: what was decided on one state of a group.

    `expected` is the head of the state that decided it; `after` the fold of that state and `entries` (equal to the
    state where there are none); `memberships` what the entries changed, as it is after them; `outcomes` the refusals,
    the appended ones being told by the entries themselves. `reserve`: the room kept for refusals may be used.
    """

    group: GroupId
    expected: Head
    entries: Sequence[Entry]
    refusals: Mapping[SendKey, str]
    after: GroupState
    memberships: Sequence[tuple[UserId, Membership]]
    reserve: bool = False

    def check(self) -> None:
        """Raise ValueError where the write contradicts itself.

        Its entries follow `expected` one by one and within its room, and `after` stands where they end.
        """
        seq = self.expected.seq
        for entry in self.entries:
            seq += 1
            if entry.seq != seq or entry.group != self.group:
                raise ValueError(f"entry {entry.seq} of {entry.group} stands where {seq} of {self.group} belongs")
        if len(self.entries) > self.expected.room:
            raise ValueError(f"{len(self.entries)} entries, where there is room for {self.expected.room}")
        if self.after.head.seq != seq or self.after.group != self.group:
            raise ValueError(f"the state after it stands at {self.after.head.seq}, its entries end at {seq}")


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """One consistent look at a group through one user's eyes: the head, and all that user's memberships at it."""

    group: GroupId
    head: Head
    name: str
    history_all: bool
    open: bool
    members_count: int
    memberships: tuple[Membership, ...]
    read: int


class Mark(msgspec.Struct, frozen=True):
    """What the log holds at one seq: its epoch, the hash there and the count of messages up to it."""

    epoch: int
    hash: bytes
    messages: int


class MovedPointer(msgspec.Struct, frozen=True, order=True):
    """A read pointer of `user` in `group`, at (epoch, seq)."""

    group: GroupId
    user: UserId
    epoch: int
    seq: int


class Store(Protocol):
    """Durable, ordered histories of groups.

    Promises, which `testing.store_suite` checks for every backend:

    - `append` returns only after what it wrote survives a crash of this process, of the machine, and of any minority
      of store nodes;
    - an append is all or nothing, and happens only if the group's (epoch, writes) is the expected one; every append
      that happens raises `writes` by one, refusals alone too;
    - a group's numbers rise by exactly one from 1, with no gap, whoever appends and however many do;
    - a send key that has an outcome keeps it for as long as the group exists: an append that would give it another
      raises Conflict;
    - whatever a read shows has been durable before it is shown;
    - a view, a state and a head are each of one moment, never older than what was returned before to the same caller;
    - a page ends at its limits, counting the bytes of bodies; it is never empty where there is more to read, and never
      has a gap;
    - read pointers never go back, and the sender of an appended message has read up to it;
    - an error says whether the write happened: Conflict, StoreFull and StoreAway say no, StoreUnknown nobody knows.
    """

    async def epoch(self) -> int:
        """The life of this store: raised by a restore, never otherwise."""

    async def state(self, group: GroupId) -> GroupState:
        """The group's whole state at its head; `empty_group` where it does not exist. Raises StoreAway."""

    async def head(self, group: GroupId) -> Head | None:
        """The group's head, None where it does not exist. Raises StoreAway."""

    async def heads(self, groups: Sequence[GroupId]) -> dict[GroupId, Head]:
        """The heads of those of `groups` (at most 1,000) that exist. Raises StoreAway."""

    async def last_times(self, groups: Sequence[GroupId]) -> dict[GroupId, int]:
        """When (`time_ms`) the entry at the head was appended, of those of `groups` (at most 1,000) that exist.

        Raises StoreAway.
        """

    async def view(self, group: GroupId, user: UserId) -> GroupView | None:
        """The group as `user` may be told of it, None where it does not exist. Raises StoreAway."""

    def append(self, write: Write) -> Awaitable[Head]:
        """What becomes the head after the write. Raises Conflict, StoreFull, StoreAway (nothing happened) or
        StoreUnknown.

        Raises ValueError where `write.check` does: nothing happened.
        """

    async def outcomes(self, group: GroupId, keys: Iterable[SendKey]) -> dict[SendKey, Outcome]:
        """The outcomes of those of `keys` that have one. Raises StoreAway."""

    async def mark(self, group: GroupId, seq: int) -> Mark | None:
        """What stands at `seq` (0: before the first entry), None past the head or in no group. Raises StoreAway."""

    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        """The first entries of `span`, in rising order, up to either bound but one at least. Raises StoreAway."""

    async def read_back(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        """The last entries of `span`, in rising order, up to either bound but one at least. Raises StoreAway."""

    async def groups_of(self, user: UserId, *, after: GroupId, rows_max: int) -> list[GroupId]:
        """The groups of which `user` is a member, by id. Raises StoreAway."""

    async def members(self, group: GroupId, *, after: UserId, rows_max: int) -> list[tuple[UserId, Membership]]:
        """Lasting memberships of the group, by user. Raises StoreAway."""

    async def move_pointers(self, pointers: Sequence[MovedPointer]) -> None:
        """Raise those read pointers that are behind; of a group that does not exist none is kept.

        Raises StoreFull, StoreAway or StoreUnknown; safe to repeat. Without pointers it says whether writes go.
        """

    async def close(self) -> None:
        """Finish what was begun and let go. Whatever is asked afterwards, but to close again, raises StoreAway."""
