"""WebSockets over real sockets, on both event loops: good frames, every bad one, slow readers, and how it ends."""

import asyncio
import contextlib
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
import trustme
import uvloop

from folkmoot.gateway.listener import Listener, ListenerSettings
from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.tls import Certificate
from folkmoot.gateway.websocket import EXTRAS_PER_SECOND_MAX, Socket, SocketSettings, WebSocketOutlet, text_frame
from folkmoot.protocol.errors import CODES
from folkmoot.protocol.limits import FRAME_BYTES_MAX
from folkmoot.testing.rude_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WAIT_S_MAX,
    RudeClient,
    client_frame,
    upgrade_request,
)


class Echo:
    """A connection that says back what it hears, and keeps what it was told."""

    def __init__(self, doors: "EchoDoors", outlet: Outlet) -> None:
        self.outlet = outlet
        self.heard = 0
        self.received: list[bytes] = []
        self.told: list[str] = []
        self._doors = doors

    def receive(self, payload: bytes, /) -> None:
        if payload == b"fail":
            raise RuntimeError("a fault of ours")
        self.received.append(payload)
        self.outlet.write(self.outlet.frame(payload))
        self._doors.changed()

    def sign_of_life(self) -> None:
        self.heard = self._doors.now

    def paused(self) -> None:
        self._tell("paused")

    def resumed(self) -> None:
        self._tell("resumed")

    def lost(self) -> None:
        self._tell("lost")

    def end(self, code: str, detail: str = "") -> None:
        if code in self.told:
            return
        self._tell(code)
        self.outlet.write(self.outlet.frame(json.dumps({"t": "goodbye", "code": code}).encode()))
        self.outlet.close(CODES[code].close, code)

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._doors.changed()


class EchoDoors:
    """Opens echoes; `now` is the tick that their signs of life bear."""

    def __init__(self) -> None:
        self.opened: list[Echo] = []
        self.now = 1
        self.broken = False
        self._changed = asyncio.Event()

    @property
    def connections(self) -> int:
        return sum("lost" not in echo.told for echo in self.opened)

    def open(self, outlet: Outlet, /) -> Echo:
        if self.broken:
            raise RuntimeError("no doors")
        self.opened.append(Echo(self, outlet))
        return self.opened[-1]

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


