"""How many refusals of one sender in one group are stored: a few a minute, so that a log cannot be filled with them."""

from collections import OrderedDict

from folkmoot.model.ids import GroupId, UserId

SENDERS_MAX = 10_000
"""Beyond it the one longest untouched is forgotten, and may be refused its few again."""


class RefusalBudget:
    """A bucket of `per_minute` tokens for each (group, sender), refilled evenly."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[tuple[GroupId, UserId], tuple[float, float]] = OrderedDict()

    def left(self, group: GroupId, sender: UserId, now_s: float) -> int:
        """How many more may be stored now."""
        tokens, at_s = self._buckets.get((group, sender), (float(self.per_minute), now_s))
        return int(min(self.per_minute, tokens + (now_s - at_s) * self.per_minute / 60))

    def spend(self, group: GroupId, sender: UserId, count: int, now_s: float) -> None:
        """Take `count` off, once they are stored."""
        key = (group, sender)
        tokens, at_s = self._buckets.get(key, (float(self.per_minute), now_s))
        refilled = min(self.per_minute, tokens + (now_s - at_s) * self.per_minute / 60)
        self._buckets[key] = (max(0.0, refilled - count), now_s)
        self._buckets.move_to_end(key)
        while len(self._buckets) > SENDERS_MAX:
            self._buckets.popitem(last=False)
