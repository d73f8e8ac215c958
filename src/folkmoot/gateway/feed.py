"""A feed: this edge's gap-free copy of one group's tail, written to every local member as it grows."""

import asyncio
import math
from collections.abc import Callable, Sequence

from folkmoot.gateway.lane import AnyLane, Member, lane_for
from folkmoot.model import entry as kinds
from folkmoot.model.entry import Entry, follows
from folkmoot.model.fold import ending
from folkmoot.model.group import Head
from folkmoot.model.ids import GroupId
from folkmoot.model.membership import Span
from folkmoot.model.position import Position, position_at
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import Store, StoreAway
from folkmoot.protocol.codec import entry_event

FILL_PAGE_ENTRIES = 200
FILL_PAGE_BYTES = 1_048_576
FILL_RETRY_S = 0.2

WRITE_BYTES = 16_384
"""Entries that come together are written together, until they come to about this: what a member does not take at once
is kept for it alone, and so is one write at most."""

BESIDE_BODY_BYTES = 256
"""Of an entry on the wire, about: names, numbers and the position. Most entries are little more than that."""

_ENDS = frozenset({kinds.LEFT, kinds.REMOVED, kinds.DELETED})


class FeedEnded(Exception):
    """The feed does not continue the log: whoever was on it gives a position again."""


class Tally:
    """What all feeds of an edge count together: a feed may be gone before anyone asks."""

    __slots__ = ("deliveries", "filled", "filling", "write_errors")

    def __init__(self) -> None:
        self.deliveries = 0
        self.filled = 0
        self.filling: set[Feed] = set()
        self.write_errors = 0