Test: TypeAlias = Callable[[int, EchoDoors], Awaitable[None]]
Run: TypeAlias = Callable[..., None]


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def listening(certificate: Certificate | None, **sockets: Any) -> AsyncIterator[tuple[int, EchoDoors]]:
    doors = EchoDoors()
    settings = ListenerSettings(port=0, sockets=SocketSettings(**sockets), certificate=certificate)
    listener = Listener(settings, no_app, doors)
    url = await listener.start()
    try:
        yield int(url.rpartition(":")[2]), doors
        await doors.until(lambda: doors.connections == 0)
    finally:
        await listener.stop_accepting()
        await listener.close()


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["asyncio", "uvloop", "asyncio tls", "uvloop tls"])
def run(
    request: pytest.FixtureRequest,
    authority: trustme.CA,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run a test against a port, on either loop, bare and by TLS; at its end no connection is left open."""
    loop, _, secure = request.param.partition(" ")
    if secure:
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        monkeypatch.setattr(RudeClient, "trusting", trusting)

    def run_on(test: Test, **sockets: Any) -> None:
        async def body() -> None:
            async with listening(certificate if secure else None, **sockets) as (port, doors):
                await test(port, doors)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(body())

    return run_on


def socket_of(echo: Echo) -> Socket:
    """The socket behind a connection: what it keeps can only be seen from inside."""
    assert isinstance(echo.outlet, WebSocketOutlet)
    protocol = echo.outlet._transport.get_protocol()
    assert isinstance(protocol, Socket)
    return protocol


def goodbye(code: str) -> tuple[int, bytes]:
    return TEXT, json.dumps({"t": "goodbye", "code": code}).encode()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_a_frame_is_a_header_that_fits_and_its_payload(size: int) -> None:
    frame = text_frame(b"x" * size)
    reader_bytes = client_frame(b"x" * size, masked=False)
    assert frame == reader_bytes


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1_000, 5_000, 65_535, FRAME_BYTES_MAX])
def test_a_text_frame_of_any_size_up_to_the_bound_is_heard_whole(run: Run, size: int) -> None:
    payload = bytes(65 + n % 26 for n in range(size))

    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            for _ in range(3):
                client.say(client_frame(payload))
                assert await client.frame() == (TEXT, payload)

    run(test)


def test_frames_are_heard_in_order_however_they_are_cut(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            frames = [b"%d" % n * (n % 40) for n in range(60)]
            raw = b"".join(map(client_frame, frames))
            client.say(raw)
            for byte in raw[:400]:
                client.say(bytes((byte,)))
                await client.flush()
            client.say(raw[400:])
            for frame in frames * 2:
                assert await client.frame() == (TEXT, frame)

    run(test)


@pytest.mark.parametrize("size", [FRAME_BYTES_MAX + 1, 100_000, 10_000_000])
def test_a_frame_over_the_bound_gets_its_code_and_is_not_held(run: Run, size: int) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            behind = socket_of(doors.opened[0])
            client.say(client_frame(b"x" * size))
            assert await client.frame() == goodbye("frame_too_large")
            assert await client.close_code() == 4202
            assert doors.opened[0].received == []
            assert behind._unread is None

    run(test)


def test_a_size_that_is_a_lie_is_believed_only_as_far_as_bytes_come(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            behind = socket_of(doors.opened[0])
            client.say(client_frame(b"x" * 1_000, size=2**62))
            client.say(client_frame(b"part of the same frame"))
            client.say(b"y" * 2 * FRAME_BYTES_MAX)
            assert await client.frame() == goodbye("frame_too_large")
            assert await client.close_code() == 4202
            assert behind._unread is None
        assert doors.opened[0].received == []

    run(test)


def test_many_small_frames_at_once_do_not_grow_what_a_socket_keeps(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            payload = b"x" * 200
            for _ in range(10):
                client.say(client_frame(payload) * 500)
                for _ in range(500):
                    assert await client.frame() == (TEXT, payload)
            assert socket_of(doors.opened[0])._unread is None

    run(test)


def test_fragments_are_put_together_and_pings_between_them_answered(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            for parts in ([b"one", b"two", b"three"], [b"", b"", b"x"], [b"a" * 30_000, b"b" * 35_536]):
                client.say(client_frame(parts[0], TEXT, fin=False))
                for part in parts[1:-1]:
                    client.say(client_frame(part, CONTINUATION, fin=False))
                client.say(client_frame(b"between", PING))
                client.say(client_frame(parts[-1], CONTINUATION))
                assert await client.frame() == (PONG, b"between")
                assert await client.frame() == (TEXT, b"".join(parts))

    run(test)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([client_frame(b"x" * 40_000, TEXT, fin=False), client_frame(b"x" * 40_000, CONTINUATION)], "frame_too_large"),
        ([client_frame(b"late", CONTINUATION)], "bad_event"),
        ([client_frame(b"a", TEXT, fin=False), client_frame(b"b", TEXT)], "bad_event"),
        ([client_frame(b"{}", BINARY)], "bad_event"),
        ([client_frame(b"{}", BINARY, fin=False)], "bad_event"),
        ([client_frame(b"{}", TEXT, reserved=4)], "bad_event"),
        ([client_frame(b"{}", PING, reserved=1)], "bad_event"),
        ([client_frame(b"", TEXT, fin=False), *[client_frame(b"", CONTINUATION, fin=False)] * 1_500], "flood"),
        ([client_frame(b"p", PING)] * (EXTRAS_PER_SECOND_MAX + 1), "flood"),
        ([client_frame(b"p", PONG)] * (EXTRAS_PER_SECOND_MAX + 1), "flood"),
        ([client_frame(b"fail")], "server_error"),
    ],
)
def test_what_is_not_agreed_on_ends_with_its_code(run: Run, frames: list[bytes], code: str) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client, RudeClient.upgraded(port) as bystander:
            client.say(b"".join(frames) + client_frame(b"more"))
            answers = []
            while (frame := await client.frame()) is not None and frame[0] != CLOSE:
                answers.append(frame)
            assert [a for a in answers if a[0] != PONG] == [goodbye(code)]
            assert frame is not None
            assert int.from_bytes(frame[1][:2]) == CODES[code].close
            assert frame[1][2:] == code.encode()
            bystander.say(client_frame(b"still here"))
            assert await bystander.frame() == (TEXT, b"still here")
        assert b"more" not in doors.opened[0].received

    run(test)


@pytest.mark.parametrize(
    "raw",
    [
        client_frame(b"{}", masked=False),
        client_frame(b"{}", opcode=0x3),
        client_frame(b"{}", opcode=0xB),
        client_frame(b"p", PING, fin=False),
        client_frame(b"p" * 126, PING),
        client_frame((999).to_bytes(2), CLOSE),
        b"\x81\xfe\x00\x01\x00\x00\x00\x00x",
        b"GET / HTTP/1.1\r\n\r\n" * 100,
    ],
)
def test_what_is_no_websocket_is_closed_as_that(run: Run, raw: bytes) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            # What still comes after it is not looked at, so it is not found to be too long either.
            client.say(raw + b"\0" * 4 * FRAME_BYTES_MAX)
            frame = await client.frame()
            assert frame is not None
            assert (frame[0], frame[1][:2]) == (CLOSE, (1002).to_bytes(2))
            await client.ended()
        await doors.until(lambda: doors.opened[0].told == ["lost"])
        assert doors.opened[0].received == []

    run(test)


def test_pings_within_the_rate_go_on_for_ever(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            for second in range(2, 6):
                doors.now = second
                client.say(client_frame(b"p", PING) * EXTRAS_PER_SECOND_MAX)
                for _ in range(EXTRAS_PER_SECOND_MAX):
                    assert await client.frame() == (PONG, b"p")
            assert doors.opened[0].told == []

    run(test)


@pytest.mark.parametrize("opcode", [TEXT, PING, PONG])
def test_every_frame_is_a_sign_of_life(run: Run, opcode: int) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            doors.now = 77
            client.say(client_frame(b"x", opcode) + client_frame(b"last"))
            await doors.until(lambda: b"last" in doors.opened[0].received)
            assert doors.opened[0].heard == 77

    run(test)


def test_a_ping_of_the_server_reaches_the_client(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            doors.opened[0].outlet.ping()
            assert await client.frame() == (PING, b"")

    run(test)


def test_a_client_that_closes_is_answered_and_lost_once(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            client.say(client_frame((1000).to_bytes(2) + b"done", CLOSE) + client_frame(b"after"))
            assert await client.close_code() == 1000
            await client.ended()
        await doors.until(lambda: doors.opened[0].told == ["lost"])
        assert doors.opened[0].received == []

    run(test)


@pytest.mark.parametrize("answers", [True, False])
def test_a_close_of_the_server_says_why_and_waits_a_moment_at_most(run: Run, answers: bool) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            outlet = doors.opened[0].outlet
            outlet.write(outlet.frame(b"last words"))
            outlet.close(4000, "server_draining")
            outlet.close(4001, "too late")
            outlet.write(outlet.frame(b"never"))
            assert await client.frame() == (TEXT, b"last words")
            assert await client.frame() == (CLOSE, (4000).to_bytes(2) + b"server_draining")
            if answers:
                client.say(client_frame((4000).to_bytes(2), CLOSE))
            assert await client.frame() is None
        await doors.until(lambda: doors.opened[0].told == ["lost"])
        outlet.write(outlet.frame(b"never"))
        outlet.ping()
        outlet.close(4000, "again")

    run(test)


@pytest.mark.parametrize("how", ["reset", "half-closed"])
def test_a_client_that_vanishes_is_lost_once(run: Run, how: str) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            client.say(client_frame(b"x"))
            assert await client.frame() == (TEXT, b"x")
            if how == "half-closed":
                # TLS knows no half of a connection: its farewell is one of both ways.
                client.writer.write_eof() if client.writer.can_write_eof() else client.writer.close()
                await client.ended()
            else:
                raw = client.writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.writer.transport.abort()
            await doors.until(lambda: doors.opened[0].told == ["lost"])

    run(test)


class DeafClient:
    """One that reads nothing until it is asked to, not even below TLS: the loops' own transports read on there."""

    def __init__(self, port: int) -> None:
        plain = socket.create_connection(("127.0.0.1", port))
        trusting = RudeClient.trusting
        self._socket = trusting.wrap_socket(plain, server_hostname="127.0.0.1") if trusting else plain
        self._file = self._socket.makefile("rb")
        self._socket.sendall(upgrade_request())
        while self._file.readline() != b"\r\n":
            pass

    def say(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def test_a_slow_reader_is_paused_at_the_high_mark_not_read_from_and_resumed_at_the_low(run: Run) -> None:
    high, low = 32_768, 4_096

    async def test(port: int, doors: EchoDoors) -> None:
        client = await asyncio.to_thread(DeafClient, port)
        async with RudeClient.upgraded(port) as bystander:
            echo = doors.opened[0]
            frame, written = echo.outlet.frame(b"x" * 10_000), 0
            while "paused" not in echo.told:
                echo.outlet.write(frame)
                written += 1
                # What the system buffers comes first, and both loops hand it over in their own time.
                await asyncio.sleep(0)
            assert high <= echo.outlet.buffered() <= high + len(frame)
            await asyncio.to_thread(client.say, client_frame(b"anyone there?"))
            for _ in range(10):
                # Another is read from and answered, again and again; this one is not.
                bystander.say(client_frame(b"turn"))
                assert await bystander.frame() == (TEXT, b"turn")
            assert echo.received == []
            assert await asyncio.to_thread(client.read, written * len(frame)) == written * frame
            said = text_frame(b"anyone there?")
            assert await asyncio.to_thread(client.read, len(said)) == said
            assert echo.told == ["paused", "resumed"]
            assert echo.outlet.buffered() <= low
            await asyncio.to_thread(client.close)

    run(test, write_bytes_high=high, write_bytes_low=low)


def test_one_that_reads_nothing_is_let_go_all_the_same(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            echo = doors.opened[0]
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while "paused" not in echo.told:
                echo.outlet.write(echo.outlet.frame(b"x" * 10_000))
                await asyncio.sleep(0)
            echo.end("idle")
            await doors.until(lambda: "lost" in echo.told)

    run(test, write_bytes_high=32_768, write_bytes_low=4_096)


def test_a_fault_in_a_connection_is_logged_and_ends_that_one(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with RudeClient.upgraded(port) as client:
            client.say(client_frame(b"fail"))
            assert await client.frame() == goodbye("server_error")

    with caplog.at_level(logging.ERROR):
        run(test)
    assert "a fault of ours" in caplog.text


def test_doors_that_fail_to_open_are_logged_and_close_the_socket(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        doors.broken = True
        async with RudeClient.connect(port) as client:
            client.say(upgrade_request())
            assert (await client.answer()).status == 101
            client.say(client_frame(b"hello?"))
            assert await client.close_code() == 1011
            await client.ended()

    with caplog.at_level(logging.ERROR):
        run(test)
    assert "no doors" in caplog.text


def test_idle_sockets_have_no_task_and_no_timer_of_their_own(run: Run) -> None:
    async def test(port: int, doors: EchoDoors) -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with RudeClient.upgraded(port):
                pass
            before = len(asyncio.all_tasks())
            for _ in range(50):
                await stack.enter_async_context(RudeClient.upgraded(port))
            assert len(asyncio.all_tasks()) == before
            loop = asyncio.get_running_loop()
            scheduled = getattr(loop, "_scheduled", [])
            # asyncio's loop shows its timers: the sweep for dawdlers, and this test's own bounds.
            assert len([t for t in scheduled if not t.cancelled()]) < 10

    run(test)
