"""Send keys that were decided a short while ago: a copy of one of them is looked up before it is decided again."""

from collections.abc import Iterable
from typing import Final

from folkmoot.model.ids import GroupId
from folkmoot.model.send import SendKey

KEYS_MAX: Final = 20_000
"""Some seconds' worth of sends; at least half as many are known. One that is not costs a conflict, and is as safe."""


class RecentKeys:
    """The last keys that were added, whatever became of them.

    In two halves, the older dropped whole: a dictionary from which the first are taken, one by one, is searched for its
    first from where it once began.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._newer: set[tuple[GroupId, SendKey]] = set()
        self._older: set[tuple[GroupId, SendKey]] = set()
        self._half = keys_max // 2

    def add(self, group: GroupId, keys: Iterable[SendKey]) -> None:
        for key in keys:
            if len(self._newer) >= self._half:
                self._older, self._newer = self._newer, set()
            self._newer.add((group, key))

    def has_any(self, group: GroupId, keys: Iterable[SendKey]) -> bool:
        # A list, of one mostly: any() over a generator is two calls more, for each message.
        named = [(group, key) for key in keys]
        return not (self._newer.isdisjoint(named) and self._older.isdisjoint(named))
