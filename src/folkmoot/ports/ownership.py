"""Listening to the partitions one owns: taken up at once, let go a moment later, all of them by one subscription."""

from collections.abc import Callable, Mapping

from folkmoot.model.partitions import ALL
from folkmoot.ports.bus import Bus, Handler, Subscription


class Ownership:
    """The subscriptions of a role to `<word>.<partition>`, for each of its words and each partition that it owns.

    Two owners at a time are slow and never wrong, none is an outage: so what is lost is still heard until the second
    `release` after it, for which a role calls it about once a second.
    """

    def __init__(self, bus: Bus, listeners: Mapping[str, Handler], *, on_gap: Callable[[], None] | None = None) -> None:
        self.owned: frozenset[int] = frozenset()
        self._bus = bus
        self._listeners = dict(listeners)
        self._on_gap = on_gap
        self._held: dict[int, list[Subscription]] = {}
        self._all: list[Subscription] = []
        self._releasing: list[Subscription] = []
        self._next: list[Subscription] = []

    def own(self, partitions: frozenset[int]) -> frozenset[int]:
        """Own these from now on; which of them are new."""
        gained = partitions - self.owned
        lost = self.owned - partitions
        self.owned = partitions
        if partitions == ALL:
            if not self._all:
                self._all = self._subscribe("*")
            self._let_go([one for subscriptions in self._held.values() for one in subscriptions])
            self._held.clear()
            return gained
        for partition in sorted(partitions - self._held.keys()):
            self._held[partition] = self._subscribe(str(partition))
        for partition in sorted(lost & self._held.keys()):
            self._let_go(self._held.pop(partition))
        self._let_go(self._all)
        self._all = []
        return gained

    def release(self) -> None:
        """Stop hearing what was lost before the last call."""
        releasing, self._releasing, self._next = self._releasing, self._next, []
        for subscription in releasing:
            subscription.cancel()

    def close(self) -> None:
        """Hear nothing any more."""
        held = [one for subscriptions in self._held.values() for one in subscriptions]
        for subscription in (*held, *self._all, *self._releasing, *self._next):
            subscription.cancel()
        self.owned = frozenset()
        self._held.clear()
        self._all, self._releasing, self._next = [], [], []

    def _subscribe(self, last_word: str) -> list[Subscription]:
        return [
            self._bus.subscribe(f"{word}.{last_word}", handler, on_gap=self._on_gap)
            for word, handler in self._listeners.items()
        ]

    def _let_go(self, subscriptions: list[Subscription]) -> None:
        self._next += subscriptions
