"""The wheel, tick by tick: deadlines of hellos, pings that are spread, silence, and tokens whose time is over."""

import asyncio
import itertools
import logging

import pytest

from folkmoot.gateway import wheel as wheels
from folkmoot.gateway.wheel import Wheel


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ms = 1_000_000
        self.sleeps = 0

    def wall_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1_000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1_000)
        self.sleeps += 1
        await asyncio.sleep(0)


class Timed:
    """Keeps what the wheel asked of it; one that has expired leaves the wheel, as connections do."""

    def __init__(self, wheel: Wheel) -> None:
        self.heard = 0
        self.asked = 0
        self.busy = False
        self.pings: list[int] = []
        self.ends: list[tuple[int, str]] = []
        self.answers = True
        self._wheel = wheel

    def is_busy(self) -> bool:
        return self.busy

    def ping(self) -> None:
        self.pings.append(self._wheel.now)
        if self.answers:
            self.heard = self._wheel.now

    def expire(self, code: str) -> None:
        self.ends.append((self._wheel.now, code))
        self._wheel.gone(self)


def turn(wheel: Wheel, clock: HandClock, ticks: int) -> None:
    for _ in range(ticks):
        clock.ms += 1_000
        wheel.tick()


def build(ping_interval_s: float = 5.0, hello_seconds: float = 3.0) -> tuple[Wheel, HandClock]:
    clock = HandClock()
    return Wheel(clock, ping_interval_s=ping_interval_s, hello_seconds=hello_seconds), clock


def ready(wheel: Wheel) -> Timed:
    """One that has said who it is, with a token for ever."""
    connection = Timed(wheel)
    wheel.opened(connection)
    wheel.ready(connection, None)
    return connection


def test_who_says_no_hello_has_all_of_its_time_and_little_more() -> None:
    wheel, clock = build(hello_seconds=3.0)
    late, early = Timed(wheel), Timed(wheel)
    turn(wheel, clock, 1)
    wheel.opened(late)
    wheel.opened(early)
    turn(wheel, clock, 3)
    # It may have opened just before the first of these ticks: less than three seconds have passed.
    assert late.ends == []
    wheel.ready(early, None)
    turn(wheel, clock, 10)
    assert late.ends == [(5, "hello_timeout")]
    assert early.ends == []


def test_one_that_left_before_its_hello_is_left_alone() -> None:
    wheel, clock = build()
    gone = Timed(wheel)
    wheel.opened(gone)
    wheel.gone(gone)
    turn(wheel, clock, 10)
    assert gone.ends == []
    assert gone.pings == []


def test_pings_come_once_an_interval_and_are_spread_over_it() -> None:
    wheel, clock = build(ping_interval_s=5.0)
    connections = [Timed(wheel) for _ in range(50)]
    for connection in connections:
        wheel.opened(connection)
        wheel.ready(connection, None)
    per_tick = []
    for _ in range(20):
        before = sum(len(c.pings) for c in connections)
        turn(wheel, clock, 1)
        per_tick.append(sum(len(c.pings) for c in connections) - before)
    assert per_tick == [10] * 20
    for connection in connections:
        gaps = [later - earlier for earlier, later in itertools.pairwise(connection.pings)]
        assert gaps == [5, 5, 5]


def test_silence_of_more_than_two_intervals_ends_a_connection() -> None:
    wheel, clock = build(ping_interval_s=5.0)
    silent, alive = Timed(wheel), Timed(wheel)
    silent.answers = False
    for connection in (silent, alive):
        wheel.opened(connection)
        wheel.ready(connection, None)
    turn(wheel, clock, 40)
    assert [code for _, code in silent.ends] == ["idle"]
    assert 10 < silent.ends[0][0] <= 16
    assert alive.ends == []
    assert len(silent.pings) >= 2


def test_one_that_is_written_to_is_pinged_rarely_and_at_once_when_that_ends() -> None:
    wheel, clock = build(ping_interval_s=5.0)
    connection = ready(wheel)
    connection.busy = True
    turn(wheel, clock, 100)
    gaps = {later - earlier for earlier, later in itertools.pairwise(connection.pings)}
    assert gaps == {wheels.BUSY_INTERVALS * 5}
    connection.busy = False
    turn(wheel, clock, 5)
    assert wheel.now - connection.pings[-1] < 5
    assert connection.ends == []


def test_one_that_is_written_to_and_answers_no_ping_is_ended_as_any_other() -> None:
    wheel, clock = build(ping_interval_s=5.0)
    connection = ready(wheel)
    connection.busy, connection.answers = True, False
    turn(wheel, clock, 100)
    assert [code for _, code in connection.ends] == ["idle"]
    # Asked, once it was not, it is asked each interval; two of them later it is over.
    assert connection.ends[0][0] - connection.pings[0] == 10
    assert len(connection.pings) == 2


