"""The simulated bus: order while nothing fails; losses, doubles, cuts and gaps when something does."""

import asyncio
import gc

import pytest

from folkmoot.ports.bus import NoAnswer, Reply
from folkmoot.testing.virtual_loop import VirtualLoop
from folkmoot.testing.weather import Weather
from folkmoot.testing.world_bus import Network, WorldBus


class Pair:
    """A speaker and a listener on one bus."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(1)
        self.weather = Weather(1)
        self.unheard: set[str] = set()
        self.network = Network(self.loop, self.weather, lambda process, source: source not in self.unheard)
        self.speaker = WorldBus(self.network, self.loop.process("speaker"))
        self.listener = WorldBus(self.network, self.loop.process("listener"))
        self.heard: list[bytes] = []
        self.gaps = 0
        self.subscription = self.listener.subscribe("entries.*", self._on_message, on_gap=self._on_gap)

    def say(self, count: int) -> list[bytes]:
        """Publish so many, wait until all have come that will, and return them."""

        async def main() -> None:
            for number in range(count):
                self.speaker.publish("entries.7", b"%d" % number)
            await asyncio.sleep(60)

        self.loop.run(main())
        return self.heard

    def _on_message(self, message: bytes, reply: Reply | None) -> None:
        self.heard.append(message)
        if reply is not None:
            reply(b"answer")

    def _on_gap(self) -> None:
        self.gaps += 1


def test_all_comes_once_and_in_order_while_nothing_fails() -> None:
    assert Pair().say(50) == [b"%d" % number for number in range(50)]


def test_what_the_weather_loses_does_not_come() -> None:
    pair = Pair()
    pair.weather.rate("lose", 0.5)
    assert 0 < len(pair.say(50)) < 50


def test_what_it_doubles_comes_twice() -> None:
    pair = Pair()
    pair.weather.rate("double", 1.0)
    assert len(pair.say(10)) == 20


def test_what_it_reorders_overtakes() -> None:
    pair = Pair()
    pair.weather.rate("reorder", 1.0)
    heard = pair.say(50)
    assert sorted(heard) == sorted(b"%d" % number for number in range(50))
    assert heard != [b"%d" % number for number in range(50)]


def test_whose_heartbeats_are_not_heard_is_heard_all_the_same() -> None:
    pair = Pair()
    pair.unheard.add("speaker")
    beats: list[bytes] = []
    pair.listener.subscribe("alive.router", lambda message, reply: beats.append(message))

    async def main() -> None:
        pair.speaker.publish("alive.router", b"beat")
        pair.speaker.publish("entries.7", b"entry")
        await asyncio.sleep(1)
        pair.unheard.clear()
        pair.speaker.publish("alive.router", b"another")
        await asyncio.sleep(1)

    pair.loop.run(main())
    assert (pair.heard, beats) == ([b"entry"], [b"another"])


def test_a_cut_loses_all_and_its_end_is_told() -> None:
    pair = Pair()
    pair.weather.bus_away("speaker", 1)
    pair.network.gap("listener")
    assert pair.say(5) == []
    assert pair.gaps == 1


def test_nothing_comes_after_a_cancel() -> None:
    pair = Pair()
    pair.subscription.cancel()
    assert pair.say(5) == []


def test_a_request_is_answered_or_not() -> None:
    pair = Pair()

    async def ask() -> bytes:
        return await pair.speaker.request("entries.7", b"?", timeout_s=1)

    async def main() -> None:
        assert await pair.speaker.process.spawn(ask()) == b"answer"
        pair.weather.cut([("listener", "speaker")], 1)
        work = pair.speaker.process.spawn(ask())
        with pytest.raises(NoAnswer):
            await work

    pair.loop.run(main())


def test_what_a_handler_raises_is_kept() -> None:
    pair = Pair()

    def fail(message: bytes, reply: Reply | None) -> None:
        raise ValueError("of the handler")

    pair.listener.subscribe("entries.7", fail)
    assert pair.say(1) == [b"0"]
    assert "of the handler" in pair.loop.unhandled[0]


def test_a_request_of_a_process_killed_before_it_hears_of_it_is_nobodys_fault() -> None:
    pair = Pair()
    pair.weather.cut([("speaker", "listener")], 1)

    async def ask() -> None:
        answer = pair.speaker.request("entries.7", b"?", timeout_s=1)
        answer.add_done_callback(lambda done: done.exception())

    async def main() -> None:
        await pair.speaker.process.spawn(ask())
        # In the very step in which it is given up.
        pair.speaker.process.after_steps(1, pair.speaker.process.kill)
        await asyncio.sleep(5)

    pair.loop.run(main())
    gc.collect()
    assert pair.loop.unhandled == []
