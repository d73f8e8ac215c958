"""Streams: what a reader is told, from which position, at whose pace, and how each comes to its end."""

import asyncio
import contextlib
import gc
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest
import uvloop

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.access import AccessRefused
from folkmoot.gateway.identity import mint
from folkmoot.gateway.listener import Listener, ListenerSettings
from folkmoot.gateway.problem import problem
from folkmoot.gateway.service import GatewaySettings
from folkmoot.gateway.sse import SSE, SseCodec, Stream, Streams, chunk, resume_frames
from folkmoot.gateway.websocket import SocketSettings
from folkmoot.model.position import Position
from folkmoot.ports.clock import SystemClock
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.testing.edge import SECRET, Edge, Talker
from folkmoot.testing.sse_client import SseClient


def token_of(user: str, *, lifetime_s: int = 3_600) -> str:
    return mint(SECRET, user, lifetime_s=lifetime_s, now_ms=SystemClock().wall_ms())


class StreamApp:
    """`GET /<group>` is a stream of one group, `POST /` one of what its body asks for, `GET /hello` an answer."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = (await receive())["body"]
        group = scope["path"].strip("/")
        try:
            caller = await self.streams.gateway.access.of_request(headers.get("authorization"), None)
        except AccessRefused as refused:
            await self._say(send, int(refused.status), problem(refused.status, refused.code))
            return
        if group == "hello":
            await self._say(send, 200, b"hello")
        elif group:
            resume = ev.Resume(groups={group: headers.get("last-event-id", "")})
            await self.streams.answer(caller, resume, only=group)(scope, receive, send)
        else:
            await self.streams.answer(caller, msgspec.json.decode(body, type=ev.Resume))(scope, receive, send)

    async def _say(self, send: Any, status: int, body: bytes) -> None:
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [length]})
        await send({"type": "http.response.body", "body": body})


class Port(msgspec.Struct, frozen=True):
    """An edge that streams, and the readers that came."""

    edge: Edge
    streams: Streams
    listener: Listener
    number: int
    readers: list[SseClient]

    async def one(self, user: str, group: str, **asked: Any) -> SseClient:
        return await self.asks(f"/{group}", token_of(user), **asked)

    async def many(self, user: str, **resume: Any) -> SseClient:
        return await self.asks("/", token_of(user), body={"t": "resume"} | resume)

    async def asks(self, path: str, token: str, **asked: Any) -> SseClient:
        reader = await SseClient.asks(self.number, path, token, **asked)
        self.readers.append(reader)
        return reader


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def streaming(**sockets: Any) -> AsyncIterator[Port]:
    unhurried = GatewaySettings(sends_per_s=100_000.0, sends_burst=100_000.0)
    async with Edge(MemoryStore(Disk()), gateway=unhurried) as edge:
        settings = SocketSettings(**sockets)
        streams = Streams(edge.gateway, settings)
        bounds = ListenerSettings(port=0, sockets=settings, request_seconds_max=1.0)
        listener = Listener(bounds, StreamApp(streams), edge.gateway)
        url = await listener.start()
        readers: list[SseClient] = []
        try:
            yield Port(edge, streams, listener, int(url.rpartition(":")[2]), readers)
        finally:
            for reader in readers:
                reader.drop()
            await listener.stop_accepting()
            await listener.close()


Test = Callable[[Port], Awaitable[None]]
Run = Callable[..., None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test against a port, on either loop."""

    def run_on(test: Test, **sockets: Any) -> None:
        async def body() -> None:
            async with asyncio.timeout(60), streaming(**sockets) as port:
                await test(port)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(body())

    return run_on


async def a_group(port: Port, *, messages: int = 0, members: tuple[str, ...] = ("user-2",)) -> tuple[Talker, str]:
    """Its owner, and its id: entry 1 makes it, the messages follow."""
    owner = await port.edge.member("user-1")
    made = await owner.asked("", "group.created", {"name": "room", "members": list(members)}, "make", join=0)
    for number in range(messages):
        await owner.asked(made.group, "message", {"text": f"message {number}"}, f"m{number}")
    return owner, made.group


