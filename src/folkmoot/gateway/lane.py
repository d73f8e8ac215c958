"""Lanes: the members of a group who get the same bytes, and the one loop that writes a frame to all of them.

Everyone in a lane stands at the feed's position, so an entry costs one step for all: below Python, by descriptor, where
`folkmoot.gateway._volley` could be built and the sockets are plain; else one call of the transport a member. Where the
system has io_uring and allows it, that is one call of the kernel for up to 256 members, and without it one for each.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.slots import SHUT, SLOTS
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.position import Position

Volley = Callable[["array[int]", "array[int]", bytes], Sequence[tuple[int, int]]]

volley: Volley | None
together: Callable[[bool], bool] | None
try:
    from folkmoot.gateway._volley import together, volley
except ImportError:
    volley = together = None


class Member(Protocol):
    """A connection on a feed."""

    outlet: Outlet
    user: UserId

    def removed(self, group: GroupId, seq: int) -> None:
        """The user's membership ended with `seq`, which has been written; the feed has let go."""

    def feed_ended(self, group: GroupId, position: Position) -> None:
        """The feed broke at `position` and has let go."""


class Lane:
    """Members written to by their transports. A write neither adds nor removes anyone while it goes on."""

    __slots__ = ("_index", "_writes", "codec", "frame", "members")

    def __init__(self, outlet: Outlet) -> None:
        self.codec = outlet.codec
        self.frame = outlet.frame
        self.members: list[Member] = []
        self._index: dict[Member, int] = {}
        # Bound methods and nothing else, so that the loop is one call a member.
        self._writes: list[Callable[[bytes], None]] = []

    def add(self, member: Member) -> None:
        self._index[member] = len(self.members)
        self.members.append(member)
        self._writes.append(member.outlet.write)

    def remove(self, member: Member) -> bool:
        """Whether it was there."""
        at = self._index.pop(member, None)
        if at is None:
            return False
        last_member, last_write = self.members.pop(), self._writes.pop()
        if last_member is not member:
            self.members[at], self._writes[at] = last_member, last_write
            self._index[last_member] = at
        return True

    def write(self, frame: bytes) -> int:
        """Write to everyone: how many writes failed, of sockets that are going away and are told so themselves."""
        errors = 0
        for write in self._writes:
            try:
                write(frame)
            except Exception:
                # The others must not miss the entry.
                errors += 1
        return errors

    def close(self) -> Sequence[Member]:
        """Let go of everyone, who are returned."""
        return self.members


class DirectLane:
    """Members written to by their descriptors, each by its transport only where it does not take all at once."""

    __slots__ = ("_index", "_slots", "_volley", "codec", "frame", "members")

    def __init__(self, outlet: Outlet, volley: Volley) -> None:
        self.codec = outlet.codec
        self.frame = outlet.frame
        self.members: list[Member] = []
        self._index: dict[Member, int] = {}
        self._slots = array("i")
        self._volley = volley

    def add(self, member: Member) -> None:
        slot = member.outlet.slot
        SLOTS.hold(slot)
        self._index[member] = len(self.members)
        self.members.append(member)
        self._slots.append(slot)

    def remove(self, member: Member) -> bool:
        """Whether it was there."""
        at = self._index.pop(member, None)
        if at is None:
            return False
        SLOTS.let_go(self._slots[at])
        last_member, last_slot = self.members.pop(), self._slots.pop()
        if last_member is not member:
            self.members[at], self._slots[at] = last_member, last_slot
            self._index[last_member] = at
        return True

    def write(self, frame: bytes) -> int:
        """Write to everyone: how many writes failed, of sockets that are going away and are told so themselves."""
        errors = 0
        for at, sent in self._volley(SLOTS.fds, self._slots, frame):
            try:
                # The transport holds what is left over, and its slot is shut from there on, until it has drained.
                self.members[at].outlet.write(frame[sent:])
            except Exception:
                errors += 1
        return errors

    def close(self) -> Sequence[Member]:
        """Let go of everyone, who are returned."""
        for slot in self._slots:
            SLOTS.let_go(slot)
        self._slots = array("i")
        return self.members


AnyLane = Lane | DirectLane


def lane_for(outlet: Outlet) -> AnyLane:
    """An empty lane for all outlets of the same wire."""
    if outlet.slot == SHUT:
        return Lane(outlet)
    assert volley is not None, "a slot is taken only where there is something to write by it"
    return DirectLane(outlet, volley)


IS_NATIVE: Final = volley is not None
"""Whether descriptors can be written to at all."""


def write_together(wanted: bool) -> bool:
    """Have a frame for many handed to the kernel in one call if that is `wanted`; whether it is from now on."""
    return together is not None and together(wanted)
