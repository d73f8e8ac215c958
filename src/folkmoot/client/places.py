"""Where the client stands in each group, and the rules by which an event moves it: every entry once, in order."""

from collections.abc import Iterable, Mapping
from typing import Final

from folkmoot.client.kept import KeptPlace
from folkmoot.client.received import Hidden, Item, last_of_each_group, received_of
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.ids import GroupId, UserId
from folkmoot.protocol import events as ev

INBOX_BYTES_MAX: Final = 67_108_864
"""Of frames that the application has not taken. Beyond it, as beyond the number of entries, entries are dropped where
they arrive and asked for again once there is room: an application that is slow, or only sends, costs no memory."""

UNANSWERED_S_MAX: Final = 30.0
"""A place that was asked for and is not continued for this long: the connection is made anew."""


class Place:
    """One group: the last entry received and what is known of the user's standing."""

    __slots__ = ("asked", "doubted", "live", "name", "position", "role", "seq", "starved")

    def __init__(self, position: str, seq: int, name: str = "", role: str = "") -> None:
        self.position = position
        self.seq = seq
        self.name = name
        self.role = role
        # A resume of it is under way, and nothing has been heard of it since.
        self.asked = False
        # The group was asked for, with no position, before this place began: that may yet be answered with nothing, or
        # with a later membership than the one that this place is in.
        self.doubted = False
        # All that was missed has come, on this connection.
        self.live = False
        # Entries were dropped for want of room.
        self.starved = False