class Feed:
    """One group on this edge: takes entries in order, fills gaps from the store, writes each once to everyone."""

    def __init__(
        self,
        group: GroupId,
        store: Store,
        clock: Clock,
        on_end: Callable[["Feed"], None],
        tally: Tally | None = None,
    ) -> None:
        self.group = group
        self.epoch = 0
        self.seq = -1
        self.hash = b""
        self.messages = 0
        self.live = False
        self.dead = False
        self.taken_s = -math.inf
        self.idle_since_s: float | None = clock.monotonic_s()
        self.tally = tally or Tally()
        self._store = store
        self._clock = clock
        self._on_end = on_end
        self._lanes: dict[str, AnyLane] = {}
        self._target = -1
        self._fill_task: asyncio.Task[None] | None = None
        self._moved: asyncio.Future[None] | None = None

    @property
    def position(self) -> Position:
        return position_at(self.epoch, self.seq, self.hash)

    @property
    def lag(self) -> int:
        """By how many entries the feed is behind what it has heard of."""
        return max(0, self._target - self.seq)

    def start(self, head: Head) -> None:
        """Begin at the store's head; what was pushed meanwhile is filled in."""
        self.epoch, self.seq, self.hash, self.messages = head.epoch, head.seq, head.hash, head.messages
        self.live = True
        if self._target > self.seq:
            self._fill(self._target)

    def add(self, member: Member) -> None:
        """Take on a member whose position has just been seen to equal this feed's, in the same step."""
        outlet = member.outlet
        lane = self._lanes.get(outlet.wire)
        if lane is None:
            lane = self._lanes[outlet.wire] = lane_for(outlet)
        lane.add(member)
        self.idle_since_s = None

    def remove(self, member: Member) -> None:
        lane = self._lanes.get(member.outlet.wire)
        if lane is not None and lane.remove(member) and not lane.members:
            del self._lanes[member.outlet.wire]
            if not self._lanes:
                self.idle_since_s = self._clock.monotonic_s()

    def push(self, entries: Sequence[Entry]) -> None:
        """Take entries that were pushed: the next is written on, an old one dropped, a gap filled from the store."""
        if not self.live or self._fill_task is not None:
            self._target = max(self._target, entries[-1].seq)
            return
        fresh = [entry for entry in entries if entry.seq > self.seq]
        if fresh and fresh[0].seq != self.seq + 1:
            self._fill(fresh[-1].seq)
        else:
            self._take(fresh)

    def heard_head(self, seq: int) -> None:
        """The store's head is at `seq`, or was: fill up to it."""
        if seq > self.seq:
            self._fill(seq)

    async def bring_to(self, seq: int) -> None:
        """Return once the feed is at `seq`, which the store holds. Raises FeedEnded."""
        while self.seq < seq:
            self._fill(seq)
            if self.dead:
                raise FeedEnded(self.group)
            if self._moved is None:
                self._moved = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._moved)
        if self.dead:
            raise FeedEnded(self.group)

    def end(self) -> None:
        """Let go of everyone: they give their positions again, and are judged by the store."""
        if self.dead:
            return
        self.dead, self.live = True, False
        position = self.position
        lanes, self._lanes = self._lanes, {}
        if self._fill_task is not None:
            self._fill_task.cancel()
        # A task cancelled before its first step never comes to its own end.
        self.tally.filling.discard(self)
        self._wake()
        self._on_end(self)
        for lane in lanes.values():
            for member in lane.close():
                member.feed_ended(self.group, position)

    def members_count(self) -> int:
        return sum(len(lane.members) for lane in self._lanes.values())

    def _take(self, entries: Sequence[Entry]) -> bool:
        """Write the next entries to everyone; False if one does not chain, which ends the feed."""
        together: list[Entry] = []
        together_bytes, hash_before = 0, self.hash
        for entry in entries:
            if not follows(hash_before, entry):
                self._write(together)
                self.end()
                return False
            hash_before = entry.hash
            together.append(entry)
            together_bytes += BESIDE_BODY_BYTES + len(entry.body or b"")
            if entry.kind in _ENDS:
                # Who leaves with it has it, and nothing after it.
                self._write(together)
                self._let_go(entry)
            elif together_bytes >= WRITE_BYTES:
                self._write(together)
            else:
                continue
            together, together_bytes = [], 0
        self._write(together)
        return True

    def _write(self, entries: Sequence[Entry]) -> None:
        """All of them in one write a member: of what a delivery costs, the call of the system is by far the most."""
        if not entries:
            return
        events = [entry_event(entry) for entry in entries]
        # All bytes before the first write: should some not be to be had, nobody has a part, and the position stands.
        ready = [
            (lane, b"".join([lane.frame(lane.codec.encode(event)) for event in events]))
            for lane in self._lanes.values()
        ]
        last, tally = entries[-1], self.tally
        self.epoch, self.seq, self.hash, self.messages = last.epoch, last.seq, last.hash, last.messages
        self.taken_s = self._clock.monotonic_s()
        for lane, frames in ready:
            tally.deliveries += len(events) * len(lane.members)
            tally.write_errors += lane.write(frames)

    def _let_go(self, entry: Entry) -> None:
        ends = ending(entry)
        gone = [m for lane in self._lanes.values() for m in lane.members if ends(m.user)]
        for member in gone:
            self.remove(member)
            member.removed(self.group, entry.seq)

    def _fill(self, target: int) -> None:
        self._target = max(self._target, target)
        if self._fill_task is None and self.live:
            self._fill_task = asyncio.create_task(self._fill_from_store())
            self.tally.filling.add(self)

    async def _fill_from_store(self) -> None:
        try:
            while not self.dead and self.seq < self._target:
                span = Span(self.seq + 1, None)
                try:
                    page = await self._store.read(
                        self.group, span, entries_max=FILL_PAGE_ENTRIES, bytes_max=FILL_PAGE_BYTES
                    )
                except StoreAway:
                    await self._clock.sleep(FILL_RETRY_S)
                    continue
                if not page or page[0].seq != self.seq + 1:
                    # Told of a head that the store does not have: this feed, or the store, is of another life.
                    self.end()
                    return
                self.tally.filled += len(page)
                if not self._take(page):
                    return
                self._wake()
        finally:
            self._fill_task = None
            self.tally.filling.discard(self)

    def _wake(self) -> None:
        moved, self._moved = self._moved, None
        if moved is not None and not moved.done():
            moved.set_result(None)
