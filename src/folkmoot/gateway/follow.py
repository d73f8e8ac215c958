"""Bringing one connection's groups up to their feeds: positions judged, pages sent at its pace, then joined."""

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from folkmoot.gateway.feed import FeedEnded
from folkmoot.model.entry import Entry
from folkmoot.model.fold import begins_for, ends_for
from folkmoot.model.ids import GroupId
from folkmoot.model.membership import Span, current, span_after, span_of
from folkmoot.model.position import MARK_BYTES, Position, Standing, judge, position_at
from folkmoot.ports.store import GroupView, StoreAway
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import entry_event
from folkmoot.protocol.limits import LIST_ROWS_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX

if TYPE_CHECKING:
    from folkmoot.gateway.connection import Connection

RETRY_S: Final = 0.2
RETRY_S_MAX: Final = 5.0

WISHES_WAITING_MAX: Final = 10_000
"""Groups waiting to be brought up, of one connection. One more that the client names is answered `too_many`; one that
its user was added to is left to the next sweep. Those that it was live in wait beside them: there are no more of these
than there were."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A group to be brought up: from `position`, or where there is none from the head or the join (`fresh`).

    `asked`: the client named the group, and is told where there is nothing. `slow`: it fell behind a feed. `named`: the
    client says it now, and what it said of the group before no longer counts.
    """

    group: GroupId
    position: Position | None = None
    fresh: str = "head"
    asked: bool = True
    slow: bool = False
    named: bool = False

    @property
    def is_placed(self) -> bool:
        """Whether it says where the connection stands, be it nowhere."""
        return self.named or self.position is not None


class Others(msgspec.Struct, frozen=True):
    """All groups of the user that the connection does not follow yet; then `resumed`."""

    fresh: str


class Place:
    """Where a connection stands in a group that it is catching up with."""

    __slots__ = ("acked", "epoch", "group", "join", "last", "mark", "seq", "told")

    def __init__(self, group: GroupId, position: Position, last: int | None, join: int = 0) -> None:
        self.group = group
        self.epoch = position.epoch
        self.seq = position.seq
        self.mark = position.mark
        self.last = last
        # The join that is still to come: 0 once it is passed. What is read stands on it being there.
        self.join = join
        self.acked = position.seq
        self.told = False


