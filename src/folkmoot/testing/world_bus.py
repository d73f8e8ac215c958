"""The simulated bus: what is published reaches subscriptions late, twice, in another order, or not at all."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from folkmoot.ports.bus import BusClosed, Handler, NoAnswer, Reply
from folkmoot.testing.virtual_loop import Process, VirtualLoop
from folkmoot.testing.weather import DELAYED_S, Weather

_log = logging.getLogger(__name__)

_STORED: Final = b"\xa7entries"
"""How a message begins that carries entries, after the byte that counts its fields."""


class WorldSubscription:
    """One handler of one process."""

    __slots__ = ("bus", "cancelled", "handler", "last_s", "on_gap", "subject")

    def __init__(self, bus: "WorldBus", subject: str, handler: Handler, on_gap: Callable[[], None] | None) -> None:
        self.bus = bus
        self.subject = subject
        self.handler = handler
        self.on_gap = on_gap
        self.cancelled = False
        # When the last message of each publisher and subject arrives: none overtakes another unless the weather says.
        self.last_s: dict[tuple[str, str], float] | None = None

    def cancel(self) -> None:
        self.cancelled = True
        self.bus.network.forget(self)


class Network:
    """All subscriptions of all processes. `hears(process, source)`: whether a heartbeat gets from one to another."""

    def __init__(self, loop: VirtualLoop, weather: Weather, hears: Callable[[str, str], bool]) -> None:
        self.loop = loop
        self.weather = weather
        self.on_publish: Callable[[str, str, bytes], None] | None = None
        self._hears = hears
        self._exact: dict[str, list[WorldSubscription]] = {}
        self._wild: dict[str, list[WorldSubscription]] = {}

    def join(self, subscription: WorldSubscription) -> None:
        table, key = self._place(subscription.subject)
        table.setdefault(key, []).append(subscription)

    def forget(self, subscription: WorldSubscription) -> None:
        table, key = self._place(subscription.subject)
        table[key] = [other for other in table.get(key, ()) if other is not subscription]

    def gap(self, name: str) -> None:
        """The process's connection to the bus was away and is back: all its subscriptions are told."""
        for table in (self._exact, self._wild):
            for subscriptions in list(table.values()):
                for one in list(subscriptions):
                    if one.bus.process.name == name and one.on_gap is not None:
                        self.loop.call_soon(self._tell_gap, one, context=one.bus.process.context)

    def drop_process(self, process: Process) -> None:
        for table in (self._exact, self._wild):
            for key, subscriptions in table.items():
                table[key] = [one for one in subscriptions if one.bus.process is not process]

    def send(
        self, source: Process, subject: str, message: bytes, reply: Callable[[Process, bytes], None] | None
    ) -> None:
        """Put a message on its way to everyone who hears the subject."""
        if self.on_publish is not None:
            self.on_publish(source.name, subject, message)
        word = subject.rpartition(".")[0]
        for one in (*self._exact.get(subject, ()), *self._wild.get(word, ())):
            if word == "alive" and not self._hears(one.bus.process.name, source.name):
                continue
            self._carry(source, one, subject, message, reply)

    def arrival_s(self, source: str, target: str) -> float | None:
        """When a message put on its way now arrives; None: it is lost."""
        weather = self.weather
        if weather.is_bus_cut(source, target):
            weather.counts["cut off"] = weather.counts.get("cut off", 0) + 1
            return None
        if weather.strikes("lose"):
            return None
        delay_s = weather.between_s(DELAYED_S) if weather.strikes("delay") else weather.latency_s()
        return self.loop.time() + delay_s

    def _carry(
        self,
        source: Process,
        one: WorldSubscription,
        subject: str,
        message: bytes,
        reply: Callable[[Process, bytes], None] | None,
    ) -> None:
        target = one.bus.process
        for _ in range(2 if self.weather.strikes("double") else 1):
            at_s = self.arrival_s(source.name, target.name)
            if at_s is None or (_carries_entries(message) and self.weather.strikes("lose entries")):
                continue
            key = (source.name, subject)
            if not self.weather.strikes("reorder"):
                last_s = one.last_s
                if last_s is None:
                    # Most subscriptions to a partition never hear anything.
                    last_s = one.last_s = {}
                at_s = last_s[key] = max(at_s, last_s.get(key, 0.0))
            self.loop.call_at(at_s, self._arrive, one, message, reply, context=target.context)

    def _arrive(self, one: WorldSubscription, message: bytes, reply: Callable[[Process, bytes], None] | None) -> None:
        if one.cancelled:
            return
        answer: Reply | None = None
        if reply is not None:
            process = one.bus.process

            def answer_back(content: bytes) -> None:
                reply(process, content)

            answer = answer_back
        try:
            one.handler(message, answer)
        except Exception as error:
            self.loop.unhandled.append(f"bus handler of {one.subject}: {error!r}")
            _log.exception("bus handler failed", extra={"subject": one.subject})

    def _tell_gap(self, one: WorldSubscription) -> None:
        if not one.cancelled and one.on_gap is not None:
            one.on_gap()

    def _place(self, subject: str) -> tuple[dict[str, list[WorldSubscription]], str]:
        head, _, last = subject.rpartition(".")
        return (self._wild, head) if last == "*" else (self._exact, subject)


def _carries_entries(message: bytes) -> bool:
    return message[1:9] == _STORED


class WorldBus:
    """The bus as one process has it."""

    def __init__(self, network: Network, process: Process) -> None:
        self.network = network
        self.process = process
        self._closed = False

    def publish(self, subject: str, message: bytes) -> None:
        self.network.send(self.process, subject, message, None)

    def subscribe(
        self, subject: str, handler: Handler, *, on_gap: Callable[[], None] | None = None
    ) -> WorldSubscription:
        subscription = WorldSubscription(self, subject, handler, on_gap)
        self.network.join(subscription)
        return subscription

    def request(self, subject: str, message: bytes, *, timeout_s: float) -> asyncio.Future[bytes]:
        network, loop = self.network, self.network.loop
        answer: asyncio.Future[bytes] = loop.create_future()
        if self._closed:
            answer.set_exception(BusClosed())
            return answer

        def give(content: bytes) -> None:
            if not answer.done():
                answer.set_result(content)

        def give_up() -> None:
            if not answer.done():
                answer.set_exception(NoAnswer(subject))
                # Looked at here: a process that is killed in this very step never comes to it, and is not to blame.
                answer.exception()

        def reply(target: Process, content: bytes) -> None:
            at_s = network.arrival_s(target.name, self.process.name)
            if at_s is not None:
                loop.call_at(at_s, give, content, context=self.process.context)

        network.send(self.process, subject, message, reply)
        deadline = loop.call_later(timeout_s, give_up)
        answer.add_done_callback(lambda _: deadline.cancel())
        return answer

    async def close(self) -> None:
        self._closed = True