class Places:
    """All groups of the client. Nothing is buffered out of order: what is not the next is dropped and asked for."""

    def __init__(self, kept: Mapping[GroupId, KeptPlace], *, entries_max: int) -> None:
        self.user: UserId = ""
        self.inbox: list[Item] = []
        self.asks: list[GroupId] = []
        self.received = 0
        self.duplicates = 0
        self.gaps = 0
        self.overflowed = 0
        # A catch-up lost entries for want of room: the server waits for acknowledgements that will never come.
        self.needs_new_link = False
        self._entries_max = entries_max
        self._bytes = 0
        self._places = {group: Place(k.position, k.seq, k.name, k.role) for group, k in kept.items()}
        self._joins = {group: k.join for group, k in kept.items() if k.join}
        # Groups to be asked for again, being asked for, and since when: dropped until they continue.
        self._gaps: dict[GroupId, float] = {}
        # Groups that entries were dropped of for want of room, and whether they were live then.
        self._starved: dict[GroupId, bool] = {}
        # Where the last membership ended, on this connection.
        self._ends: dict[GroupId, int] = {}

    def get(self, group: GroupId) -> Place | None:
        return self._places.get(group)

    def groups(self) -> list[GroupId]:
        return list(self._places)

    def join_of(self, group: GroupId) -> int | None:
        """The number of the user's lasting join, None where none is known."""
        return self._joins.get(group) or None

    def joined_at(self, group: GroupId, seq: int) -> None:
        """The user's own request to join, or to make the group, is entry `seq`."""
        if seq > self._joins.get(group, 0):
            self._joins[group] = seq

    # A connection's life.

    def connected(self) -> list[GroupId]:
        """The groups whose positions are to be given: all of them."""
        for place in self._places.values():
            place.asked, place.doubted, place.live, place.starved = True, False, False, False
        self.needs_new_link = False
        self._gaps.clear()
        self._starved.clear()
        self._ends.clear()
        self.asks.clear()
        return list(self._places)

    def position_of(self, group: GroupId) -> str:
        """What a resume says of the group: its position, "" for none."""
        place = self._places.get(group)
        return "" if place is None else place.position

    def is_stuck(self, now_s: float) -> bool:
        """Whether something that was asked for has not come for too long."""
        return any(now_s >= asked_s + UNANSWERED_S_MAX for asked_s in self._gaps.values())

    def stuck_at(self) -> float | None:
        """When the first of what was asked for is overdue."""
        return min(self._gaps.values()) + UNANSWERED_S_MAX if self._gaps else None

    # Events, in the order in which they come.

    def entry(self, event: ev.EntryEvent, size_bytes: int, now_s: float) -> bool:
        """Take the entry if it is the next of its group, drop it if it is had, ask if there is a gap before it.

        Whether it is had: the server then believes this client to be further back than it is.
        """
        group, seq = event.group, event.seq
        place = self._places.get(group)
        if place is None:
            self._lacks(group, now_s)
            return False
        if seq != place.seq + 1:
            if seq <= place.seq:
                self.duplicates += 1
                return True
            if not place.starved:
                self._lacks(group, now_s)
            return False
        if len(self.inbox) >= self._entries_max or self._bytes >= INBOX_BYTES_MAX:
            self._starve(group, place)
            return False
        self._bytes += size_bytes
        self.received += 1
        place.seq = seq
        place.position = event.position
        if place.asked:
            place.asked = False
        if self._gaps:
            self._gaps.pop(group, None)
        if event.kind == kinds.MESSAGE:
            self.inbox.append(received_of(event))
        elif event.kind in kinds.KINDS:
            self.inbox.append(received_of(event))
            self._learn(place, event)
        else:
            self.inbox.append(Hidden(group, seq, event.position))
        return False

    def joined(self, event: ev.JoinedEvent, now_s: float) -> None:
        """A membership starts: the only place where a position skips."""
        group = event.group
        place = self._places.get(group)
        if place is None:
            if event.seq < self._ends.get(group, 0):
                return  # Of a membership whose end was heard before.
            place = self._begun(event)
        elif event.seq > place.seq:
            if group in self._gaps or place.starved:
                return  # Said before the gap was known of: what it skips is still to come, and it will be said again.
            if place.doubted:
                place.doubted = False
                self._lacks(group, now_s, again=True)
                return
            place.position, place.seq = event.position, event.seq
        self.joined_at(group, event.join)
        place.name, place.role = event.name, event.role
        self._answered(group, place)
        self._tell(event, place)

    def snapshot(self, event: ev.Snapshot) -> None:
        """A group as it is: the client's duty in it begins here, unless it has a place there already."""
        group = event.group
        place = self._places.get(group)
        if place is None:
            place = self._begun(event)
            self._answered(group, place)
        place.name, place.role = event.name, event.role
        if event.join:
            self.joined_at(group, event.join)
        self._tell(event, place)

    def recovered(self, event: ev.Recovered, now_s: float) -> None:
        place = self._places.get(event.group)
        if place is None or place.starved:
            return
        if event.seq > place.seq:
            # Of a gap that is asked for already it may speak too early: a second answer would begin as the first.
            self._lacks(event.group, now_s)
            return
        self._answered(event.group, place)
        place.live = True
        self._tell(event, place)

    def reset(self, event: ev.Reset) -> None:
        """The position is not one of this log: forget the place; a snapshot follows."""
        self._forget(event.group)
        self._ends.pop(event.group, None)
        self._joins.pop(event.group, None)
        self.inbox.append(event)

    def ended(self, event: ev.Ended, now_s: float) -> None:
        """The membership is over. Where entries of it lack, they are asked for, and this will be said again."""
        place = self._places.get(event.group)
        if place is None or event.seq < place.seq:
            return  # Of a membership whose end was heard before.
        if event.seq > place.seq:
            if not place.starved:
                self._lacks(event.group, now_s)
            return
        self._forget(event.group)
        self._ends[event.group] = event.seq
        if self._joins.get(event.group, 0) <= event.seq:
            self._joins.pop(event.group, None)
        self.inbox.append(event)

    def nothing_there(self, group: GroupId, now_s: float) -> bool:
        """A resume was answered with `no_such_group`: True if it was one that is waited for.

        Where it may be of a resume without a position, sent before this place began, what is after that is asked for.
        """
        place = self._places.get(group)
        if place is None:
            return self._gaps.pop(group, None) is not None
        if place.doubted:
            place.doubted = False
            self._lacks(group, now_s, again=True)
            return False
        if not place.asked:
            return False
        self._forget(group)
        self._joins.pop(group, None)
        # Its end was said on a connection that broke before it was heard: the application hears it now.
        self.inbox.append(ev.Ended(group=group, seq=place.seq))
        return True

    def expect(self, group: GroupId, now_s: float) -> None:
        """The server is about to tell of the group: nobody need ask."""
        self._gaps.setdefault(group, now_s)

    def look_for(self, group: GroupId, now_s: float) -> None:
        """Ask for a group that is not known of here, once until there is an answer: the user may be a member of it."""
        if group not in self._places and group not in self._gaps:
            self._gaps[group] = now_s
            self.asks.append(group)

    # The application's side.

    def take(self, now_s: float) -> list[Item]:
        """All that has come in, and room for more."""
        items, self.inbox, self._bytes = self.inbox, [], 0
        if self._starved:
            for group, was_live in self._starved.items():
                place = self._places.get(group)
                if place is not None and place.starved:
                    place.starved = False
                    self._lacks(group, now_s, again=True)
                    self.needs_new_link |= not was_live
            self._starved.clear()
        return items

    def kept_after(self, items: Iterable[Item]) -> dict[GroupId, KeptPlace | None]:
        """The places as they are to be kept once the application has `items`."""
        kept: dict[GroupId, KeptPlace | None] = {}
        for group, item in last_of_each_group(items).items():
            if isinstance(item, ev.Ended | ev.Reset):
                kept[group] = None
                continue
            place = self._places.get(group)
            kept[group] = KeptPlace(
                position=item.position,
                seq=item.seq,
                join=self._joins.get(group, 0),
                name="" if place is None else place.name,
                role="" if place is None else place.role,
            )
        return kept

    # Inside.

    def _begun(self, event: ev.JoinedEvent | ev.Snapshot) -> Place:
        place = self._places[event.group] = Place(event.position, event.seq)
        place.doubted = event.group in self._gaps
        return place

    def _lacks(self, group: GroupId, now_s: float, *, again: bool = False) -> None:
        """Ask once; what comes of the group is dropped until it continues."""
        if group in self._gaps and not again:
            return
        if group not in self._gaps:
            self.gaps += 1
        self._gaps[group] = now_s
        self.asks.append(group)
        place = self._places.get(group)
        if place is not None:
            place.asked, place.live = True, False

    def _starve(self, group: GroupId, place: Place) -> None:
        self.overflowed += 1
        self._starved[group] = place.live
        place.starved, place.live = True, False

    def _answered(self, group: GroupId, place: Place) -> None:
        place.asked = False
        self._gaps.pop(group, None)

    def _tell(self, event: ev.JoinedEvent | ev.Snapshot | ev.Recovered, place: Place) -> None:
        # One that speaks of an earlier place would, once kept, bring entries a second time.
        if event.seq == place.seq:
            self.inbox.append(event)

    def _forget(self, group: GroupId) -> None:
        self._places.pop(group, None)
        self._gaps.pop(group, None)
        self._starved.pop(group, None)

    def _learn(self, place: Place, event: ev.EntryEvent) -> None:
        """What an entry other than a message says of the group's name and of the user's own membership."""
        try:
            body = bodies.parse_body(event.kind, bytes(event.body))
        except bodies.BodyInvalid:
            return  # Erased, or of a newer version.
        group, seq, user = event.group, event.seq, self.user
        match body:
            case bodies.Created(name=name, members=members):
                place.name = name
                if user == event.sender or user in members:
                    self.joined_at(group, seq)
                    place.role = "owner" if user == event.sender else "member"
            case bodies.Renamed(name=name):
                place.name = name
            case bodies.Joined() if user == event.sender:
                self.joined_at(group, seq)
                place.role = "member"
            case bodies.Added(users=users) if user in users and not self._joins.get(group):
                self.joined_at(group, seq)
                place.role = "member"
            case bodies.Deleted():
                self._left(group, place, seq)
            case bodies.Left() if user == event.sender:
                self._left(group, place, seq)
            case bodies.Removed(user=removed) if user == removed:
                self._left(group, place, seq)
            case bodies.RoleChanged(user=changed, role=role) if user == changed:
                place.role = role
            case _:
                pass

    def _left(self, group: GroupId, place: Place, seq: int) -> None:
        if self._joins.get(group, 0) <= seq:
            self._joins.pop(group, None)
            place.role = ""
