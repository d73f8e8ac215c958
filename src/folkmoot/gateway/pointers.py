"""Read pointers on their way to the store: at most one write a second for each, however often they move."""

import msgspec

from folkmoot.model.ids import GroupId, UserId
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus
from folkmoot.ports.store import MovedPointer, Store, StoreAway, StoreFull, StoreUnknown
from folkmoot.ports.subjects import PointerMoved

POINTERS_WAITING_MAX = 100_000
"""Of this edge. Beyond it a move is not taken, and the client's next one is."""


class Pointers:
    """The newest move of each (user, group), written by `flush`, then told to the user's other devices."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._waiting: dict[tuple[UserId, GroupId], tuple[int, int]] = {}

    def move(self, user: UserId, group: GroupId, epoch: int, seq: int) -> None:
        """Move the pointer to (epoch, seq), if it is behind that."""
        key = (user, group)
        if key in self._waiting or len(self._waiting) < POINTERS_WAITING_MAX:
            self._waiting[key] = max(self._waiting.get(key, (0, 0)), (epoch, seq))

    def waiting(self, user: UserId, group: GroupId) -> int:
        """The seq that the pointer is on its way to, 0 for none."""
        return self._waiting.get((user, group), (0, 0))[1]

    async def flush(self) -> None:
        """Write what has moved since the last time. What could not be written is tried again the next time."""
        if not self._waiting:
            return
        moved, self._waiting = self._waiting, {}
        rows = [MovedPointer(group, user, epoch, seq) for (user, group), (epoch, seq) in moved.items()]
        try:
            await self._store.move_pointers(rows)
            for row in rows:
                await self._tell(row)
        except (StoreAway, StoreFull, StoreUnknown):
            for (user, group), (epoch, seq) in moved.items():
                self.move(user, group, epoch, seq)

    async def _tell(self, row: MovedPointer) -> None:
        mark = await self._store.mark(row.group, row.seq)
        if mark is not None:
            message = PointerMoved(row.group, row.user, row.seq, mark.messages)
            self._bus.publish(subjects.pointers(row.user), msgspec.msgpack.encode(message))
