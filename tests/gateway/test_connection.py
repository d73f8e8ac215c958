"""One connection: hello, windows, rates, and what is said when a request or a frame is not one."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.connection import QUERIES_WAITING_MAX
from folkmoot.gateway.identity import mint
from folkmoot.gateway.service import GatewaySettings
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.subjects import PointerMoved
from folkmoot.protocol import events as ev
from folkmoot.protocol.limits import HELD_BYTES_MAX, HELD_FRAMES_MAX, SENDS_UNANSWERED_MAX
from folkmoot.testing.edge import SECRET, Edge, Talker

OWNER = "user-1"


def an_edge(test: Callable[[Edge], Awaitable[None]], **fields: Any) -> None:
    async def body() -> None:
        async with Edge(MemoryStore(Disk(), bucket_size=8), **fields) as edge:
            await test(edge)

    asyncio.run(body())


async def a_group(owner: Talker) -> str:
    answer = await owner.asked("", "group.created", {"name": "g"}, "make", join=0)
    assert isinstance(answer, ev.Accepted)
    await owner.wait(ev.Recovered)
    return answer.group


def test_a_welcome_says_who_and_for_how_long() -> None:
    async def test(edge: Edge) -> None:
        talker = await edge.talker(OWNER, device="phone")
        (welcome,) = talker.all(ev.Welcome)
        assert (welcome.user, welcome.device, welcome.version) == (OWNER, "phone", 1)
        assert (welcome.token_expires_ms or 0) > welcome.time_ms
        assert edge.gateway.connections == 1
        talker.drop()
        talker.drop()
        assert edge.gateway.connections == 0

    an_edge(test)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"versions": []}, "unsupported_version"),
        ({"window": 0}, "bad_event"),
        ({"window": 10**6}, "bad_event"),
        ({"device": "a b"}, "bad_event"),
        ({"token": "x"}, "token_invalid"),
    ],
)
def test_a_hello_that_is_none_ends_the_connection(hello: dict[str, Any], code: str) -> None:
    async def test(edge: Edge) -> None:
        talker = Talker(edge, OWNER, "")
        frame = json.dumps({"t": "hello", "token": "x", "versions": [1]} | hello).encode()
        talker.connection.receive(frame)
        goodbye = await talker.wait(ev.Goodbye)
        assert goodbye.code == code
        assert talker.outlet.closed is not None
        talker.connection.receive(frame)  # Whatever comes after is nobody's.
        assert talker.count(ev.Goodbye) == 1
        assert edge.gateway.statistics()[f"ended_{code}"] == 1

    an_edge(test)


def test_the_window_of_sends_is_bounded_and_says_so() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        for n in range(SENDS_UNANSWERED_MAX + 5):
            owner.ask(group, "message", {"text": "x"}, f"s{n}")
        assert [event.code for event in owner.all(ev.Undecided)] == ["window_full"] * 5
        await owner.until(lambda: owner.count(ev.Accepted) == SENDS_UNANSWERED_MAX + 1)
        assert owner.connection.unanswered == 0

    an_edge(test, gateway=GatewaySettings(sends_burst=1_000))


def test_sends_over_the_rate_are_told_how_long_to_wait() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        for n in range(5):
            owner.ask(group, "message", {"text": "x"}, f"s{n}")
        limited = await owner.wait(ev.Undecided)
        assert limited.code == "rate_limited"
        assert 0 < limited.retry_after_ms <= 1_001

    an_edge(test, gateway=GatewaySettings(sends_per_s=1, sends_burst=3))


def test_while_draining_nothing_new_is_taken_and_everyone_is_sent_on() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        owner.ask(group, "message", {"text": "taken"}, "taken")
        draining = asyncio.create_task(edge.gateway.drain())
        await asyncio.sleep(0)
        owner.ask(group, "message", {"text": "late"}, "late")
        await draining
        assert [event.id for event in owner.all(ev.Accepted)] == ["make", "taken"]
        assert [(event.id, event.code) for event in owner.all(ev.Undecided)] == [("late", "draining")]
        (goodbye,) = owner.all(ev.Goodbye)
        assert goodbye.code == "server_draining"
        assert goodbye.reconnect_after_ms is not None

    an_edge(test)


def test_queries_at_once_are_bounded() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        for n in range(QUERIES_WAITING_MAX + 3):
            owner.say(ev.ListGroups(ref=str(n)))
        await owner.until(lambda: owner.count(ev.GroupList) == QUERIES_WAITING_MAX)
        assert [event.code for event in owner.all(ev.Failed)] == ["unavailable"] * 3

    an_edge(test)


def test_a_paused_reader_that_takes_bytes_is_alive() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        owner.outlet.stop_reading()
        owner.connection.paused()
        edge.gateway.wheel.now += 100
        owner.connection.ping()
        assert owner.connection.heard == edge.gateway.wheel.now
        edge.gateway.wheel.now += 100
        owner.connection.ping()  # Not one byte was taken since: no sign of life.
        assert owner.connection.heard == edge.gateway.wheel.now - 100

    an_edge(test)


def test_what_is_written_to_a_paused_reader_is_no_sign_of_its_life_and_what_it_takes_is() -> None:
    async def test(edge: Edge) -> None:
        wheel, owner = edge.gateway.wheel, await edge.member(OWNER)
        owner.outlet.stop_reading()
        owner.connection.send(ev.Pong(ref="x" * 100))
        owner.connection.paused()
        owner.connection.ping()
        wheel.now += 100
        owner.connection.send(ev.Pong(ref="y" * 50))
        owner.outlet.write(b"by a feed that it was on")
        owner.connection.ping()
        assert owner.connection.heard == wheel.now - 100
        # It takes 100 bytes and more while as many are written.
        held = owner.outlet._held
        assert held is not None
        del held[0]
        owner.connection.send(ev.Pong(ref="z" * 101))
        owner.connection.ping()
        assert owner.connection.heard == wheel.now

    an_edge(test)


async def two_devices(edge: Edge) -> tuple[Talker, Talker, Talker, str]:
    """The owner, and two devices of a member to which the group is live; it has three messages after the creation."""
    owner = await edge.member(OWNER)
    answer = await owner.asked("", "group.created", {"name": "g", "members": ["user-2"]}, "make", join=0)
    phone, desk = await edge.member("user-2"), await edge.member("user-2")
    for n in range(3):
        await owner.asked(answer.group, "message", {"text": "x"}, f"say{n}")
    for device in (phone, desk):
        await device.until(lambda device=device: device.seqs(answer.group)[-1:] == [4])  # type: ignore[misc]
    return owner, phone, desk, answer.group


async def read_up_to(edge: Edge, device: Talker, group: str, seq: int) -> None:
    """The device marks it read, and has been told so: then all devices of the user that are told at once have been."""
    before = device.count(ev.Pointer)
    device.say(ev.MarkRead(group=group, seq=seq))
    await edge.gateway.pointers.flush()
    await device.wait(ev.Pointer, before + 1)


def stops_reading(device: Talker) -> None:
    """The device takes nothing more, and has more to take than it may leave."""
    device.outlet.stop_reading(high_water_bytes=100)
    device.connection.send(ev.Pong(ref="x" * 100))


def test_a_reader_that_takes_nothing_is_ended_though_its_users_pointers_move() -> None:
    async def test(edge: Edge) -> None:
        _, phone, desk, group = await two_devices(edge)
        stops_reading(phone)
        buffered = phone.outlet.buffered()
        wheel, ticks = edge.gateway.wheel, 0
        while phone.outlet.closed is None and ticks < 200:
            await read_up_to(edge, desk, group, 2 + ticks % 3)
            assert phone.outlet.buffered() == buffered
            desk.connection.sign_of_life()
            wheel.tick()
            ticks += 1
        assert phone.outlet.closed == (4002, "idle")

    an_edge(test)


def test_a_paused_reader_is_told_the_newest_pointer_of_each_group_once_that_is_live_again() -> None:
    async def test(edge: Edge) -> None:
        owner, phone, desk, group = await two_devices(edge)
        stops_reading(phone)
        for seq in (2, 3):
            await read_up_to(edge, desk, group, seq)
        await owner.asked(group, "message", {"text": "x"}, "later")
        phone.outlet.read_on()
        await phone.wait(ev.Recovered, 2)
        assert phone.events[-1] == ev.Pointer(group=group, read=3, unread=2)
        assert phone.count(ev.Pointer) == 1
        await read_up_to(edge, desk, group, 5)
        assert phone.all(ev.Pointer)[1:] == [ev.Pointer(group=group, read=5, unread=0)]

    an_edge(test)


def test_a_pointer_that_is_told_takes_the_place_of_one_that_was_kept() -> None:
    async def test(edge: Edge) -> None:
        _, phone, desk, group = await two_devices(edge)
        stops_reading(phone)
        await read_up_to(edge, desk, group, 2)
        phone.outlet.read_on()
        # It is being brought up, and reads.
        assert group not in phone.connection.feeds
        phone.connection.pointer_moved(PointerMoved(group, "user-2", 3, 2), edge.gateway.feeds.get(group))
        await phone.wait(ev.Recovered, 2)
        assert phone.all(ev.Pointer) == [ev.Pointer(group=group, read=3, unread=1)]

    an_edge(test)


def test_a_reader_that_drains_before_it_has_left_its_feeds_is_told_then() -> None:
    async def test(edge: Edge) -> None:
        _, phone, _, group = await two_devices(edge)
        phone.connection.paused()
        phone.connection.pointer_moved(PointerMoved(group, "user-2", 3, 2), edge.gateway.feeds.get(group))
        assert phone.count(ev.Pointer) == 0
        phone.connection.resumed()
        assert phone.all(ev.Pointer) == [ev.Pointer(group=group, read=3, unread=1)]

    an_edge(test)


def test_a_pointer_kept_for_a_group_that_is_over_meanwhile_is_told_to_nobody() -> None:
    async def test(edge: Edge) -> None:
        owner, phone, desk, group = await two_devices(edge)
        stops_reading(phone)
        await read_up_to(edge, desk, group, 3)
        await owner.asked(group, "member.removed", {"user": "user-2"}, "out")
        phone.outlet.read_on()
        await phone.wait(ev.Ended)
        await phone.resume()
        await owner.asked(group, "member.added", {"users": ["user-2"]}, "in")
        await phone.wait(ev.Recovered, 2)
        assert phone.count(ev.Pointer) == 0

    an_edge(test)


def test_a_pointer_kept_for_a_group_that_one_is_removed_from_at_once_is_told_to_nobody() -> None:
    async def test(edge: Edge) -> None:
        _, _, _, group = await two_devices(edge)
        phone = await edge.talker("user-2")
        phone.say(ev.Resume(groups={group: ""}))
        await phone.wait(ev.Recovered)
        phone.connection.paused()
        phone.connection.pointer_moved(PointerMoved(group, "user-2", 3, 2), edge.gateway.feeds.get(group))
        phone.connection.leave_feed(group)
        phone.connection.removed(group, 4)
        phone.connection.resumed()
        phone.say(ev.Resume(groups={group: ""}))
        await phone.wait(ev.Recovered, 2)
        assert phone.count(ev.Pointer) == 0

    an_edge(test)


def test_a_pointer_of_a_group_that_is_only_just_brought_up_here_is_told_once_it_is_live() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        owner.say(ev.Resume(groups={group: ""}))
        owner.connection.pointer_moved(PointerMoved(group, OWNER, 1, 0), None)
        await owner.wait(ev.Pointer)
        assert owner.story(group)[-3:] == ["snapshot", "recovered", "pointer"]

    an_edge(test)


def test_one_is_busy_for_half_an_interval_after_an_entry_unless_it_is_paused() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        feed = owner.connection.feeds[group]
        assert not owner.connection.is_busy()
        await owner.asked(group, "message", {"text": "1"}, "send-1", join=1)
        await owner.until(lambda: owner.seqs(group)[-1:] == [2])
        assert owner.connection.is_busy()
        owner.outlet.stop_reading()
        owner.connection.is_paused = True
        assert not owner.connection.is_busy()
        owner.connection.is_paused = False
        assert owner.connection.is_busy()
        feed.taken_s -= edge.gateway.settings.ping_interval_s / 2
        assert not owner.connection.is_busy()

    an_edge(test)


def test_pings_are_answered() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.talker(OWNER)
        owner.say(ev.Ping(ref="x"))
        assert owner.all(ev.Pong) == [ev.Pong(ref="x")]

    an_edge(test)


def frame_of(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def hello_of(user: str) -> bytes:
    return frame_of(t="hello", token=token_of(user), versions=[1])


def token_of(user: str, device: str = "") -> str:
    return mint(SECRET, user, device=device, lifetime_s=60, now_ms=SystemClock().wall_ms())


def test_what_comes_while_a_token_is_looked_at_is_taken_after_it_in_order() -> None:
    async def test(edge: Edge) -> None:
        talker = Talker(edge, OWNER, "")
        talker.connection.receive(hello_of(OWNER))
        for n in range(HELD_FRAMES_MAX):
            talker.connection.receive(frame_of(t="ping", ref=str(n)))
        assert talker.events == []
        await talker.wait(ev.Pong, HELD_FRAMES_MAX)
        assert isinstance(talker.events[0], ev.Welcome)
        assert [event.ref for event in talker.events[1:]] == [str(n) for n in range(HELD_FRAMES_MAX)]

    an_edge(test)


def test_while_a_refresh_is_looked_at_all_goes_on_and_of_those_that_wait_the_last_counts() -> None:
    async def run() -> None:
        disk = Disk()
        async with Edge(MemoryStore(Disk()), accounts=MemoryAccounts(disk)) as edge:
            talker = await edge.talker(OWNER)
            edge.access.standings.all_moved()
            disk.away = True
            for lifetime_s in (10, 20, 30):
                token = mint(SECRET, OWNER, lifetime_s=lifetime_s, now_ms=SystemClock().wall_ms())
                talker.say(ev.Refresh(token=token))
            for n in range(2 * HELD_FRAMES_MAX):
                talker.say(ev.Ping(ref=str(n)))
            await talker.wait(ev.Pong, 2 * HELD_FRAMES_MAX)
            assert talker.count(ev.Refreshed) == 0
            disk.away = False
            await talker.wait(ev.Refreshed, 2)
            first, last = (event.token_expires_ms or 0 for event in talker.all(ev.Refreshed))
            assert 19_000 <= last - first <= 21_000
            caller = talker.connection.caller
            assert caller is not None
            assert caller.expires_ms == last
            talker.say(ev.Refresh(token=token_of(OWNER)))
            await talker.wait(ev.Refreshed, 3)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("frames", "size_bytes"), [(HELD_FRAMES_MAX + 1, 1), (HELD_BYTES_MAX // 60_000 + 1, 60_000)], ids=["many", "long"]
)
def test_more_than_is_held_ends_the_connection_and_does_nothing(frames: int, size_bytes: int) -> None:
    async def test(edge: Edge) -> None:
        talker = Talker(edge, OWNER, "")
        talker.connection.receive(hello_of(OWNER))
        for _ in range(frames):
            talker.connection.receive(frame_of(t="ping", ref="x" * size_bytes))
        assert [event.code for event in talker.all(ev.Goodbye)] == ["flood"]
        bystander = await edge.talker("user-2")
        assert len(talker.events) == 1
        assert edge.gateway.connections == 1
        assert bystander.count(ev.Welcome) == 1

    an_edge(test)


def test_nothing_that_came_before_an_admission_is_done_where_there_is_none() -> None:
    async def test(edge: Edge) -> None:
        talker = Talker(edge, OWNER, "")
        await edge.registrar.set_active(OWNER, False)
        talker.connection.receive(hello_of(OWNER))
        talker.connection.receive(frame_of(t="ping", ref="x"))
        goodbye = await talker.wait(ev.Goodbye)
        assert goodbye.code == "deactivated"
        assert len(talker.events) == 1
        assert edge.gateway.presence.users() == []

    an_edge(test)


def test_a_second_hello_is_out_of_state() -> None:
    async def test(edge: Edge) -> None:
        talker = Talker(edge, OWNER, "")
        talker.connection.receive(hello_of(OWNER))
        talker.connection.receive(hello_of("user-2"))
        goodbye = await talker.wait(ev.Goodbye)
        assert (goodbye.code, talker.all(ev.Welcome)[0].user) == ("out_of_state", OWNER)

    an_edge(test)


@pytest.mark.parametrize(("user", "device"), [("user-2", "phone"), (OWNER, "tablet")])
def test_a_refresh_is_by_the_same_user_and_device(user: str, device: str) -> None:
    async def test(edge: Edge) -> None:
        talker = await edge.talker(OWNER, device="phone")
        talker.say(ev.Refresh(token=token_of(OWNER, "phone")))
        await talker.wait(ev.Refreshed)
        talker.say(ev.Refresh(token=token_of(OWNER)))
        await talker.wait(ev.Refreshed, 2)
        talker.say(ev.Refresh(token=token_of(user, device)))
        goodbye = await talker.wait(ev.Goodbye)
        assert goodbye.code == "token_invalid"

    an_edge(test)


def test_a_client_that_is_gone_before_it_is_known_leaves_nothing() -> None:
    async def test(edge: Edge) -> None:
        talker = Talker(edge, OWNER, "")
        talker.connection.receive(hello_of(OWNER))
        talker.drop()
        await edge.talker("user-2")
        assert talker.events == []
        assert (edge.gateway.connections, edge.gateway.presence.users()) == (1, ["user-2"])

    an_edge(test)


def test_a_hello_waits_for_a_store_that_is_away() -> None:
    async def run() -> None:
        disk = Disk()
        async with Edge(MemoryStore(Disk()), accounts=MemoryAccounts(disk)) as edge:
            disk.away = True
            talker = Talker(edge, OWNER, "")
            talker.connection.receive(hello_of(OWNER))
            await asyncio.sleep(0)
            assert talker.events == []
            disk.away = False
            await talker.wait(ev.Welcome)

    asyncio.run(run())


def test_a_store_that_stays_away_sends_the_client_on_at_the_hellos_deadline() -> None:
    async def run() -> None:
        disk = Disk()
        async with Edge(MemoryStore(Disk()), accounts=MemoryAccounts(disk)) as edge:
            disk.away = True
            talker = Talker(edge, OWNER, "")
            talker.connection.receive(hello_of(OWNER))
            await asyncio.sleep(0)
            while edge.gateway.connections:
                edge.gateway.wheel.tick()
            assert [event.code for event in talker.all(ev.Goodbye)] == ["hello_timeout"]
            disk.away = False
            await edge.talker("user-2")
            assert talker.count(ev.Welcome) == 0

    asyncio.run(run())


def test_a_fault_while_a_token_is_looked_at_is_logged_and_sends_the_client_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryAccounts):
        async def standing(self, user: str) -> Any:
            raise RuntimeError("of our own making")

    async def run() -> None:
        async with Edge(MemoryStore(Disk()), accounts=Broken(Disk())) as edge:
            talker = Talker(edge, OWNER, "")
            talker.connection.receive(hello_of(OWNER))
            goodbye = await talker.wait(ev.Goodbye)
            assert goodbye.code == "server_error"

    asyncio.run(run())
    assert "of our own making" in caplog.text
