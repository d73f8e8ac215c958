"""Who lives, as each sees it: those who come, go, die and pause, on time that tests move."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.node.config import SettingsError
from folkmoot.node.peers import BEAT_S, PAUSED_S, SILENT_S_MAX, Peers
from folkmoot.ports.clock import SystemClock


class HandClock(SystemClock):
    """Time that a test moves: whoever sleeps wakes when it has come."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_s + seconds, woken))
        await woken

    async def pass_by(self, seconds: float) -> None:
        """Let time pass in steps shorter than a beat, and everyone do what they do then."""
        end_s = self.now_s + seconds
        while self.now_s < end_s - 1e-9:
            await self.jump(min(0.1, end_s - self.now_s))

    async def jump(self, seconds: float) -> None:
        """All of it at once, as a process that was stopped sees it."""
        self.now_s += seconds
        for sleeper in list(self._sleepers):
            if sleeper[0] <= self.now_s + 1e-9:
                self._sleepers.remove(sleeper)
                if not sleeper[1].done():
                    sleeper[1].set_result(None)
        for _ in range(20):
            await asyncio.sleep(0)


class Town:
    """Processes on one bus, each with a view of its own."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.clock = HandClock()
        self.views: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self.paused: list[str] = []
        self._all: list[Peers] = []

    async def begin(self, name: str, *roles: str, clock: HandClock | None = None, home: str = "here") -> Peers:
        seen = self.views.setdefault(name, [])
        peers = Peers(
            self.bus,
            clock or self.clock,
            {role: f"{name}-{role}" for role in roles},
            home=home,
            on_view=lambda role, view: seen.append((role, view)),
            on_paused=lambda: self.paused.append(name),
        )
        self._all.append(peers)
        start = asyncio.create_task(peers.start())
        await asyncio.sleep(0)
        await (clock or self.clock).pass_by(BEAT_S * 1.3)
        await start
        return peers

    async def end(self) -> None:
        for peers in self._all:
            await peers.stop()


def run(test: Callable[[Town], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(10):
            town = Town()
            await test(town)
            await town.end()

    asyncio.run(body())


def test_one_alone_sees_itself_in_its_roles() -> None:
    async def test(town: Town) -> None:
        peers = await town.begin("a", "router", "delivery")
        assert peers.view("router") == ("a-router",)
        assert peers.view("gateway") == ()
        assert town.views["a"] == [("router", ("a-router",)), ("delivery", ("a-delivery",))]
        assert peers.statistics() == {
            "alive_gateway": 0, "alive_router": 1, "alive_delivery": 1, "pauses": 0,
        }  # fmt: skip

    run(test)


def test_two_see_one_another_and_a_change_is_told_once() -> None:
    async def test(town: Town) -> None:
        first = await town.begin("a", "router")
        second = await town.begin("b", "router")
        await town.clock.pass_by(3)
        assert first.view("router") == second.view("router") == ("a-router", "b-router")
        assert town.views["a"] == [("router", ("a-router",)), ("router", ("a-router", "b-router"))]
        assert town.views["b"] == [("router", ("a-router", "b-router"))]

    run(test)


def test_whoever_serves_another_store_is_dealt_nothing_and_the_newcomer_does_not_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(town: Town) -> None:
        first = await town.begin("a", "router")
        with pytest.raises(SettingsError, match=r"^nats_urls: .* theirs is here, this one's is there\. Give all"):
            await town.begin("b", "router", home="there")
        await town.clock.pass_by(3)
        assert first.view("router") == ("a-router",)
        assert town.views["b"] == []

    run(test)
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 1
    assert "theirs is there, this one's is here" in said[0]


def test_the_silent_are_taken_for_dead_and_those_who_leave_go_at_once() -> None:
    async def test(town: Town) -> None:
        first = await town.begin("a", "router")
        second = await town.begin("b", "router")
        third = await town.begin("c", "router")
        third.leave()
        await town.clock.jump(0)
        assert first.view("router") == ("a-router", "b-router")
        assert third.view("router") == ("a-router", "b-router")
        await second.stop()
        await town.clock.pass_by(SILENT_S_MAX - 0.2)
        assert len(first.view("router")) == 2
        await town.clock.pass_by(BEAT_S + 0.3)
        assert first.view("router") == ("a-router",)

    run(test)


def test_one_that_was_stopped_notices_and_takes_nobody_for_dead() -> None:
    async def test(town: Town) -> None:
        first = await town.begin("a", "router")
        await town.begin("b", "router")
        seen = len(town.views["a"])
        await town.clock.jump(BEAT_S + PAUSED_S + 5)
        assert town.paused == ["a", "b"]
        assert first.statistics()["pauses"] == 1
        await town.clock.pass_by(2)
        assert len(town.views["a"]) == seen
        assert len(first.view("router")) == 2

    run(test)


def test_a_view_that_cannot_be_taken_in_stops_no_heartbeat() -> None:
    async def test(town: Town) -> None:
        first = await town.begin("a", "router")
        first._on_view = lambda *_: 1 / 0  # type: ignore[assignment]
        second = await town.begin("b", "router")
        await town.clock.pass_by(5)
        assert second.view("router") == ("a-router", "b-router")

    run(test)
