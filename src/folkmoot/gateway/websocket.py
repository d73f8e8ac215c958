"""WebSockets on uvicorn's port: picows parses, a connection answers, ready frames go straight to the transport."""

import asyncio
import logging
import struct
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from multidict import CIMultiDict
from picows import (
    WSAutoPingStrategy,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from folkmoot.gateway import lane
from folkmoot.gateway.handshake import PATH, Refusal, Terms, judge
from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.proxies import Asker
from folkmoot.gateway.slots import SHUT, SLOTS
from folkmoot.protocol.codec import CODECS, Codec
from folkmoot.protocol.limits import FRAME_BYTES_MAX

__all__ = ["PATH", "Doors", "Socket", "SocketSettings", "WebSocketOutlet", "text_frame", "websocket_factory"]

CLOSE_WAIT_S: Final = 1.0
SLICE_BYTES: Final = 1_024
"""What picows is fed at once. It doubles its buffer whenever that is full, for good: so only a long frame fills it."""

EXTRAS_PER_SECOND_MAX: Final = 1_000
"""Pings, pongs and fragments, which no event's rate covers. More, and the connection ends with `flood`."""

_PING: Final = b"\x89\x00"
_NO_HEADERS: Final[CIMultiDict[str]] = CIMultiDict()
_NO_LIMIT: Final = 2**62

_log = logging.getLogger(__name__)


class Driven(Protocol):
    """A connection, as a transport drives it. None of these raises for what a client does."""

    heard: int

    def receive(self, payload: bytes, /) -> None: ...

    def sign_of_life(self) -> None:
        """Sets `heard` to the wheel's tick, which is a second."""

    def paused(self) -> None: ...

    def resumed(self) -> None: ...

    def lost(self) -> None: ...

    def end(self, code: str, detail: str = "") -> None:
        """Say goodbye with `code` and close the outlet."""


class Doors(Protocol):
    """What a socket opens connections on: a gateway."""

    @property
    def connections(self) -> int: ...

    def open(self, outlet: Outlet, /) -> Driven: ...


class SocketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of sockets; `node/config.py` says why they are what they are. `origins`: beside the host's own."""

    write_bytes_high: int = 262_144
    write_bytes_low: int = 65_536
    connections_max: int = 15_000
    origins: tuple[str, ...] = ()


def text_frame(payload: bytes) -> bytes:
    """The ready bytes of a server's text frame: whole, unmasked, not compressed (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


class WebSocketOutlet:
    """`Outlet` over one WebSocket. `write` is the transport's own method: nothing stands between it and the fan-out.

    A plain socket has a slot, which is open while its transport holds nothing back: then feeds write by its descriptor.
    Its transport calls `pause_writing` as soon as it holds a byte, so nothing has to be asked before a write; how much
    it may hold is looked at here, at each write until it has drained.
    """

    __slots__ = (
        "_bytes_high",
        "_bytes_low",
        "_closing",
        "_is_over",
        "_transport",
        "codec",
        "peer",
        "slot",
        "wire",
        "write",
    )

    def __init__(
        self, transport: asyncio.Transport, codec: Codec, peer: str = "", settings: SocketSettings | None = None
    ) -> None:
        settings = settings or _SETTINGS
        self.codec = codec
        self.peer = peer
        self.slot = SLOTS.take() if lane.volley is not None and _is_plain(transport) else SHUT
        self.wire = sys.intern(f"{'ws' if self.slot == SHUT else 'fd'}:{codec.subprotocol}")
        self.write: Callable[[bytes], None] = transport.write
        self._transport = transport
        self._bytes_high = settings.write_bytes_high
        self._bytes_low = settings.write_bytes_low
        self._closing = False
        self._is_over = False

    def begin(self) -> None:
        """The protocol passes on what the transport says from here on, which may say it at once."""
        if self.slot == SHUT:
            self._transport.set_write_buffer_limits(self._bytes_high, self._bytes_low)
        else:
            self._open()

    def holds_back(self) -> bool:
        """The transport holds bytes back, more than its limit: whether that is too much."""
        if self.slot == SHUT:
            return True
        SLOTS.shut(self.slot)
        if not self._closing:
            self.write = self._write_watched
        return self._over()

    def drained(self) -> bool:
        """The transport is down to its low mark: whether it had held too much."""
        if self.slot == SHUT:
            return True
        was_over, self._is_over = self._is_over, False
        if not self._closing and not self._transport.is_closing():
            self.write = self._transport.write
            # Where anything is left, this tells of it at once.
            self._open()
        return was_over

    def _open(self) -> None:
        SLOTS.open(self.slot, self._transport.get_extra_info("socket").fileno())
        self._transport.set_write_buffer_limits(0, 0)

    def _write_watched(self, frames: bytes) -> None:
        self._transport.write(frames)
        if self._over():
            self._transport.get_protocol().too_much_held()  # type: ignore[attr-defined]

    def _over(self) -> bool:
        """Whether it holds too much, and did not before."""
        if self._is_over or self._closing or self._transport.get_write_buffer_size() <= self._bytes_high:
            return False
        self._is_over = True
        # It is paused already, so only the low mark matters: it resumes there, not when it is empty.
        self._transport.set_write_buffer_limits(self._bytes_high, self._bytes_low)
        return True

    def frame(self, payload: bytes, /) -> bytes:
        return text_frame(payload)

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    def ping(self) -> None:
        if not self._transport.is_closing():
            self.write(_PING)

    def pong(self, payload: bytes) -> None:
        """Answer a ping, whose payload has at most 125 bytes."""
        if not self._transport.is_closing():
            self.write(struct.pack("!BB", 0x8A, len(payload)) + payload)

    def close(self, code: int, reason: str) -> None:
        if self._closing:
            return
        self._shut()
        if self._transport.is_closing():
            return
        body = struct.pack("!H", code) + reason.encode()[:120]
        self._transport.write(struct.pack("!BB", 0x88, len(body)) + body)
        # The other end has a moment to read why and to answer: a reset at once could take the reason with it.
        asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self._let_go)

    def gone(self) -> None:
        """The socket is no more: later writes go nowhere. Before its descriptor is closed."""
        self._shut()

    def let_go(self) -> None:
        """It is on no feed any more: its slot may be another's. Once, after `gone`."""
        if self.slot != SHUT:
            SLOTS.let_go(self.slot)

    def _shut(self) -> None:
        self._closing = True
        self.write = _ignore
        if self.slot != SHUT:
            SLOTS.shut(self.slot)

    def _let_go(self) -> None:
        if self._transport.get_write_buffer_size():
            # It reads nothing: what waits for it would wait for ever.
            self._transport.abort()
        else:
            self._transport.close()


class Socket(WSListener, asyncio.Protocol):
    """One WebSocket: what the event loop drives and what picows tells, in one object to keep an idle one small.

    The loop reads into one buffer for all sockets and hands over bytes, since this is a plain protocol; picows' own
    would keep a buffer each. A frame that is too long is noticed by its length so far, before picows has held it all.
    """

    __slots__ = (
        "_asker", "_connection", "_deaf", "_doors", "_extras", "_outlet", "_parts", "_picows", "_settings",
        "_transport", "_unparsed",
    )  # fmt: skip

    def __init__(self, doors: Doors, settings: SocketSettings, asker: Asker) -> None:
        self._doors = doors
        self._settings = settings
        self._asker: Asker | None = asker
        self._outlet: WebSocketOutlet | None = None
        self._transport: asyncio.Transport | None = None
        self._connection: Driven | None = None
        self._parts: bytearray | None = None
        self._unparsed = 0
        self._extras = 0
        self._deaf = False
        self._picows = _parser(self._accept)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._picows.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        picows = self._picows
        if picows is None or self._deaf:
            return
        view = memoryview(data)
        while view:
            buffer = picows.get_buffer(-1)
            count = min(len(buffer), len(view), SLICE_BYTES)
            buffer[:count] = view[:count]
            view = view[count:]
            self._unparsed += count
            picows.buffer_updated(count)
            if self._unparsed > FRAME_BYTES_MAX + SLICE_BYTES and self._connection is not None:
                self._fail(self._connection, "frame_too_large", f"over {FRAME_BYTES_MAX} bytes")
            # Not a WebSocket frame: picows has said so, and closes in a moment.
            if self._deaf or picows.transport.is_close_frame_sent:
                self._deaf = True
                return

    def pause_writing(self) -> None:
        if self._outlet is not None and self._outlet.holds_back():
            self.too_much_held()

    def too_much_held(self) -> None:
        """The other end does not read, or too slowly."""
        if self._connection is not None and self._transport is not None:
            # While it does not read, it is not read from: what it might ask for would only lengthen the buffer.
            self._transport.pause_reading()
            self._connection.paused()

    def resume_writing(self) -> None:
        if self._outlet is None or not self._outlet.drained():
            return
        if self._connection is not None and self._transport is not None:
            if not self._transport.is_closing():
                self._transport.resume_reading()
            self._connection.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        picows, connection = self._picows, self._connection
        self._picows = self._connection = None
        if self._outlet is not None:
            self._outlet.gone()
        picows.connection_lost(exc)
        if connection is not None:
            connection.lost()
        if self._outlet is not None:
            self._outlet.let_go()

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        # An idle connection keeps nothing of how it came to be.
        request = transport.request
        request.method, request.path, request.version, request.headers = b"GET", b"", b"", _NO_HEADERS
        raw = transport.underlying_transport
        assert self._outlet is None
        self._unparsed = 0
        self._transport = raw
        codec = CODECS[transport.response.headers["Sec-WebSocket-Protocol"]]
        peer = self._asker.address if self._asker is not None else ""
        self._outlet = WebSocketOutlet(raw, codec, peer, self._settings)
        self._outlet.begin()
        self._asker = None
        try:
            self._connection = self._doors.open(self._outlet)
        except Exception:
            _log.exception("a connection could not be opened")
            self._outlet.close(1011, "")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._unparsed = 0
        connection = self._connection
        if connection is None or self._deaf:
            return
        try:
            self._take(connection, frame)
        except Exception:
            # Of the server's making; picows would close without a word to the logs.
            _log.exception("a frame could not be taken")
            self._fail(connection, "server_error", "")

    def _take(self, connection: Driven, frame: WSFrame) -> None:
        before = connection.heard
        connection.sign_of_life()
        if connection.heard != before:
            self._extras = 0
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._fail(connection, "bad_event", "no extension was agreed on")
        elif frame.payload_size > FRAME_BYTES_MAX:
            self._fail(connection, "frame_too_large", f"over {FRAME_BYTES_MAX} bytes")
        elif kind == WSMsgType.TEXT and frame.fin and self._parts is None:
            connection.receive(frame.get_payload_as_bytes())
        elif kind == WSMsgType.BINARY:
            self._fail(connection, "bad_event", "this sub-protocol has text frames only")
        elif kind == WSMsgType.CLOSE:
            self._answer_close()
        else:
            self._take_extra(connection, frame)

    def _take_extra(self, connection: Driven, frame: WSFrame) -> None:
        self._extras += 1
        if self._extras > EXTRAS_PER_SECOND_MAX:
            self._fail(connection, "flood", "too many pings or fragments")
        elif frame.msg_type == WSMsgType.PING:
            if self._outlet is not None:
                self._outlet.pong(frame.get_payload_as_bytes())
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            self._assemble(connection, frame)

    def _assemble(self, connection: Driven, frame: WSFrame) -> None:
        if (frame.msg_type == WSMsgType.TEXT) != (self._parts is None):
            self._fail(connection, "bad_event", "a fragment out of place")
            return
        parts = self._parts if self._parts is not None else bytearray()
        parts += frame.get_payload_as_bytes()
        self._parts = None if frame.fin else parts
        if len(parts) > FRAME_BYTES_MAX:
            self._fail(connection, "frame_too_large", f"over {FRAME_BYTES_MAX} bytes")
        elif frame.fin:
            connection.receive(bytes(parts))

    def _fail(self, connection: Driven, code: str, detail: str) -> None:
        """End the connection and hear nothing more. What still comes is read and dropped: a reset could hide why."""
        self._deaf = True
        self._parts = None
        connection.end(code, detail)

    def _answer_close(self) -> None:
        self._deaf = True
        if self._outlet is not None and self._transport is not None:
            self._outlet.close(1000, "")
            self._transport.close()

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        settings, asker = self._settings, self._asker
        assert asker is not None
        terms = Terms(
            connections_max=settings.connections_max,
            origins=settings.origins,
            host=asker.host,
            is_https=asker.is_https,
        )
        verdict = judge(request, terms, self._doors.connections)
        if isinstance(verdict, Refusal):
            return WSUpgradeResponseWithListener(verdict.response(), None)
        return WSUpgradeResponseWithListener(_ACCEPTED[verdict.subprotocol], self)


def websocket_factory(doors: Doors, settings: Callable[[], SocketSettings]) -> Callable[..., Socket]:
    """What uvicorn's `ws=` takes: it makes the protocol of a connection that asked to be upgraded.

    `settings`: those that hold now, so that the next socket has them.
    """

    def make(*, asker: Asker, **_: Any) -> Socket:
        return Socket(doors, settings(), asker)

    return make


def _parser(accept: Callable[[WSUpgradeRequest], WSUpgradeResponseWithListener]) -> Any:
    return WSProtocol(
        None,  # host and path: a client's
        None,
        False,  # is_client_side
        accept,
        _QUIET,
        True,  # disconnect_on_exception
        None,  # no timer a handshake: it comes whole, from uvicorn
        False,  # no pings of picows' own, each a task: one wheel pings all
        0,
        0,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        False,  # pings are answered here, where they are counted
        _NO_LIMIT,  # its own bound would close with a code of its own, and hold what comes meanwhile
        None,
        0,  # the least read buffer that it makes
    )


def _accepted(codec: Codec) -> WSUpgradeResponse:
    response: WSUpgradeResponse = WSUpgradeResponse.create_101_response(
        extra_headers={"Sec-WebSocket-Protocol": codec.subprotocol}
    )
    return response


# One answer for all who speak a codec: picows sets its own header in it and makes bytes of it in the same step.
_ACCEPTED: Final = {codec.subprotocol: _accepted(codec) for codec in CODECS.values()}


def _is_plain(transport: asyncio.Transport) -> bool:
    """Whether what is written to it goes to its descriptor as it is, at once where it holds nothing back."""
    kind = type(transport)
    return f"{kind.__module__}.{kind.__qualname__}" in _PLAIN


_PLAIN: Final = {"uvloop.loop.TCPTransport", "asyncio.selector_events._SelectorSocketTransport"}
_SETTINGS: Final = SocketSettings()


def _ignore(_: bytes) -> None:
    """Where writes go once a socket is gone."""


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """picows makes a logger for every connection unless it is handed something else: this one is shared."""


# What picows has to say is a client's doing: it would let any client fill the logs.
_QUIET: Final = _Quiet(logging.getLogger("folkmoot.picows"), {})
_QUIET.setLevel(logging.CRITICAL)
