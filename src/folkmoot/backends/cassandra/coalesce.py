"""Sharing reads: many who ask the same at once are answered by one, and none by a read older than its question."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class _Slot:
    """What runs for a key, and what those who came while it ran wait for."""

    def __init__(self) -> None:
        self.following: asyncio.Future[Any] | None = None
        self.begin: Callable[[], Awaitable[Any]] | None = None


class Coalescer:
    """By key: one read runs, and all who ask meanwhile share the next one.

    Never the running one: it may have looked before something that whoever asks now knows to have happened.
    """

    def __init__(self) -> None:
        self._slots: dict[Hashable, _Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.shared = 0

    async def run(self, key: Hashable, begin: Callable[[], Awaitable[T]]) -> T:
        """What `begin`, or that of another who asks the same, returns or raises."""
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = _Slot()
            try:
                return await begin()
            finally:
                self._after(key, slot)
        if slot.following is None:
            slot.following = asyncio.get_running_loop().create_future()
            slot.begin = begin
        else:
            self.shared += 1
        return cast("T", await asyncio.shield(slot.following))

    def _after(self, key: Hashable, slot: _Slot) -> None:
        if slot.following is None or slot.begin is None:
            del self._slots[key]
            return
        following, begin = slot.following, slot.begin
        slot.following = slot.begin = None
        task = asyncio.create_task(self._follow(key, slot, following, begin))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(
        self, key: Hashable, slot: _Slot, following: asyncio.Future[Any], begin: Callable[[], Awaitable[Any]]
    ) -> None:
        try:
            following.set_result(await begin())
        except Exception as error:
            following.set_exception(error)
            # Those who waited may all have gone: then nobody else takes note of it.
            following.exception()
        except asyncio.CancelledError:
            following.cancel()
            raise
        finally:
            self._after(key, slot)
