"""Owning partitions: new ones are heard at once, lost ones a moment longer, and nothing falls between."""

import asyncio
from collections.abc import Awaitable, Callable

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.model.partitions import ALL
from folkmoot.ports.bus import Reply
from folkmoot.ports.ownership import Ownership

FEW = frozenset({1, 2})
OTHER = frozenset({2, 3})


class Ears:
    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.heard: list[bytes] = []
        self.ownership = Ownership(bus, {"word": self._hear, "other": self._hear})

    async def hears(self, partition: int, word: str = "word") -> int:
        """How often a message to the partition is heard."""
        self.heard.clear()
        self.bus.publish(f"{word}.{partition}", b"x")
        marker = asyncio.Event()
        end = self.bus.subscribe("end", lambda *_: marker.set())
        self.bus.publish("end", b"")
        await marker.wait()
        end.cancel()
        return len(self.heard)

    def _hear(self, message: bytes, reply: Reply | None) -> None:
        self.heard.append(message)


def run(test: Callable[[Ears], Awaitable[None]]) -> None:
    async def body() -> None:
        await test(Ears(MemoryBus()))

    asyncio.run(body())


def test_what_is_owned_is_heard_once_and_nothing_else() -> None:
    async def test(ears: Ears) -> None:
        assert ears.ownership.own(FEW) == FEW
        assert [await ears.hears(p) for p in (1, 2, 3)] == [1, 1, 0]
        assert await ears.hears(1, "other") == 1

    run(test)


def test_lost_ones_are_heard_until_the_second_release() -> None:
    async def test(ears: Ears) -> None:
        ears.ownership.own(FEW)
        assert ears.ownership.own(OTHER) == {3}
        assert [await ears.hears(p) for p in (1, 2, 3)] == [1, 1, 1]
        ears.ownership.release()
        assert await ears.hears(1) == 1
        ears.ownership.release()
        assert [await ears.hears(p) for p in (1, 2, 3)] == [0, 1, 1]

    run(test)


def test_all_are_one_subscription_and_going_from_and_to_them_leaves_no_gap() -> None:
    async def test(ears: Ears) -> None:
        assert ears.ownership.own(ALL) == ALL
        assert [await ears.hears(p) for p in (1, 1_023)] == [1, 1]
        assert ears.ownership.own(FEW) == frozenset()
        assert await ears.hears(1) >= 1
        assert await ears.hears(9) == 1
        for _ in range(2):
            ears.ownership.release()
        assert [await ears.hears(p) for p in (1, 9)] == [1, 0]
        assert ears.ownership.own(ALL) == ALL - FEW
        for _ in range(2):
            ears.ownership.release()
        assert [await ears.hears(p) for p in (1, 9)] == [1, 1]

    run(test)


def test_closed_it_hears_nothing() -> None:
    async def test(ears: Ears) -> None:
        ears.ownership.own(FEW)
        ears.ownership.own(OTHER)
        ears.ownership.close()
        assert [await ears.hears(p) for p in (1, 2, 3)] == [0, 0, 0]
        assert ears.ownership.own(FEW) == FEW
        assert await ears.hears(1) == 1

    run(test)
