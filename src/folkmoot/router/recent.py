"""Send keys that were decided a short while ago: a copy of one of them is looked up before it is decided again."""

from collections.abc import Iterable
from typing import Final

from folkmoot.model.ids import GroupId
from folkmoot.model.send import SendKey

KEYS_MAX: Final = 20_000
"""Some seconds' worth of sends. A key that is no longer here costs a conflict with the store, and is as safe."""


class RecentKeys:
    """The last keys that were added, whatever became of them."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys: dict[tuple[GroupId, SendKey], None] = {}
        self._keys_max = keys_max

    def add(self, group: GroupId, keys: Iterable[SendKey]) -> None:
        for key in keys:
            self._keys[(group, key)] = None
        while len(self._keys) > self._keys_max:
            del self._keys[next(iter(self._keys))]

    def has_any(self, group: GroupId, keys: Iterable[SendKey]) -> bool:
        return any((group, key) in self._keys for key in keys)
