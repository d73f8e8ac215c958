"""How long each message took until all of its group had it, and since when nobody waits for one any more."""

import heapq
from typing import Final, TypeAlias

from folkmoot.model.ids import GroupId, UserId

LATE_S: Final = 0.5
"""A message that not everybody has so long after it was sent is late. Undisturbed it takes hundredths of a second."""

Key: TypeAlias = tuple[UserId, str]
"""Who sent it, and its id."""


class Delays:
    """Told of sends as they are made and answered, and of how far whole groups are; times are of one clock, seconds.

    A send waits until it has its answer and all who have to have its entry have it, or until it is refused.
    """

    def __init__(self) -> None:
        self.done: list[tuple[float, float]] = []
        """When each was made, and when it was whole."""
        self._open: dict[Key, float] = {}
        self._whole: dict[GroupId, int] = {}
        self._numbered: dict[GroupId, list[tuple[int, Key]]] = {}

    def made(self, key: Key, now_s: float) -> None:
        self._open.setdefault(key, now_s)

    def forget(self, key: Key) -> None:
        """It was refused, or never left."""
        self._open.pop(key, None)

    def numbered(self, key: Key, group: GroupId, seq: int, now_s: float) -> None:
        """It is answered: its entry is `seq` of the group."""
        if seq <= self._whole.get(group, 0):
            self._close(key, now_s)
        else:
            heapq.heappush(self._numbered.setdefault(group, []), (seq, key))

    def whole(self, group: GroupId, seq: int, now_s: float) -> None:
        """Everyone of the group has all up to `seq`."""
        if seq <= self._whole.get(group, 0):
            return
        self._whole[group] = seq
        waiting = self._numbered.get(group)
        while waiting and waiting[0][0] <= seq:
            self._close(heapq.heappop(waiting)[1], now_s)

    def oldest_s(self) -> float | None:
        """When the first of those was made that still wait; None: nobody waits."""
        return next(iter(self._open.values()), None)

    def is_late(self, now_s: float) -> bool:
        """Whether somebody has waited for longer than a message takes."""
        oldest_s = self.oldest_s()
        return oldest_s is not None and now_s - oldest_s > LATE_S

    def healed_s(self, struck_s: float) -> float:
        """When the last of the late ones was whole, from the strike on, in seconds after it; 0: none was late."""
        late = [whole_s - struck_s for made_s, whole_s in self.done if whole_s > struck_s and whole_s - made_s > LATE_S]
        return max(late, default=0.0)

    def longest_s(self, since_s: float) -> float:
        """The longest that one took which was whole since then: from its making until all had it."""
        return max((whole_s - made_s for made_s, whole_s in self.done if whole_s > since_s), default=0.0)

    def _close(self, key: Key, now_s: float) -> None:
        made_s = self._open.pop(key, None)
        if made_s is not None:
            self.done.append((made_s, now_s))
