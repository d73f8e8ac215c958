"""A real WebSocket over loopback: frames whole, pings answered and heard, reads marked, ends told with their code."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from folkmoot.client.errors import NotConnected
from folkmoot.client.link import LOST, Link, connect, connecting, socket_url
from folkmoot.protocol.events import SUBPROTOCOL_JSON


class Notes:
    """A link's end that notes what it is told, in order."""

    def __init__(self) -> None:
        self.notes: list[object] = []
        self._changed = asyncio.Event()

    def heard(self) -> None:
        self._note("heard")

    def frame(self, payload: bytes) -> None:
        self._note(payload)

    def read_done(self) -> None:
        self._note("read")

    def lost(self, close_code: int) -> None:
        self._note(close_code)

    async def until(self, condition: Callable[[list[object]], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition(self.notes):
                self._changed.clear()
                await self._changed.wait()

    def _note(self, what: object) -> None:
        self.notes.append(what)
        self._changed.set()


class FarSide(WSListener):
    """The server's side of one connection."""

    def __init__(self, request: WSUpgradeRequest) -> None:
        self.offered = request.headers.get("Sec-WebSocket-Protocol")
        self.path = request.path
        self.frames: list[bytes] = []
        self.pongs: list[bytes] = []
        self.transport: WSTransport | None = None
        self.gone = False
        self.changed = asyncio.Event()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.gone = True
        self.changed.set()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.changed.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.frames.append(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.PONG:
            self.pongs.append(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        self.changed.set()

    @property
    def wire(self) -> WSTransport:
        assert self.transport is not None
        return self.transport

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


def linked(test: Callable[[Link, Notes, FarSide], Awaitable[None]]) -> None:
    """Run `test` with a link to a server on a free port of loopback."""

    async def body() -> None:
        sides: list[FarSide] = []

        def side(request: WSUpgradeRequest) -> FarSide:
            sides.append(FarSide(request))
            return sides[-1]

        server = await ws_create_server(side, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        notes = Notes()
        try:
            link = await connect(socket_url(f"http://127.0.0.1:{port}"), notes)
            await sides[0].until(lambda: sides[0].transport is not None)
            try:
                await test(link, notes, sides[0])
            finally:
                link.abort()
                await sides[0].until(lambda: sides[0].gone)
                await notes.until(lambda told: any(isinstance(note, int) for note in told))
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(body())


def frame_of(kind: int, payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes((kind, len(payload))) + payload


def test_offers_the_subprotocol_at_the_sockets_path() -> None:
    async def body(link: Link, notes: Notes, far: FarSide) -> None:
        assert far.offered == SUBPROTOCOL_JSON
        assert far.path == b"/v1/socket"

    linked(body)


def test_frames_arrive_whole_and_in_order_both_ways() -> None:
    async def body(link: Link, notes: Notes, far: FarSide) -> None:
        link.write([b"one", b"two"])
        link.write([b"three"])
        await far.until(lambda: len(far.frames) == 3)
        assert far.frames == [b"one", b"two", b"three"]
        far.wire.send(WSMsgType.TEXT, b"x" * 100_000)
        await notes.until(lambda told: b"x" * 100_000 in told)

    linked(body)


def test_the_frames_of_one_read_are_one_batch() -> None:
    async def body(link: Link, notes: Notes, far: FarSide) -> None:
        far.wire.underlying_transport.write(frame_of(0x81, b"a") + frame_of(0x81, b"b") + frame_of(0x81, b"c"))
        await notes.until(lambda told: "read" in told)
        assert notes.notes == ["heard", b"a", b"b", b"c", "read"]

    linked(body)


def test_a_frame_in_pieces_is_handed_on_whole() -> None:
    async def body(link: Link, notes: Notes, far: FarSide) -> None:
        for piece in (frame_of(0x01, b"half "), frame_of(0x89, b"between"), frame_of(0x80, b"and half")):
            far.wire.underlying_transport.write(piece)
        await notes.until(lambda told: b"half and half" in told)
        far.wire.underlying_transport.write(frame_of(0x81, b"next"))
        await notes.until(lambda told: b"next" in told)

    linked(body)


def test_a_ping_is_answered_and_heard() -> None:
    async def body(link: Link, notes: Notes, far: FarSide) -> None:
        far.wire.send_ping(b"are you there")
        await far.until(lambda: bool(far.pongs))
        assert far.pongs == [b"are you there"]
        assert notes.notes == ["heard", "read"]

    linked(body)


@pytest.mark.parametrize("code", [4000, 4100, 4204, 1001])
def test_the_close_code_is_told(code: int) -> None:
    async def body(link: Link, notes: Notes, far: FarSide) -> None:
        far.wire.underlying_transport.write(frame_of(0x88, code.to_bytes(2, "big") + b"why"))
        await notes.until(lambda told: code in told)
        assert notes.notes.count(code) == 1
        link.write([b"into the void"])

    linked(body)


def test_a_link_that_breaks_has_no_code() -> None:
    async def body(link: Link, notes: Notes, far: FarSide) -> None:
        far.wire.disconnect(graceful=False)
        await notes.until(lambda told: LOST in told)

    linked(body)


def test_taking_leave() -> None:
    async def body(link: Link, notes: Notes, far: FarSide) -> None:
        link.close()
        await notes.until(lambda told: LOST in told)
        link.close()
        link.abort()

    linked(body)


def test_nobody_there() -> None:
    async def body() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotConnected):
            await connect(f"ws://127.0.0.1:{port}/v1/socket", Notes())
        server.close()
        await server.wait_closed()
        with pytest.raises(NotConnected):
            await connect(f"ws://127.0.0.1:{port}/v1/socket", Notes())

    asyncio.run(body())


@pytest.mark.parametrize(
    ("url", "socket"),
    [
        ("http://127.0.0.1:8420", "ws://127.0.0.1:8420/v1/socket"),
        ("https://chat.example/", "wss://chat.example/v1/socket"),
        ("wss://chat.example/moot", "wss://chat.example/moot/v1/socket"),
        ("ws://127.0.0.1:1/v1/socket", "ws://127.0.0.1:1/v1/socket"),
    ],
)
def test_addresses(url: str, socket: str) -> None:
    assert socket_url(url) == socket


@pytest.mark.parametrize("url", ["", "127.0.0.1:8420", "ftp://x", "http://", "http://a:b@h", "http://h/?token=x"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        socket_url(url)


def test_a_file_that_names_no_authority_is_said_so(tmp_path: Path) -> None:
    assert connecting() is connect
    (tmp_path / "text").write_text("not a certificate")
    for path in (tmp_path / "none", tmp_path / "text"):
        with pytest.raises(ValueError, match="no certificate of an authority"):
            connecting(path)
