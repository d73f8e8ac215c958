"""Lanes over real sockets: by descriptor and transport, on both loops, bare and by TLS, every byte comes in order."""

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme
import uvloop

from folkmoot.gateway import lane as lanes
from folkmoot.gateway.lane import AnyLane, DirectLane, Lane, lane_for
from folkmoot.gateway.listener import Listener, ListenerSettings
from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.slots import SHUT, SLOTS
from folkmoot.gateway.tls import Certificate
from folkmoot.gateway.websocket import SocketSettings, WebSocketOutlet, text_frame
from folkmoot.model.ids import GroupId
from folkmoot.model.position import Position
from folkmoot.testing.rude_client import CLOSE, TEXT, WAIT_S_MAX, RudeClient

HIGH, LOW = 200_000, 50_000
BIG = 60_000


class Listened:
    """A member that only listens, and keeps what its transport tells."""

    def __init__(self, doors: "Doors", outlet: Outlet) -> None:
        self.outlet = outlet
        self.user = "u"
        self.heard = 0
        self.told: list[str] = []
        self._doors = doors

    def receive(self, payload: bytes, /) -> None: ...

    def sign_of_life(self) -> None: ...

    def paused(self) -> None:
        self._tell("paused")

    def resumed(self) -> None:
        self._tell("resumed")

    def lost(self) -> None:
        for lane in self._doors.lanes:
            lane.remove(self)
        self._tell("lost")

    def end(self, code: str, detail: str = "") -> None: ...

    def removed(self, group: GroupId, seq: int) -> None: ...

    def feed_ended(self, group: GroupId, position: Position) -> None: ...

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._doors.changed.set()


class Doors:
    def __init__(self) -> None:
        self.opened: list[Listened] = []
        self.lanes: list[AnyLane] = []
        self.changed = asyncio.Event()

    @property
    def connections(self) -> int:
        return sum("lost" not in member.told for member in self.opened)

    def open(self, outlet: Outlet, /) -> Listened:
        self.opened.append(Listened(self, outlet))
        return self.opened[-1]

    def lane(self) -> AnyLane:
        """Of all who are there."""
        lane = lane_for(self.opened[0].outlet)
        for member in self.opened:
            lane.add(member)
        self.lanes.append(lane)
        return lane

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def listening(certificate: Certificate | None) -> AsyncIterator[tuple[int, Doors]]:
    doors = Doors()
    sockets = SocketSettings(write_bytes_high=HIGH, write_bytes_low=LOW)
    listener = Listener(ListenerSettings(port=0, sockets=sockets, certificate=certificate), None, doors)
    port = int((await listener.start()).rpartition(":")[2])
    try:
        yield port, doors
    finally:
        await listener.stop_accepting()
        await listener.close()


def together(request: pytest.FixtureRequest) -> None:
    """Have what is for many go to the kernel in one call, for one test."""
    if not lanes.write_together(True):
        pytest.skip("this system has no io_uring, or does not allow it: writing by it is NOT TESTED")
    request.addfinalizer(lambda: lanes.write_together(False))


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Test = Callable[[int, Doors], Awaitable[None]]
Run = Callable[[Test], None]


