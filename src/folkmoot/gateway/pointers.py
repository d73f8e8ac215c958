"""Read pointers on their way to the store: at most one write a second for each, however often they move."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final

import msgspec

from folkmoot.gateway.feed import Feed
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, current
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus
from folkmoot.ports.store import GroupView, MovedPointer, Store, StoreAway, StoreFull, StoreUnknown
from folkmoot.ports.subjects import PointerMoved

POINTERS_WAITING_MAX: Final = 100_000
"""Of this edge. Beyond it a move is not taken, and the client's next one is."""

TOLD_AT_ONCE_MAX: Final = 64
"""Pointers looked up together to be told: a store that reads by threads or over a network does so in one turn."""


class Pointers:
    """The newest move of each (user, group), written by `flush`, then told to the user's devices."""

    def __init__(self, store: Store, bus: Bus, feed_of: Callable[[GroupId], Feed | None] = lambda _: None) -> None:
        """`feed_of`: this edge's feed of a group."""
        self._store = store
        self._bus = bus
        self._feed_of = feed_of
        self._waiting: dict[tuple[UserId, GroupId], tuple[int, int]] = {}
        # What a flush has taken and not told yet: it is seen all the while, and waits again where that came to nothing.
        self._taken: dict[tuple[UserId, GroupId], tuple[int, int]] = {}
        self._flushing = asyncio.Lock()

    def move(self, user: UserId, group: GroupId, epoch: int, seq: int) -> None:
        """Move the pointer to (epoch, seq), if it is behind that."""
        key = (user, group)
        if key in self._waiting or len(self._waiting) + len(self._taken) < POINTERS_WAITING_MAX:
            self._waiting[key] = max(self._waiting.get(key, (0, 0)), (epoch, seq))

    def waiting(self, user: UserId, group: GroupId) -> int:
        """The seq that the pointer is on its way to, 0 for none."""
        key = (user, group)
        return max(self._waiting.get(key, (0, 0)), self._taken.get(key, (0, 0)))[1]

    async def flush(self) -> None:
        """Write what has moved since the last time, and tell where it stands then.

        What could not be written, or told, is tried again the next time: so is what was under way as this is cancelled.
        """
        async with self._flushing:
            self._taken, self._waiting = self._waiting, {}
            try:
                if self._taken:
                    await self._write_and_tell()
            except (StoreAway, StoreFull, StoreUnknown):
                pass
            finally:
                left, self._taken = self._taken, {}
                for key, place in left.items():
                    self._waiting[key] = max(self._waiting.get(key, (0, 0)), place)

    async def _write_and_tell(self) -> None:
        rows = [MovedPointer(group, user, epoch, seq) for (user, group), (epoch, seq) in self._taken.items()]
        await self._store.move_pointers(rows)
        untold = iter(rows)
        while some := list(islice(untold, TOLD_AT_ONCE_MAX)):
            if not all(await asyncio.gather(*(self._tell(row) for row in some))):
                return

    async def _tell(self, row: MovedPointer) -> bool:
        try:
            moved = await self._standing(row)
        except StoreAway:
            return False
        self._taken.pop((row.user, row.group), None)
        if moved is not None:
            self._bus.publish(subjects.pointers(row.user), msgspec.msgpack.encode(moved))
        return True

    async def _standing(self, row: MovedPointer) -> PointerMoved | None:
        """Where the pointer stands now that it was to be moved: it may have stood further on. None: for no member."""
        feed = self._feed_of(row.group)
        if feed is not None and feed.live and feed.seq == row.seq and not feed.lag:
            # Most have read all there is: nothing stands further on than that, and the store need not be asked.
            return PointerMoved(row.group, row.user, row.seq, feed.messages)
        view = await self._store.view(row.group, row.user)
        membership = None if view is None else current(view.memberships)
        if view is None or membership is None:
            return None
        messages = await messages_read(self._store, view, membership)
        return None if messages is None else PointerMoved(row.group, row.user, view.read, messages)


async def messages_read(store: Store, view: GroupView, membership: Membership) -> int | None:
    """The messages up to the read pointer, or up to the membership's start where that is later. Raises StoreAway.

    None where the store, set back meanwhile, lacks what the view showed.
    """
    start = membership.join if view.history_all else membership.join - 1
    mark = await store.mark(view.group, min(max(view.read, start), view.head.seq))
    return None if mark is None else mark.messages