class Follower:
    """One connection's catching up: a queue of wishes, and one task while there are any.

    Of a group one wish waits at most. All that a wish does rests on what the store says once it is begun, so of two the
    one that says where the connection stands is enough: what the client said last, or else where a feed left it.
    """

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        # By group, that of the others by None, in the order in which they are begun. Only while there are any: hardly
        # any connection wishes for anything.
        self._wishes: OrderedDict[GroupId | None, Wish | Others] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stirred: asyncio.Event | None = None
        self.place: Place | None = None
        self._bringing: GroupId | None = None
        # The client has named again the group that is being brought up: that ends, and the new wish begins.
        self._superseded = False

    @property
    def waiting(self) -> int:
        return len(self._wishes or ())

    def want(self, wish: Wish | Others) -> bool:
        """Have it brought, after what waits. Whether that is so, or need not be; False where too many wait."""
        if isinstance(wish, Others):
            # Behind all that was asked for until now: `resumed` is said once that is done.
            self._put(None, wish)
            return True
        if wish.group == self._bringing and wish.named:
            # It may be waiting for an acknowledgement that never comes, since the client asks anew: so it goes first.
            self._superseded = True
            self._put(wish.group, wish, first=True)
            self.stir()
            return True
        if wish.group == self._bringing and wish.is_placed:
            # Of a feed that was about to be left, for the place that the client has named: that is where it stands.
            return True
        waits = self._waits_of(wish.group)
        if waits is not None and not wish.named and (waits.is_placed or not wish.is_placed):
            return True
        if waits is None and (wish.named or not wish.is_placed) and self.waiting >= WISHES_WAITING_MAX:
            return False
        self._put(wish.group, wish)
        return True

    def awaits(self, group: GroupId) -> bool:
        """Whether the group is being brought up, or waits for it."""
        return group == self._bringing or (self._wishes is not None and group in self._wishes)

    def stir(self) -> None:
        """Something that a catch-up may wait for has happened: an acknowledgement, or a drained buffer."""
        if self._stirred is not None:
            self._stirred.set()

    def acked(self, group: GroupId, seq: int) -> None:
        place = self.place
        if place is not None and place.group == group and seq > place.acked:
            place.acked = min(seq, place.seq)
            self.stir()

    def close(self) -> None:
        """Nothing more is brought. The connection is let go of, or the two would keep each other for ever."""
        self._wishes = None
        if self._task is None:
            del self._connection
        else:
            self._task.add_done_callback(self._let_go)
            self._task.cancel()

    def _let_go(self, _: asyncio.Task[None]) -> None:
        del self._connection

    def _waits_of(self, group: GroupId) -> Wish | None:
        """The wish of the group that waits."""
        waits = None if self._wishes is None else self._wishes.get(group)
        return waits if isinstance(waits, Wish) else None

    def _put(self, group: GroupId | None, wish: Wish | Others, *, first: bool = False) -> None:
        if self._wishes is None:
            self._wishes = OrderedDict()
        self._wishes[group] = wish
        self._wishes.move_to_end(group, last=not first)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._wishes:
                _, wish = self._wishes.popitem(last=False)
                if isinstance(wish, Others):
                    await self._bring_others(wish)
                elif wish.is_placed or wish.group not in self._connection.feeds:
                    await self._bring(wish)
        finally:
            self._task = None
            if not self._wishes:
                self._wishes = None

    async def _bring_others(self, wish: Others) -> None:
        connection = self._connection
        # Delivery knows the user to be here before the list is read: someone added after it is told of by a hint.
        await connection.gateway.presence.told(connection.user)
        after = ""
        while True:
            groups = await self._groups_after(after)
            for group in groups:
                if group not in connection.feeds:
                    waits = self._waits_of(group)
                    if waits is not None and self._wishes is not None:
                        del self._wishes[group]
                    # One that a feed has let go of since is none of the others: the connection stands somewhere in it.
                    placed = waits if waits is not None and waits.is_placed else None
                    await self._bring(placed or Wish(group=group, fresh=wish.fresh, asked=False))
            if len(groups) < LIST_ROWS_MAX:
                break
            after = groups[-1]
        connection.send(ev.ResumeDone(groups=len(connection.feeds)))

    async def _groups_after(self, after: GroupId) -> list[GroupId]:
        connection = self._connection
        wait_s = RETRY_S
        while True:
            try:
                return await connection.gateway.store.groups_of(connection.user, after=after, rows_max=LIST_ROWS_MAX)
            except StoreAway:
                await connection.gateway.clock.sleep(wait_s)
                wait_s = min(RETRY_S_MAX, wait_s * 2)

    async def _bring(self, wish: Wish) -> None:
        """Bring one group up, for as long as it takes: a store that is away, or a feed that ends, is tried again."""
        self._bringing, self._superseded = wish.group, False
        try:
            await self._bring_once_more(wish)
        finally:
            self._bringing, self.place = None, None
        self._connection.brought(wish.group)

    async def _bring_once_more(self, wish: Wish) -> None:
        wait_s = RETRY_S
        while not self._superseded:
            try:
                place = await self._begin(wish)
                if place is not None:
                    self.place = place
                    while not await self._advance(place, slow=wish.slow):
                        wait_s = RETRY_S
                return
            except StoreAway:
                await self._connection.gateway.clock.sleep(wait_s)
                wait_s = min(RETRY_S_MAX, wait_s * 2)
            except FeedEnded:
                await self._connection.gateway.clock.sleep(RETRY_S)
            if self.place is not None and self.place.group == wish.group:
                # What was sent stays sent: go on from there, judged anew. It is no longer where the client says it is:
                # that the group is over from there is told by `ended`, as it is where nothing broke.
                position = Position(0, self.place.seq, self.place.mark)
                wish = msgspec.structs.replace(wish, position=position, named=False)
                self.place = None

    async def _begin(self, wish: Wish) -> Place | None:
        """Where the connection stands in the group, said to it where it is new; None: nothing to bring."""
        await self._writable()
        connection = self._connection
        connection.leave_feed(wish.group)
        view = await connection.gateway.store.view(wish.group, connection.user)
        if view is None:
            return self._nothing(wish)
        if wish.position is None:
            return await self._begin_fresh(wish, view)
        span = span_after(view.memberships, wish.position.seq, history_all=view.history_all)
        if span is None:
            return self._nothing(wish)
        if await self._standing(wish) is not Standing.HOLDS:
            # Once more, from a quorum: a reset is never guessed.
            view = await connection.gateway.store.view(wish.group, connection.user)
            standing = await self._standing(wish)
            if standing is not Standing.HOLDS:
                return await self._reset(wish, view, standing)
            if view is None:
                return self._nothing(wish)
        if _begins_anew(view, span, wish.position.seq):
            return await self._join(view, span)
        return Place(wish.group, wish.position, span.last, _join_to_come(view, span, wish.position.seq))

    async def _begin_fresh(self, wish: Wish, view: GroupView) -> Place | None:
        membership = current(view.memberships)
        if membership is None:
            return self._nothing(wish)
        if wish.fresh == "join":
            return await self._join(view, Span(membership.join, None))
        self._connection.send(await self._snapshot(view))
        return Place(view.group, view.head.position, None)

    async def _standing(self, wish: Wish) -> Standing:
        assert wish.position is not None
        mark = await self._connection.gateway.store.mark(wish.group, wish.position.seq)
        return judge(wish.position, None if mark is None else mark.hash)

    async def _reset(self, wish: Wish, view: GroupView | None, standing: Standing) -> Place | None:
        if view is None or current(view.memberships) is None:
            return self._nothing(wish)
        connection = self._connection
        # All that has to be read is read before: whoever is told of the reset is told in that step what is instead.
        snapshot = await self._snapshot(view)
        connection.gateway.resets += 1
        connection.send(ev.Reset(group=wish.group, reason=standing.value))
        connection.send(snapshot)
        return Place(view.group, view.head.position, None)

    def _nothing(self, wish: Wish) -> Place | None:
        if wish.position is not None and not wish.named:
            # It was live here, and the store, set back, knows of no such membership: what the client has is over.
            self._connection.send(ev.Ended(group=wish.group, seq=wish.position.seq))
        elif wish.asked:
            self._connection.send(ev.Failed(code="no_such_group", ref=wish.group))
        return None

    async def _join(self, view: GroupView, span: Span) -> Place:
        """Say that a membership starts; the position skips to the number before its first entry."""
        joined, place = await self._joined(view, span)
        self._connection.send(joined)
        return place

    async def _joined(self, view: GroupView, span: Span) -> tuple[ev.JoinedEvent, Place]:
        """What is to be said of a membership that starts, and where it starts."""
        seq = span.first - 1
        mark = await self._connection.gateway.store.mark(view.group, seq)
        if mark is None:
            raise FeedEnded(view.group)
        position = position_at(mark.epoch, seq, mark.hash)
        membership = next(m for m in view.memberships if span.first in span_of(m, history_all=view.history_all))
        joined = ev.JoinedEvent(
            group=view.group,
            position=str(position),
            seq=seq,
            join=membership.join,
            name=view.name,
            role=membership.role,
        )
        return joined, Place(view.group, position, span.last, membership.join)

    async def _snapshot(self, view: GroupView) -> ev.Snapshot:
        membership = current(view.memberships)
        assert membership is not None
        return ev.Snapshot(
            group=view.group,
            position=str(view.head.position),
            seq=view.head.seq,
            name=view.name,
            join=membership.join,
            role=membership.role,
            members=view.members_count,
            messages=view.head.messages,
            unread=await self._connection.gateway.queries.unread_of(view, membership),
            read=view.read,
            history="all" if view.history_all else "join",
            entry="open" if view.open else "invite",
        )

    async def _advance(self, place: Place, *, slow: bool) -> bool:
        """One step: join the feed, or send one page. True once the group is live, or over."""
        connection = self._connection
        await self._writable()
        await self._window(place)
        if self._superseded:
            return True
        last = place.last
        if last is None:
            feed = await connection.gateway.feeds.open(place.group)
            if feed.seq < max(place.seq, place.join):
                await feed.bring_to(max(place.seq, place.join))
                return False
            if feed.seq == place.seq:
                if feed.hash[:MARK_BYTES] != place.mark:
                    # One of the two is of another log: both are judged by the store.
                    feed.end()
                    raise FeedEnded(place.group)
                # The position equals the feed's, tested and joined in one step: no await from here to the return.
                if not connection.is_paused:
                    feed.add(connection)
                    connection.feeds[place.group] = feed
                    connection.send(ev.Recovered(group=place.group, position=str(feed.position), seq=feed.seq))
                    return True
                return False
            last = feed.seq
        if slow and not place.told:
            place.told = True
            connection.send(ev.Behind(group=place.group, seq=place.seq, head=last))
        return await self._send_page(place, last)

    async def _send_page(self, place: Place, last: int) -> bool:
        connection = self._connection
        entries_max = max(1, min(PAGE_ENTRIES_MAX, place.acked + connection.window - place.seq))
        async with connection.gateway.reading:
            page = await self._next_page(place, last, entries_max)
        frames = []
        over = False
        for entry in page:
            frames.append(connection.outlet.frame(connection.outlet.codec.encode(entry_event(entry))))
            place.epoch, place.seq, place.mark = entry.epoch, entry.seq, entry.hash[:MARK_BYTES]
            if entry.seq == place.join:
                place.join = 0
            if ends_for(entry, connection.user):
                # Whatever was known of the memberships when this catch-up began, it stops at a removal.
                over = True
                break
        connection.write(b"".join(frames))
        connection.gateway.caught_up += len(frames)
        if over or place.seq == place.last:
            return await self._after_end(place)
        return False

    async def _next_page(self, place: Place, last: int, entries_max: int) -> list[Entry]:
        """What comes after the place in the log. Raises FeedEnded where that log is not the one it was judged by.

        It is read together with the entry at the place: a store may be set back to an earlier state at any await, and
        would then show what others say in a group that, there, this user has not joined.
        """
        page = await self._connection.gateway.store.read(
            place.group, Span(max(1, place.seq), last), entries_max=entries_max + 1, bytes_max=2 * PAGE_BYTES_MAX
        )
        if place.seq:
            if not page or page[0].seq != place.seq or page[0].hash[:MARK_BYTES] != place.mark:
                raise FeedEnded(place.group)
            page = page[1:]
        else:
            page = page[:entries_max]
        if not page:
            raise FeedEnded(place.group)
        for entry in page:
            if entry.seq == place.join and not begins_for(entry, self._connection.user):
                raise FeedEnded(place.group)
        return page

    async def _after_end(self, place: Place) -> bool:
        """A membership ended at the place: go on in the next there is, or say that it is over."""
        connection = self._connection
        view = await connection.gateway.store.view(place.group, connection.user)
        span = None if view is None else span_after(view.memberships, place.seq, history_all=view.history_all)
        if view is not None and span is not None and not _begins_anew(view, span, place.seq):
            place.last = span.last
            return False
        # Read before anything is said: where the store is away for it, all is judged anew, and `ended` is said once.
        following = None if view is None or span is None else await self._joined(view, span)
        connection.send(ev.Ended(group=place.group, seq=place.seq))
        if following is None:
            return True
        joined, again = following
        connection.send(joined)
        place.seq, place.mark, place.last, place.acked = again.seq, again.mark, again.last, again.seq
        place.join = again.join
        return False

    async def _window(self, place: Place) -> None:
        """Wait while the client has the whole of its window unacknowledged."""
        while place.seq - place.acked >= self._connection.window and not self._superseded:
            await self._stir()

    async def _writable(self) -> None:
        """Wait while the socket's write buffer is over its mark."""
        while self._connection.is_paused:
            await self._stir()

    async def _stir(self) -> None:
        self._stirred = asyncio.Event()
        await self._stirred.wait()
        self._stirred = None


def _begins_anew(view: GroupView, span: Span, seq: int) -> bool:
    """Whether `span`, in which someone at `seq` reads on, is a membership that they have not read any of.

    Also where its join is the very next entry, as it is for one who was added again at once: that they are a member,
    and since when, is told by `joined` and by nothing else. With `history = all` a new membership skips nothing.
    """
    return not view.history_all and span.first > seq


def _join_to_come(view: GroupView, span: Span, seq: int) -> int:
    """The join of the membership that `span` is of, where someone at `seq` has yet to read it; else 0."""
    joins = (m.join for m in view.memberships if m.end == span.last and m.join > seq)
    return min(joins, default=0)