@pytest.fixture(params=[f"{loop} {way}" for way in ("native", "ring", "pure", "tls") for loop in ("asyncio", "uvloop")])
def run(
    request: pytest.FixtureRequest, authority: trustme.CA, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a test against a port; at its end nobody holds a slot."""
    loop, _, way = request.param.partition(" ")
    if way == "pure":
        monkeypatch.setattr(lanes, "volley", None)
    elif lanes.volley is None:
        pytest.skip("folkmoot.gateway._volley was not built here: writing by descriptors is NOT TESTED")
    elif way == "ring":
        together(request)
    if way == "tls":
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        monkeypatch.setattr(RudeClient, "trusting", trusting)

    def run_on(test: Test) -> None:
        async def body() -> None:
            before = SLOTS.count()
            async with listening(certificate if way == "tls" else None) as (port, doors):
                await test(port, doors)
                assert all(isinstance(lane, DirectLane) == (way in ("native", "ring")) for lane in doors.lanes)
                await doors.until(lambda: doors.connections == 0)
                assert SLOTS.count() == before

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(body())

    return run_on


async def clients(stack: contextlib.AsyncExitStack, port: int, count: int) -> list[RudeClient]:
    return [await stack.enter_async_context(RudeClient.upgraded(port)) for _ in range(count)]


def payloads(count: int, size: int = 50) -> Iterator[bytes]:
    filling = (b"abcdefghijklmnopqrstuvwxyz" * size)[:size]
    return (b"%d:" % number + filling for number in range(count))


async def hears(client: RudeClient, expected: list[bytes]) -> None:
    for payload in expected:
        assert await client.frame() == (TEXT, payload)


def stop_reading(client: RudeClient) -> None:
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]


def read_on(client: RudeClient) -> None:
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [1, 12])
def test_everyone_hears_every_frame_once_in_order(run: Run, count: int) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            all_of_them, said = await clients(stack, port, count), list(payloads(40))
            lane = doors.lane()
            assert [lane.write(text_frame(payload)) for payload in said] == [0] * 40
            for client in all_of_them:
                await hears(client, said)

    run(test)


def test_one_who_stops_reading_in_the_middle_of_a_group_hears_all_of_it_in_the_end(run: Run) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            first, slow, last = await clients(stack, port, 3)
            member, lane, said = doors.opened[1], doors.lane(), []
            stop_reading(slow)
            for payload in payloads(2_000, BIG):
                lane.write(text_frame(payload))
                said.append(payload)
                # The others hear each at once, whatever becomes of the one between them.
                await hears(first, [payload])
                await hears(last, [payload])
                if "paused" in member.told:
                    break
            # Told at the bound, and not before: what it is over by is one frame.
            assert HIGH < member.outlet.buffered() <= HIGH + BIG + 100
            assert doors.opened[0].told == doors.opened[2].told == []
            more = list(payloads(3, 20))
            for payload in more:
                lane.write(text_frame(payload))
            assert member.told == ["paused"]
            read_on(slow)
            await hears(slow, said + more)
            await doors.until(lambda: member.told == ["paused", "resumed"])
            # By its descriptor again, where it was, and in order still.
            after = list(payloads(30, 30))
            for payload in after:
                lane.write(text_frame(payload))
            await hears(slow, after)

    run(test)


def test_what_the_transport_holds_goes_before_what_a_lane_writes_in_the_same_turn(run: Run) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            (client,) = await clients(stack, port, 1)
            member, lane, said = doors.opened[0], doors.lane(), []
            # From the connection and from the feed in turn, with no turn of the loop between: most is held back.
            for at, payload in enumerate(payloads(120, BIG)):
                if at % 3 == 1:
                    lane.write(text_frame(payload))
                else:
                    member.outlet.write(text_frame(payload))
                said.append(payload)
            assert member.outlet.buffered() > HIGH
            await hears(client, said)

    run(test)


def test_one_who_joins_while_pages_still_wait_for_it_hears_them_first(run: Run) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            late, other = await clients(stack, port, 2)
            member = doors.opened[0]
            lane = lane_for(member.outlet)
            doors.lanes.append(lane)
            lane.add(doors.opened[1])
            lane.write(text_frame(b"before"))
            # As a catch-up does: pages, more than the system takes at once; then on the feed, in the same step.
            stop_reading(late)
            pages = list(payloads(100, BIG))
            for page in pages:
                member.outlet.write(text_frame(page))
            assert member.outlet.buffered()
            lane.add(member)
            entries = [b"entry %d" % number for number in range(20)]
            for entry in entries:
                lane.write(text_frame(entry))
            await hears(other, [b"before", *entries])
            read_on(late)
            await hears(late, [*pages, *entries])

    run(test)


def test_one_who_is_let_go_hears_what_was_held_back_and_then_why(run: Run) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            (slow,) = await clients(stack, port, 1)
            stop_reading(slow)
            outlet, said = doors.opened[0].outlet, list(payloads(100, BIG))
            for payload in said:
                outlet.write(text_frame(payload))
            assert outlet.buffered()
            outlet.close(1000, "enough")
            read_on(slow)
            await hears(slow, said)
            assert await slow.frame() == (CLOSE, (1000).to_bytes(2) + b"enough")

    run(test)


def test_one_who_is_let_go_hears_nothing_after_the_goodbye(run: Run) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            going, staying = await clients(stack, port, 2)
            lane = doors.lane()
            lane.write(text_frame(b"one"))
            if isinstance(lane, Lane):
                # As a connection does before it closes; by descriptors not even that is needed.
                lane.remove(doors.opened[0])
            doors.opened[0].outlet.close(1000, "")
            lane.write(text_frame(b"two"))
            assert await going.frame() == (TEXT, b"one")
            frame = await going.frame()
            assert frame is not None
            assert frame[0] == CLOSE
            assert await going.frame() is None
            await hears(staying, [b"one", b"two"])

    run(test)


@pytest.mark.parametrize("how", ["reset", "half", "abort"])
def test_a_socket_that_goes_away_costs_the_others_nothing(run: Run, how: str) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            first, gone, last = await clients(stack, port, 3)
            lane, member = doors.lane(), doors.opened[1]
            if how == "reset":
                raw = gone.writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                gone.writer.transport.abort()
            elif how == "half":
                gone.writer.close()
            else:
                assert isinstance(member.outlet, WebSocketOutlet)
                member.outlet._transport.abort()
            said = []
            for number in itertools.count():
                payload = b"%d" % number
                lane.write(text_frame(payload))
                said.append(payload)
                await asyncio.sleep(0)
                if "lost" in member.told:
                    break
            lane.write(text_frame(b"after"))
            for client in (first, last):
                await hears(client, [*said, b"after"])

    run(test)


def test_a_stranger_who_gets_the_same_descriptor_hears_nothing_of_the_lane(run: Run) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            old, staying = await clients(stack, port, 2)
            lane, member = doors.lane(), doors.opened[0]
            # As if by a fault it had never left the lane.
            doors.lanes.clear()
            old.writer.transport.abort()
            await doors.until(lambda: "lost" in member.told)
            strangers = await clients(stack, port, 20)
            lane.write(text_frame(b"ours"))
            await hears(staying, [b"ours"])
            for stranger, outlet in zip(strangers, (m.outlet for m in doors.opened[2:]), strict=True):
                outlet.write(text_frame(b"theirs"))
                await hears(stranger, [b"theirs"])
            lane.close()

    run(test)


def test_a_slot_follows_what_its_transport_says(run: Run) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            (client,) = await clients(stack, port, 1)
            outlet = doors.opened[0].outlet
            if outlet.slot == SHUT:
                return
            assert SLOTS.fds[outlet.slot] > 2
            stop_reading(client)
            written = 0
            while not outlet.buffered():
                outlet.write(text_frame(b"x" * BIG))
                written += 1
            # Of its own accord, in that very write, and though it is far from too much.
            assert SLOTS.fds[outlet.slot] == SHUT
            assert doors.opened[0].told == []
            read_on(client)
            await hears(client, [b"x" * BIG] * written)
            async with asyncio.timeout(WAIT_S_MAX):
                while SLOTS.fds[outlet.slot] == SHUT:  # noqa: ASYNC110 (nobody is told of it)
                    await asyncio.sleep(0)
            assert doors.opened[0].told == []

    run(test)


def test_members_are_added_and_removed_anywhere(run: Run) -> None:
    async def test(port: int, doors: Doors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            a, b, c = await clients(stack, port, 3)
            lane = doors.lane()
            assert lane.remove(doors.opened[0])
            assert not lane.remove(doors.opened[0])
            lane.write(text_frame(b"1"))
            assert lane.remove(doors.opened[2])
            lane.write(text_frame(b"2"))
            lane.add(doors.opened[0])
            lane.write(text_frame(b"3"))
            assert list(lane.close()) == [doors.opened[1], doors.opened[0]]
            await hears(a, [b"3"])
            await hears(b, [b"1", b"2", b"3"])
            await hears(c, [b"1"])
            doors.lanes.clear()
            # `until` at the end finds every slot let go of.
            doors.lanes.append(lane_for(doors.opened[0].outlet))

    run(test)


class Held:
    """A member with a descriptor of the test's own; what goes by its `write` fails."""

    wire = "fd"
    codec: Any = None
    peer = ""
    user = "u"

    def __init__(self) -> None:
        self.outlet: Any = self
        self.slot = SLOTS.take()
        self.by_transport: list[bytes] = []

    def frame(self, payload: bytes, /) -> bytes:
        return payload

    def write(self, frames: bytes, /) -> None:
        self.by_transport.append(frames)
        raise OSError("gone")

    def removed(self, group: GroupId, seq: int) -> None: ...

    def feed_ended(self, group: GroupId, position: Position) -> None: ...


@pytest.fixture(params=["one by one", "ring"])
def way(request: pytest.FixtureRequest) -> str:
    if request.param == "ring":
        together(request)
    return str(request.param)


@pytest.mark.skipif(lanes.volley is None, reason="_volley was not built: writing by descriptors is NOT TESTED")
@pytest.mark.parametrize("count", [3, 7, 8, 9, 256, 257, 600])
def test_each_of_many_gets_its_bytes_and_who_takes_no_more_is_told_of(way: str, count: int) -> None:
    assert lanes.volley is not None
    frame = bytes(range(256)) * 64
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(count)]
        for pair in pairs:
            for end in pair:
                stack.enter_context(end)
        for ours, theirs in pairs:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(frame))
            theirs.setblocking(False)
        # Every third is not in the table, every fifth has gone away, and one in seven is full before the others.
        shut = set(range(0, count, 3))
        gone = set(range(1, count, 5)) - shut
        full = set(range(2, count, 7)) - shut - gone
        fds = array("i", [-1 if at in shut else ours.fileno() for at, (ours, _) in enumerate(pairs)])
        for at in gone:
            pairs[at][1].close()
        for at in full:
            pairs[at][0].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    pairs[at][0].send(frame)
        slots = array("i", range(count))
        left = dict(lanes.volley(fds, slots, frame))
        assert left == dict.fromkeys(shut | gone | full, 0)
        for at in set(range(count)) - shut - gone - full:
            assert pairs[at][1].recv(2 * len(frame)) == frame
        # Until all are full: what each took of the last is said to the byte.
        taken = dict.fromkeys(set(range(count)) - shut - gone - full, 0)
        while not left.keys() >= taken.keys():
            left = dict(lanes.volley(fds, slots, frame))
            for at in taken:
                taken[at] += left.get(at, len(frame))
        for at, size in taken.items():
            got = b""
            with contextlib.suppress(BlockingIOError):
                while True:
                    got += pairs[at][1].recv(1_048_576)
            assert len(got) == size
            assert got == (frame * (size // len(frame) + 1))[:size]


@pytest.mark.skipif(lanes.volley is None, reason="_volley was not built: writing by descriptors is NOT TESTED")
def test_a_process_that_was_forked_has_a_ring_of_its_own(request: pytest.FixtureRequest) -> None:
    together(request)
    assert lanes.volley is not None
    pairs = [socket.socketpair() for _ in range(10)]
    fds, slots = array("i", [ours.fileno() for ours, _ in pairs]), array("i", range(10))
    assert lanes.volley(fds, slots, b"parent") == []
    pid = os.fork()
    if pid == 0:
        left = 1
        try:
            left = len(lanes.volley(fds, slots, b"child"))
        finally:
            os._exit(left)
    assert os.waitpid(pid, 0)[1] == 0
    assert lanes.volley(fds, slots, b"again") == []
    for ours, theirs in pairs:
        with ours, theirs:
            assert theirs.recv(100) == b"parentchildagain"


@pytest.mark.skipif(lanes.volley is None, reason="_volley was not built: writing by descriptors is NOT TESTED")
def test_several_threads_may_write_at_once(request: pytest.FixtureRequest) -> None:
    together(request)
    volley = lanes.volley
    assert volley is not None

    def write(number: int) -> bool:
        pairs = [socket.socketpair() for _ in range(20)]
        fds, slots = array("i", [ours.fileno() for ours, _ in pairs]), array("i", range(20))
        told = [volley(fds, slots, b"%d," % number) for _ in range(200)]
        got = []
        for ours, theirs in pairs:
            with ours, theirs:
                got.append(theirs.recv(10_000))
        return told == [[]] * 200 and got == [b"%d," % number * 200] * 20

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write, range(8)))