# The bytes.


def test_an_event_has_its_name_its_position_as_id_and_the_sockets_frame_as_data() -> None:
    event = ev.Recovered(group="g", position="p", seq=3)
    assert (
        SSE.encode(event) == b'event: recovered\nid: p\ndata: {"t":"recovered","group":"g","position":"p","seq":3}\n\n'
    )
    assert SSE.encode(ev.Pong(ref="r")) == b'event: pong\ndata: {"t":"pong","ref":"r"}\n\n'


def test_a_goodbye_says_when_to_come_back() -> None:
    assert b"\nretry: 7\n" in SSE.encode(ev.Goodbye(code="server_draining", reconnect_after_ms=7))
    assert b"retry" not in SSE.encode(ev.Goodbye(code="token_expired"))


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_lines_in_an_applications_data_stay_within_the_event(line_end: bytes) -> None:
    body = msgspec.Raw(b'{"type":"t","data":{%b "a":%b 1}}' % (line_end, line_end))
    fields: dict[str, Any] = dict.fromkeys(("group", "position", "kind", "sender", "device", "id"), "x")
    encoded = SSE.encode(ev.EntryEvent(**fields, seq=1, time_ms=1, messages=1, body=body)).decode()
    assert (encoded[-2:], encoded.count("\n\n"), encoded.count("\r")) == ("\n\n", 1, 0)
    data = "\n".join(line.removeprefix("data: ") for line in encoded.strip().split("\n")[2:])
    assert json.loads(data)["body"] == {"type": "t", "data": {"a": 1}}


def test_a_chunk_says_its_length_in_hexadecimal() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_a_stream_reads_what_a_socket_reads() -> None:
    assert SseCodec.decode_client == JSON.decode_client


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_many_positions_go_in_several_frames_the_others_with_the_last(count: int) -> None:
    asked = ev.Resume(groups={f"g{n}": "" for n in range(count)}, others=True, fresh="join")
    frames = [JSON.decode_client(frame) for frame in resume_frames(asked)]
    resumes = [frame for frame in frames if isinstance(frame, ev.Resume)]
    assert {group for frame in resumes for group in frame.groups} == set(asked.groups)
    assert max(len(frame.groups) for frame in resumes) <= 100
    assert [frame.others for frame in resumes] == [False] * (len(resumes) - 1) + [True]
    assert {frame.fresh for frame in resumes} == {"join"}


# What a reader is told.


def test_without_a_position_a_stream_begins_with_a_snapshot_and_goes_on_live(run: Run) -> None:
    async def test(port: Port) -> None:
        owner, group = await a_group(port, messages=2)
        reader = await port.one("user-2", group)
        assert (reader.status, reader.headers["content-type"]) == (200, "text/event-stream")
        await reader.wait("recovered")
        await owner.asked(group, "message", {"text": "live"}, "live")
        await reader.wait("entry", seq=4)
        assert [event.name for event in reader.events] == ["welcome", "snapshot", "recovered", "entry"]
        last = reader.events[-1]
        assert last.id == last.data["position"]
        assert reader.retry_ms is not None
        assert 1_000 <= reader.retry_ms < 5_000

    run(test)


def test_a_stream_resumes_at_every_position(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port, messages=5)
        whole = await port.many("user-2", groups={group: ""}, fresh="join")
        await whole.wait("recovered")
        positions = {0: whole.all("joined")[0].id} | {e.data["seq"]: e.id for e in whole.all("entry")}
        assert sorted(positions) == list(range(7))
        for seq, position in positions.items():
            reader = await port.one("user-2", group, last_event_id=position)
            recovered = await reader.wait("recovered")
            assert reader.seqs(group) == list(range(seq + 1, 7))
            assert (recovered["seq"], reader.last_event_id) == (6, positions[6])

    run(test)


