"""The in-process bus's own bookkeeping; its promises are checked by tests/conformance."""

import asyncio

import pytest
import uvloop

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.ports.bus import NoAnswer


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


def test_who_hears_a_subject_is_looked_up_anew_after_every_change() -> None:
    async def run() -> None:
        heard: list[str] = []
        bus = MemoryBus()

        async def said() -> list[str]:
            heard.clear()
            bus.publish("a.1", b"")
            await asyncio.sleep(0)
            return list(heard)

        assert await said() == []
        one = bus.subscribe("a.1", lambda *_: heard.append("one"))
        assert await said() == ["one"]
        bus.subscribe("a.*", lambda *_: heard.append("all"))
        assert await said() == ["one", "all"]
        one.cancel()
        assert await said() == ["all"]
        await bus.close()
        assert await said() == []

    asyncio.run(run())


def test_what_is_known_of_subjects_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("folkmoot.backends.memory.bus.SUBJECTS_KNOWN_MAX", 3)
    bus = MemoryBus()
    for number in range(10):
        bus.publish(f"a.{number}", b"")
    assert len(bus._heard_by) <= 3


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


def test_what_waits_and_what_was_lost_at_the_bound_is_counted() -> None:
    async def run() -> None:
        bus = MemoryBus(pending_messages_max=2)
        bus.subscribe("a.1", lambda *_: None)
        bus.subscribe("b.*", lambda *_: None)
        for subject in ("a.1", "b.1", "b.2", "b.3"):
            bus.publish(subject, b"")
        assert bus.statistics() == {"waiting_largest": 2, "waiting_max": 2, "lost": 1}
        await asyncio.sleep(0)
        assert bus.statistics()["waiting_largest"] == 0

    asyncio.run(run())


def test_requests_of_any_patience_end_each_in_its_time() -> None:
    async def run() -> None:
        bus = MemoryBus()
        ended: list[str] = []

        async def ask(name: str, timeout_s: float) -> None:
            with pytest.raises(NoAnswer):
                await bus.request(f"{name}.1", b"", timeout_s=timeout_s)
            ended.append(name)

        long = asyncio.create_task(ask("long", 0.2))
        middle = asyncio.create_task(ask("middle", 0.1))
        given_up = asyncio.create_task(ask("given_up", 0.01))
        await asyncio.sleep(0)
        given_up.cancel()
        bus.subscribe("answered.1", lambda message, reply: reply(b"yes") if reply else None)
        assert await bus.request("answered.1", b"", timeout_s=0.05) == b"yes"
        short = asyncio.create_task(ask("short", 0.02))
        await asyncio.gather(long, middle, short)
        assert ended == ["short", "middle", "long"]
        assert given_up.cancelled()
        await bus.close()

    asyncio.run(run())


def test_who_asks_again_in_the_step_of_a_time_out_is_heard_though_the_next_is_due_already() -> None:
    # uvloop's timer for what is due now cannot say when it is. After an owner had died, whoever asked again was left
    # without any answer: the client sent it once more 20 seconds later.
    async def run() -> None:
        bus = MemoryBus()
        ended = await asyncio.gather(*(bus.request("a", b"", timeout_s=0.0) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(one, NoAnswer) for one in ended)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