@pytest.mark.skipif(lanes.volley is None, reason="_volley was not built: writing by descriptors is NOT TESTED")
def test_what_a_descriptor_does_not_take_is_left_to_the_transport_and_errors_are_counted() -> None:
    ours, theirs = socket.socketpair()
    closed = os.dup(ours.fileno())
    os.close(closed)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        members = [Held() for _ in range(4)]
        SLOTS.open(members[0].slot, ours.fileno())
        SLOTS.open(members[2].slot, closed)
        lane = lane_for(members[0].outlet)
        for member in members:
            lane.add(member)
        frame = bytes(range(256)) * 4_000
        assert lane.write(frame) == 4
        # The first took a part; a shut one, a closed one and one out of the table took nothing.
        rest = members[0].by_transport[0]
        theirs.setblocking(False)
        taken = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                taken += theirs.recv(65_536)
        assert 0 < len(taken) < len(frame)
        assert taken + rest == frame
        assert [member.by_transport for member in members[1:]] == [[frame]] * 3
        lane.close()
        for member in members:
            SLOTS.let_go(member.slot)


@pytest.mark.skipif(lanes.volley is None, reason="_volley was not built: writing by descriptors is NOT TESTED")
def test_slots_outside_the_table_and_empty_lanes_are_passed_over() -> None:
    assert lanes.volley is not None
    fds = array("i", [-1, -1])
    assert list(lanes.volley(fds, array("i"), b"frame")) == []
    assert list(lanes.volley(fds, array("i", [0, 5, -3]), b"frame")) == [(0, 0), (1, 0), (2, 0)]


def test_the_lane_of_a_wire_without_slots_is_the_plain_one() -> None:
    member = Held()
    SLOTS.let_go(member.slot)
    member.slot = SHUT
    lane = lane_for(member.outlet)
    assert isinstance(lane, Lane)
    lane.add(member)
    assert lane.write(b"frame") == 1