def test_a_position_of_another_log_is_answered_with_reset_and_a_snapshot(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        other = str(Position(1, 1, b"not this"))
        reader = await port.one("user-2", group, last_event_id=other)
        await reader.wait("recovered")
        assert [event.name for event in reader.events] == ["welcome", "reset", "snapshot", "recovered"]
        assert reader.events[1].data["reason"] == "other"

    run(test)


def test_two_streams_and_a_socket_of_one_user_are_told_the_same(run: Run) -> None:
    async def test(port: Port) -> None:
        owner, group = await a_group(port)
        one, many, socket = (
            await port.one("user-2", group),
            await port.many("user-2", others=True),
            await port.edge.member("user-2"),
        )
        await one.wait("recovered")
        await many.wait("resumed")
        for number in range(20):
            await owner.asked(group, "message", {"text": str(number)}, f"m{number}")
        await one.wait("entry", seq=21)
        await many.wait("entry", seq=21)
        await socket.until(lambda: 21 in socket.seqs(group))
        assert one.seqs(group) == many.seqs(group) == socket.seqs(group) == list(range(2, 22))
        entries = [JSON.encode(event) for event in socket.all(ev.EntryEvent)]
        assert [event.data for event in one.all("entry")] == [json.loads(entry) for entry in entries]

    run(test)


def test_a_stream_of_the_others_too_gets_groups_that_come_later(run: Run) -> None:
    async def test(port: Port) -> None:
        owner, _ = await a_group(port)
        reader = await port.many("user-2", others=True)
        assert await reader.wait("resumed") == {"t": "resumed", "groups": 1}
        later = await owner.asked("", "group.created", {"name": "later", "members": ["user-2"]}, "later", join=0)
        await reader.wait("recovered", group=later.group)
        assert (await reader.wait("joined"))["group"] == later.group
        missing = await port.many("user-2", groups={"nowhere": ""})
        assert (await missing.wait("error"))["code"] == "no_such_group"

    run(test)


# At whose pace.


def test_a_slow_reader_is_moved_to_the_log_and_misses_nothing(run: Run) -> None:
    async def test(port: Port) -> None:
        owner, group = await a_group(port)
        reader = await port.one("user-2", group, receive_bytes=65_536)
        await reader.wait("recovered")
        reader.stop_reading()
        sent = 0
        while port.edge.gateway.fell_behind == 0:
            await owner.asked(group, "message", {"text": "x" * 7_000}, f"m{sent}")
            sent += 1
        for number in range(30):
            await owner.asked(group, "message", {"text": "y" * 7_000}, f"n{number}")
        statistics = port.edge.gateway.statistics()
        assert statistics["slow_readers"] == 1
        assert statistics["buffered_bytes_largest"] < 2 * 65_536
        reader.read_on()
        await reader.wait("entry", seq=sent + 31)
        await reader.until(lambda: len(reader.all("recovered")) == 2)
        assert len(reader.all("behind")) == 1
        assert reader.seqs(group) == list(range(2, sent + 32))

    run(test, write_bytes_high=65_536, write_bytes_low=16_384)


def test_a_catch_up_waits_for_a_reader_that_does_not_read_and_then_goes_on(run: Run) -> None:
    async def test(port: Port) -> None:
        owner, group = await a_group(port)
        for number in range(1_000):
            await owner.asked(group, "message", {"text": "x" * 7_000}, f"m{number}")
        asked = {"t": "resume", "groups": {group: ""}, "fresh": "join"}
        reader = await port.asks("/", token_of("user-2"), body=asked, receive_bytes=65_536)
        reader.stop_reading()
        gateway = port.edge.gateway
        await until(lambda: gateway.statistics()["slow_readers"] > 0)
        buffered = gateway.statistics()["buffered_bytes_largest"]
        # At most a page beyond the mark is ever held for it.
        assert buffered <= 65_536 + 2 * 262_144
        reader.read_on()
        await reader.wait("recovered")
        assert reader.seqs(group) == list(range(1, 1_002))

    run(test, write_bytes_high=65_536, write_bytes_low=16_384)


# How it ends.


def test_a_member_that_is_removed_is_told_so_and_the_stream_of_that_group_ends(run: Run) -> None:
    async def test(port: Port) -> None:
        owner, group = await a_group(port)
        one, many = await port.one("user-2", group), await port.many("user-2", others=True)
        await one.wait("recovered")
        await many.wait("resumed")
        await owner.asked(group, "member.removed", {"user": "user-2"}, "out")
        assert await one.ended() == ""
        assert one.finished
        assert [event.name for event in one.events][-2:] == ["entry", "ended"]
        await many.wait("ended")
        await owner.asked(group, "message", {"text": "not for you"}, "between")
        await owner.asked(group, "member.added", {"users": ["user-2"]}, "in")
        await many.until(lambda: len(many.all("recovered")) == 2)
        assert not many.lost
        # The last id that it had is that of its removal: from there on it skips to the new join.
        again = await port.one("user-2", group, last_event_id=one.last_event_id)
        await again.wait("recovered")
        assert [event.name for event in again.events] == ["welcome", "joined", "entry", "recovered"]

    run(test)


def test_a_removal_while_away_and_a_new_join_are_told_in_one_stream(run: Run) -> None:
    async def test(port: Port) -> None:
        owner, group = await a_group(port)
        reader = await port.one("user-2", group)
        await reader.wait("recovered")
        reader.drop()
        await owner.asked(group, "member.removed", {"user": "user-2"}, "out")
        await owner.asked(group, "message", {"text": "not for you"}, "between")
        await owner.asked(group, "member.added", {"users": ["user-2"]}, "in")
        again = await port.one("user-2", group, last_event_id=reader.last_event_id)
        await again.wait("recovered")
        assert [event.name for event in again.events] == ["welcome", "entry", "ended", "joined", "entry", "recovered"]
        assert again.seqs(group) == [2, 4]

    run(test)


def test_a_stream_of_a_group_that_is_not_there_says_so_and_ends(run: Run) -> None:
    async def test(port: Port) -> None:
        reader = await port.one("user-2", "nowhere")
        await reader.ended()
        assert [event.name for event in reader.events] == ["welcome", "error"]
        assert port.edge.gateway.connections == 0

    run(test)


def test_a_token_that_expires_ends_the_stream_with_a_goodbye(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        reader = await port.asks(f"/{group}", token_of("user-2", lifetime_s=2))
        assert await reader.ended() == "token_expired"
        assert reader.finished

    run(test)


def test_whoever_is_shut_out_is_told_so_on_live_streams(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        reader = await port.one("user-2", group)
        await reader.wait("recovered")
        port.edge.gateway.access.verifier.replace([])
        assert await reader.ended() == "token_invalid"

    run(test)


def test_a_drain_says_goodbye_and_the_port_does_not_wait_for_streams(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        readers = [await port.one("user-2", group) for _ in range(3)]
        for reader in readers:
            await reader.wait("recovered")
        await port.listener.stop_accepting()
        before_s = asyncio.get_running_loop().time()
        await port.edge.gateway.drain()
        await port.listener.close()
        assert asyncio.get_running_loop().time() - before_s < 1
        for reader in readers:
            assert await reader.ended() == "server_draining"
            assert reader.retry_ms == reader.all("goodbye")[0].data["reconnect_after_ms"]

    run(test)


def test_a_live_stream_keeps_nothing_of_its_request(run: Run) -> None:
    def left(*names: str) -> list[str]:
        return [name for name in (type(o).__name__ for o in gc.get_objects()) if name in names]

    async def test(port: Port) -> None:
        owner, group = await a_group(port)
        gc.collect()
        gc.disable()
        others = len(left("Stream"))
        try:
            for _ in range(5):
                await (await port.one("user-2", group)).wait("recovered")
            assert len(left("Stream")) == others + 5
            assert left("HttpProtocol", "RequestResponseCycle", "StreamAnswer") == []
        finally:
            gc.enable()
        for reader in port.readers:
            reader.drop()
        await until(lambda: port.edge.gateway.connections == 1)
        await owner.asked(group, "message", {"text": "to nobody"}, "later")

    run(test)


def test_pings_are_comments_and_keep_a_silent_reader(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        reader = await port.one("user-2", group)
        await reader.wait("recovered")
        wheel = port.edge.gateway.wheel
        for _ in range(100):
            wheel.tick()
        await reader.until(lambda: reader.comments == 4)
        assert not reader.lost

    run(test)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such option")
def test_the_system_gives_up_a_reader_that_acknowledges_nothing_for_two_pings(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        seen: list[int] = []
        stream = Stream()

        class Watched(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                port.streams.open(cast("asyncio.Transport", transport), stream, group, "")
                sock = transport.get_extra_info("socket")
                seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

        listening = await asyncio.get_running_loop().create_server(Watched, "127.0.0.1", 0)
        async with listening:
            _, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
            await until(lambda: bool(seen))
            writer.transport.abort()
        assert seen == [50_000]

    run(test)


def test_a_paused_reader_that_takes_nothing_is_given_up(run: Run) -> None:
    async def test(port: Port) -> None:
        owner, group = await a_group(port)
        reader = await port.one("user-2", group, receive_bytes=65_536)
        await reader.wait("recovered")
        reader.stop_reading()
        number = 0
        while port.edge.gateway.fell_behind == 0:
            await owner.asked(group, "message", {"text": "x" * 7_000}, f"m{number}")
            number += 1
        for _ in range(200):
            port.edge.gateway.wheel.tick()
        # The owner, too, said nothing all the while; as entries came just now, it was asked late.
        assert port.edge.gateway.statistics()["ended_idle"] == 2
        reader.read_on()
        assert await reader.ended() in ("", "idle")

    run(test, write_bytes_high=65_536, write_bytes_low=16_384)


def test_what_a_reader_sends_after_its_request_is_dropped_up_to_a_bound(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        reader = await port.one("user-2", group)
        await reader.wait("recovered")
        reader.transport.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        await port.edge.gateway.submitter.finish(timeout_s=0.1)
        assert not reader.lost
        reader.transport.write(b"x" * 66_000)
        assert await reader.ended() == "flood"

    run(test)


# Who may open one.


def test_streams_count_as_connections_do(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        assert port.streams.why_not("1.1") == ""
        assert port.streams.why_not("1.0") == "unsupported_version"
        await (await port.one("user-2", group)).wait("recovered")
        assert port.edge.gateway.connections == 2
        port.streams.apply(SocketSettings(connections_max=2))
        assert port.streams.why_not("1.1") == "too_many_connections"
        port.edge.gateway.draining = True
        assert port.streams.why_not("1.1") == "server_draining"

    run(test)


@pytest.mark.parametrize("code", ["server_draining", "too_many_connections"])
def test_what_came_to_be_while_the_head_was_written_ends_the_stream_at_once(run: Run, code: str) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        if code == "server_draining":
            port.edge.gateway.draining = True
        else:
            port.streams.apply(SocketSettings(connections_max=1))
        reader = await port.one("user-2", group)
        assert await reader.ended() == code
        assert [event.name for event in reader.events] == ["goodbye"]
        assert port.edge.gateway.connections == 1

    run(test)


def test_one_connection_may_have_served_other_requests_before(run: Run) -> None:
    async def test(port: Port) -> None:
        _, group = await a_group(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token_of('user-2')}\r\n\r\n"
        writer.write(f"GET /hello {head}GET /hello {head}GET /{group} {head}".encode())
        await reader.readuntil(b"event: recovered")
        writer.transport.abort()

    run(test)


@pytest.mark.parametrize("more", [b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /hello HTT"])
def test_what_is_sent_ahead_of_a_stream_that_does_not_end_is_never_answered(run: Run, more: bytes) -> None:
    async def test(port: Port) -> None:
        owner, group = await a_group(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token_of('user-2')}\r\n\r\n"
        writer.write(f"GET /{group} {head}".encode() + more)
        await reader.readuntil(b"event: recovered")
        # Nor is it taken for one that owes the rest of a request, as this one is.
        dawdler, dawdling = await asyncio.open_connection("127.0.0.1", port.number)
        dawdling.write(b"GET /hello HTT")
        assert await dawdler.read() == b""
        dawdling.close()
        await owner.asked(group, "message", {"text": "live"}, "live")
        await reader.readuntil(b'"text":"live"')
        writer.transport.abort()

    run(test)
