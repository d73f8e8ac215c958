"""The in-process bus's own bookkeeping; its promises are checked by tests/conformance."""

import asyncio

from folkmoot.backends.memory.bus import MemoryBus


def test_a_cancelled_subscription_leaves_nothing_behind() -> None:
    async def run() -> None:
        bus = MemoryBus()
        subscriptions = [bus.subscribe(subject, lambda *_: None) for subject in ("a.1", "a.1", "a.*")]
        for subscription in subscriptions:
            subscription.cancel()
            subscription.cancel()
        assert not bus._exact
        assert not bus._wild

    asyncio.run(run())


def test_a_gap_is_not_told_to_who_has_cancelled() -> None:
    async def run() -> None:
        told: list[int] = []
        bus = MemoryBus()
        subscription = bus.subscribe("a.1", lambda *_: None, on_gap=lambda: told.append(1))
        subscription.gap()
        subscription.cancel()
        subscription.gap()
        assert told == [1]

    asyncio.run(run())