def test_one_that_was_not_asked_for_long_is_not_ended_for_it() -> None:
    wheel, clock = build(ping_interval_s=5.0)
    connection = ready(wheel)
    connection.busy = True
    turn(wheel, clock, 19)
    assert connection.pings == []
    # Quiet now, and silent for nearly four intervals: it has its two to answer all the same.
    connection.busy = connection.answers = False
    turn(wheel, clock, 20)
    assert [code for _, code in connection.ends] == ["idle"]
    assert connection.ends[0][0] - connection.pings[0] == 10


def test_a_token_ends_its_connection_within_a_second_of_its_time() -> None:
    wheel, clock = build(ping_interval_s=30.0)
    connection, other = Timed(wheel), Timed(wheel)
    for timed, expires_ms in ((connection, clock.ms + 7_500), (other, None)):
        wheel.opened(timed)
        wheel.ready(timed, expires_ms)
    turn(wheel, clock, 7)
    assert connection.ends == []
    turn(wheel, clock, 20)
    assert connection.ends == [(8, "token_expired")]
    assert other.ends == []


def test_a_renewed_token_moves_the_end_both_ways() -> None:
    wheel, clock = build(ping_interval_s=60.0)
    later, sooner, never = Timed(wheel), Timed(wheel), Timed(wheel)
    for timed in (later, sooner, never):
        wheel.opened(timed)
        wheel.ready(timed, clock.ms + 10_000)
    wheel.renewed(later, clock.ms + 20_000)
    wheel.renewed(sooner, clock.ms + 5_000)
    wheel.renewed(never, None)
    turn(wheel, clock, 30)
    assert later.ends == [(20, "token_expired")]
    assert sooner.ends == [(5, "token_expired")]
    assert never.ends == []


def test_what_is_left_of_closed_and_renewed_connections_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "STALE_EXPIRIES_MAX", 10)
    wheel, clock = build()
    stays = Timed(wheel)
    wheel.opened(stays)
    wheel.ready(stays, clock.ms + 100_000)
    for _ in range(200):
        passing = Timed(wheel)
        wheel.opened(passing)
        wheel.ready(passing, clock.ms + 10_000_000)
        wheel.gone(passing)
        wheel.renewed(stays, clock.ms + 50_000)
    turn(wheel, clock, 1)
    assert len(wheel._expiries) <= 12
    turn(wheel, clock, 60)
    assert stays.ends == [(50, "token_expired")]
    assert (wheel._slot_of, wheel._expires, wheel._waiting) == ({}, {}, set())
    assert not any(wheel._slots)


def test_a_connection_that_fails_in_a_tick_does_not_stop_the_wheel(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    wheel = Wheel(clock, ping_interval_s=1.0)

    class Broken(Timed):
        def ping(self) -> None:
            raise RuntimeError("a fault")

    class Watched(Timed):
        def ping(self) -> None:
            super().ping()
            if len(self.pings) == 4:
                done.set()

    done = asyncio.Event()
    broken, sound = Broken(wheel), Watched(wheel)
    for timed in (sound, broken):
        wheel.opened(timed)
        wheel.ready(timed, None)

    async def run() -> None:
        task = asyncio.create_task(wheel.run())
        async with asyncio.timeout(5):
            await done.wait()
        task.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert len(sound.pings) == 4
    assert "a tick failed" in caplog.text


def test_pings_of_many_are_spread_over_the_second() -> None:
    clock = HandClock()
    wheel = Wheel(clock, ping_interval_s=1.0)
    at_ms: list[int] = []

    class Noted(Timed):
        def ping(self) -> None:
            super().ping()
            at_ms.append(clock.ms)
            if len(at_ms) == 2 * many:
                done.set()

    many = 4 * wheels.PINGS_AT_ONCE
    done = asyncio.Event()
    for _ in range(many):
        noted = Noted(wheel)
        wheel.opened(noted)
        wheel.ready(noted, None)

    async def run() -> None:
        task = asyncio.create_task(wheel.run())
        async with asyncio.timeout(5):
            await done.wait()
        task.cancel()

    asyncio.run(run())
    shares = sorted(set(at_ms))
    assert [at_ms.count(moment) for moment in shares] == [wheels.PINGS_AT_ONCE] * 8
    assert [moment - shares[0] for moment in shares[:5]] == [0, 250, 500, 750, 1_000]
