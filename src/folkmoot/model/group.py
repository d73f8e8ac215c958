"""A group's state at one entry of its log: all that a decision about the next entry may rest on."""

from collections.abc import Mapping

import msgspec

from folkmoot.model.entry import genesis
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, current
from folkmoot.model.position import Position, position_at


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a group's log ends.

    `writes` counts the conditional writes and, with `epoch`, is what the next one is conditional on. `room` is how many
    entries that write may hold: never 0, since a store opens its next bucket before it shows a head.
    """

    epoch: int
    writes: int
    seq: int
    hash: bytes
    messages: int
    room: int

    @property
    def position(self) -> Position:
        return position_at(self.epoch, self.seq, self.hash)


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    """The fold of a group's entries up to `head.seq`. Never changed in place: a fold makes the next.

    `memberships` holds every stay of everyone, oldest first; the group does not exist while `head.seq` is 0. `time_ms`
    is the last entry's: the next one's is not below it, so that a date can be looked for by halves.
    """

    group: GroupId
    head: Head
    name: str
    history_all: bool
    open: bool
    memberships: Mapping[UserId, tuple[Membership, ...]]
    members_count: int
    owners_count: int
    time_ms: int = 0

    def membership(self, user: UserId) -> Membership | None:
        """The user's lasting membership, or None."""
        return current(self.memberships.get(user, ()))


def empty_group(group: GroupId, epoch: int, room: int) -> GroupState:
    """A group before its first entry."""
    head = Head(epoch=epoch, writes=0, seq=0, hash=genesis(group), messages=0, room=room)
    return GroupState(
        group=group,
        head=head,
        name="",
        history_all=False,
        open=False,
        memberships={},
        members_count=0,
        owners_count=0,
    )
