"""The suite that judges a bus: every sentence of `ports.bus.Bus`, for any backend.

A test module runs each of `CHECKS` with a function that makes a bus whose subscriptions hold `pending_messages_max`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from folkmoot.ports.bus import Bus, BusClosed, NoAnswer, Reply

MakeBus: TypeAlias = Callable[[int], Awaitable[Bus]]
Check: TypeAlias = Callable[[MakeBus], Awaitable[None]]
CHECKS: Final[list[Check]] = []
PENDING: Final = 8
WAIT_S_MAX: Final = 5.0


def name_of(check: Check) -> str:
    """What to call a check in a report."""
    return getattr(check, "__name__", str(check))


def _check(check: Check) -> Check:
    CHECKS.append(check)
    return check


class _Heard:
    """What one subscription heard, in order; `reply` answers each request with its own name."""

    def __init__(self, name: bytes = b"") -> None:
        self.messages: list[bytes] = []
        self.gaps = 0
        self._name = name
        self._changed = asyncio.Event()

    def __call__(self, message: bytes, reply: Reply | None) -> None:
        self.messages.append(message)
        self._changed.set()
        if reply is not None and self._name:
            reply(self._name)

    def gap(self) -> None:
        self.gaps += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@_check
async def every_subscription_hears_in_the_order_of_publishing(make: MakeBus) -> None:
    bus = await make(1_000)
    one, two = _Heard(), _Heard()
    bus.subscribe("a.1", one)
    bus.subscribe("a.1", two)
    sent = [str(n).encode() for n in range(100)]
    for message in sent:
        bus.publish("a.1", message)
    await one.until(lambda: len(one.messages) == 100)
    await two.until(lambda: len(two.messages) == 100)
    assert one.messages == two.messages == sent
    await bus.close()


@_check
async def nothing_is_heard_before_publish_has_returned(make: MakeBus) -> None:
    bus = await make(PENDING)
    heard = _Heard()
    bus.subscribe("a.1", heard)
    bus.publish("a.1", b"x")
    assert heard.messages == []
    await heard.until(lambda: heard.messages == [b"x"])
    await bus.close()


@_check
async def a_handler_that_publishes_is_not_called_within_itself(make: MakeBus) -> None:
    bus = await make(PENDING)
    depth, deepest, last = 0, 0, _Heard()

    def echo(message: bytes, reply: Reply | None) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        if len(message) < 5:
            bus.publish("a.1", message + b"x")
        else:
            bus.publish("a.2", message)
        depth -= 1

    bus.subscribe("a.1", echo)
    bus.subscribe("a.2", last)
    bus.publish("a.1", b"")
    await last.until(lambda: last.messages == [b"xxxxx"])
    assert deepest == 1
    await bus.close()


@_check
async def nobody_listening_is_no_error(make: MakeBus) -> None:
    bus = await make(PENDING)
    bus.publish("a.1", b"x")
    heard = _Heard()
    bus.subscribe("a.1", heard)
    bus.publish("a.1", b"y")
    await heard.until(lambda: bool(heard.messages))
    assert heard.messages == [b"y"]  # What was published before is missed, and stays so.
    await bus.close()


@_check
async def a_star_stands_for_any_last_word_and_for_no_other(make: MakeBus) -> None:
    bus = await make(PENDING)
    heard, other = _Heard(), _Heard()
    bus.subscribe("a.*", heard)
    bus.subscribe("b.1", other)
    for subject in ("a.1", "a.2", "b.1", "ab.1", "a.1.1"):
        bus.publish(subject, subject.encode())
    await other.until(lambda: other.messages == [b"b.1"])
    await heard.until(lambda: len(heard.messages) == 2)
    assert heard.messages == [b"a.1", b"a.2"]
    await bus.close()


@_check
async def after_cancel_nothing_is_heard(make: MakeBus) -> None:
    bus = await make(PENDING)
    gone, stays = _Heard(), _Heard()
    subscription = bus.subscribe("a.1", gone)
    bus.subscribe("a.1", stays)
    bus.publish("a.1", b"x")
    subscription.cancel()
    bus.publish("a.1", b"y")
    await stays.until(lambda: len(stays.messages) == 2)
    assert gone.messages == []
    await bus.close()


@_check
async def past_its_bound_a_subscription_loses_and_is_told(make: MakeBus) -> None:
    bus = await make(PENDING)
    heard = _Heard()
    bus.subscribe("a.1", heard, on_gap=heard.gap)
    for n in range(PENDING * 3):
        bus.publish("a.1", str(n).encode())
    await heard.until(lambda: heard.gaps == 1)
    assert 0 < len(heard.messages) < PENDING * 3
    bus.publish("a.1", b"after")
    await heard.until(lambda: heard.messages[-1] == b"after")
    assert heard.gaps == 1
    await bus.close()


@_check
async def a_request_gets_the_first_answer_and_drops_the_others(make: MakeBus) -> None:
    bus = await make(PENDING)
    silent, one, two = _Heard(), _Heard(b"one"), _Heard(b"two")
    for handler in (silent, one, two):
        bus.subscribe("a.1", handler)
    assert await bus.request("a.1", b"x", timeout_s=WAIT_S_MAX) in (b"one", b"two")
    await two.until(lambda: bool(two.messages))
    await silent.until(lambda: bool(silent.messages))
    assert silent.messages == one.messages == two.messages == [b"x"]
    await bus.close()


@_check
async def a_request_that_nobody_answers_says_so(make: MakeBus) -> None:
    bus = await make(PENDING)
    late: list[Reply] = []

    def keep(message: bytes, reply: Reply | None) -> None:
        if reply is not None:
            late.append(reply)

    bus.subscribe("a.1", keep)
    for subject in ("a.1", "a.2"):
        try:
            await bus.request(subject, b"x", timeout_s=0.02)
        except NoAnswer:
            continue
        raise AssertionError("answered by nobody")
    late[0](b"too late")  # Nobody waits any more, and nobody minds.
    await bus.close()


@_check
async def a_handler_that_raises_harms_nobody_else(make: MakeBus) -> None:
    bus = await make(PENDING)

    def broken(message: bytes, reply: Reply | None) -> None:
        raise RuntimeError("a handler's own fault")

    heard = _Heard()
    bus.subscribe("a.1", broken)
    bus.subscribe("a.1", heard)
    bus.publish("a.1", b"x")
    bus.publish("a.1", b"y")
    await heard.until(lambda: heard.messages == [b"x", b"y"])
    await bus.close()


@_check
async def closing_ends_the_requests_under_way(make: MakeBus) -> None:
    bus = await make(PENDING)
    bus.subscribe("a.1", _Heard())
    begun = bus.request("a.1", b"x", timeout_s=10 * WAIT_S_MAX)
    await asyncio.sleep(0)
    await bus.close()
    later = bus.request("a.1", b"x", timeout_s=10 * WAIT_S_MAX)
    async with asyncio.timeout(WAIT_S_MAX):
        ends = await asyncio.gather(begun, later, return_exceptions=True)
    assert all(isinstance(end, BusClosed | NoAnswer) for end in ends), ends
