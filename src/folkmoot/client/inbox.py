"""What has come in, handed to the application one by one or by the batch, and committed when it asks for the next."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from folkmoot.client.received import Batch, GroupEvent, Hidden, Item, Received


class Source(Protocol):
    """Where items come from and where it is said that the application has them."""

    def take_items(self) -> list[Item]:
        """All that has come in. Raises what ended the client."""

    def more_items(self) -> Awaitable[bool]:
        """Return once there may be more: False if there never will be."""

    def keep_items(self, items: list[Item]) -> None:
        """Commit the places after these items."""


class Inbox:
    """An iteration over items. What was handed over is committed only when the next is asked for: it is done then."""

    def __init__(self, source: Source) -> None:
        self.on_event: Callable[[GroupEvent], None] | None = None
        self._source = source
        self._items: list[Item] = []
        self._handed = 0
        self._busy = False

    async def entry(self) -> Received:
        """The next entry; events before it are told to `on_event`. Raises StopAsyncIteration once the client is closed.

        Cancelling the wait loses nothing.
        """
        while True:
            items = self._items
            while self._handed < len(items):
                item = items[self._handed]
                self._handed += 1
                if type(item) is Received:
                    return item
                self._tell(item)
            await self._refill()

    async def batch(self) -> Batch:
        """All that has come in since, as soon as there is something. Raises StopAsyncIteration once closed."""
        while True:
            items = self._items[self._handed :]
            self._handed = len(self._items)
            batch = Batch(items)
            if batch.items:
                for item in items:
                    self._tell(item)
                return batch
            await self._refill()

    def commit(self, *, last: bool = True) -> None:
        """Commit what was handed over; without its last item where that may not be done."""
        done = self._handed if last else max(0, self._handed - 1)
        if done:
            items, self._items = self._items[:done], self._items[done:]
            self._handed -= done
            self._source.keep_items(items)

    def close(self, *, last: bool) -> None:
        """Commit what was handed over, and hand over nothing more."""
        try:
            self.commit(last=last)
        finally:
            self.clear()

    def clear(self) -> None:
        """Hand over nothing more, and commit nothing: what was not committed comes again."""
        self._items, self._handed = [], 0

    async def _refill(self) -> None:
        if self._busy:
            raise RuntimeError("one iteration at a time: another waits for the next entry")
        self._busy = True
        try:
            self.commit()
            self._items = self._source.take_items()
            while not self._items:
                if not await self._source.more_items():
                    raise StopAsyncIteration
                self._items = self._source.take_items()
        finally:
            self._busy = False

    def _tell(self, item: Item) -> None:
        if self.on_event is not None and not isinstance(item, Received | Hidden):
            self.on_event(item)
