"""WebSockets on uvicorn's port: frames in, a connection answers, ready frames go straight to the transport."""

import asyncio
import logging
import struct
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from folkmoot.gateway import lane
from folkmoot.gateway.frames import (
    BINARY,
    CLOSE,
    CLOSE_PROTOCOL_ERROR,
    CONTINUATION,
    PING,
    TEXT,
    Frame,
    FrameTooLong,
    NotAFrame,
    check_close,
    read_frame,
)
from folkmoot.gateway.handshake import PATH, Refusal, Terms, UpgradeRequest, acceptance, judge
from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.proxies import Asker
from folkmoot.gateway.slots import SHUT, SLOTS
from folkmoot.protocol.codec import Codec
from folkmoot.protocol.limits import FRAME_BYTES_MAX

__all__ = ["PATH", "Doors", "Socket", "SocketSettings", "WebSocketOutlet", "text_frame", "websocket_factory"]

CLOSE_WAIT_S: Final = 1.0
EXTRAS_PER_SECOND_MAX: Final = 1_000
"""Pings, pongs and fragments, which no event's rate covers. More, and the connection ends with `flood`."""

_PING: Final = b"\x89\x00"

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

    write_bytes_high: int = 49_152
    write_bytes_low: int = 16_384
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
    Its transport calls `pause_writing` as soon as it holds a byte, so nothing has to be asked before a write. What is
    written until that has drained waits here: uvloop keeps 800 bytes beside each write that it queues.
    """

    __slots__ = (
        "_bytes_high", "_bytes_low", "_closing", "_held", "_held_bytes", "_is_over", "_transport", "codec", "peer",
        "slot", "wire", "write",
    )  # fmt: skip

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
        self._held: list[bytes] | None = None
        self._held_bytes = 0

    def begin(self) -> None:
        """The protocol passes on what the transport says from here on, which may say it at once."""
        if self.slot == SHUT:
            self._transport.set_write_buffer_limits(self._bytes_high, self._bytes_low)
        else:
            self._open()
            self._transport.set_write_buffer_limits(0, 0)

    def holds_back(self) -> bool:
        """The transport holds bytes back, more than its limit: whether that is too much."""
        if self.slot == SHUT:
            return True
        SLOTS.shut(self.slot)
        if self._closing:
            return False
        self._held = []
        self.write = self._hold
        return self._over()

    def drained(self) -> bool:
        """The transport is down to its low mark: whether that ends having held too much."""
        if self.slot == SHUT:
            return True
        if self._closing or self._transport.is_closing():
            return False
        held = self._take_held()
        self.write = self._transport.write
        if held:
            # It may hold some of that back, and then it has just said so.
            self._transport.write(held)
        if self._held is None:
            self._open()
        if not self._is_over or self.buffered() > self._bytes_low:
            return False
        self._is_over = False
        return True

    def _open(self) -> None:
        SLOTS.open(self.slot, self._transport.get_extra_info("socket").fileno())

    def _hold(self, frames: bytes) -> None:
        if self._held is None:
            return
        self._held.append(frames)
        self._held_bytes += len(frames)
        if self._over():
            self._transport.get_protocol().too_much_held()  # type: ignore[attr-defined]

    def _take_held(self) -> bytes:
        held, self._held, self._held_bytes = self._held, None, 0
        return b"".join(held or ())

    def _over(self) -> bool:
        """Whether it holds too much, and did not before."""
        if self._is_over or self.buffered() <= self._bytes_high:
            return False
        self._is_over = True
        return True

    def frame(self, payload: bytes, /) -> bytes:
        return text_frame(payload)

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size() + self._held_bytes

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
        self._transport.write(self._take_held() + struct.pack("!BB", 0x88, len(body)) + body)
        # The other end has a moment to read why and to answer: a reset at once could take the reason with it.
        asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self._let_go)

    def gone(self) -> None:
        """The socket is no more: later writes go nowhere. Before its descriptor is closed."""
        self._shut()
        self._take_held()

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


class Socket(asyncio.Protocol):
    """One WebSocket: what the event loop drives, with nothing kept of a frame but the part that has come.

    The loop reads into one buffer for all sockets and hands over bytes, since this is a plain protocol.
    """

    __slots__ = (
        "_asker", "_connection", "_deaf", "_doors", "_extras", "_outlet", "_parts", "_settings", "_transport",
        "_unread",
    )  # fmt: skip

    def __init__(self, doors: Doors, settings: SocketSettings, asker: Asker) -> None:
        self._doors = doors
        self._settings = settings
        self._asker: Asker | None = asker
        self._outlet: WebSocketOutlet | None = None
        self._transport: asyncio.Transport | None = None
        self._connection: Driven | None = None
        self._parts: bytearray | None = None
        self._unread: bytearray | None = None
        self._extras = 0
        self._deaf = False

    def upgrade(self, transport: asyncio.Transport, request: UpgradeRequest) -> None:
        """Answer the request that the transport, whose protocol this is now, was opened with; open a connection."""
        asker, self._asker = self._asker, None
        assert asker is not None
        settings = self._settings
        terms = Terms(
            connections_max=settings.connections_max,
            origins=settings.origins,
            host=asker.host,
            is_https=asker.is_https,
        )
        verdict = judge(request, terms, self._doors.connections)
        if isinstance(verdict, Refusal):
            transport.write(verdict.response())
            transport.close()
            return
        transport.write(acceptance(request, verdict))
        self._transport = transport
        self._outlet = WebSocketOutlet(transport, verdict, asker.address, settings)
        self._outlet.begin()
        try:
            self._connection = self._doors.open(self._outlet)
        except Exception:
            _log.exception("a connection could not be opened")
            self._outlet.close(1011, "")

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._connection is None:
            return
        unread: bytes | bytearray = data
        if self._unread is not None:
            self._unread += data
            unread = self._unread
        at = 0
        try:
            while at < len(unread) and not self._deaf:
                frame = read_frame(unread, at, payload_bytes_max=FRAME_BYTES_MAX)
                if frame is None:
                    break
                at = frame.end
                self._on_frame(self._connection, frame)
        except FrameTooLong:
            self._fail(self._connection, "frame_too_large", f"over {FRAME_BYTES_MAX} bytes")
        except NotAFrame:
            self._not_a_frame()
        self._unread = None if self._deaf or at == len(unread) else bytearray(memoryview(unread)[at:])

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
        connection, self._connection = self._connection, None
        self._unread = self._parts = None
        if self._outlet is not None:
            self._outlet.gone()
        if connection is not None:
            connection.lost()
        if self._outlet is not None:
            self._outlet.let_go()

    # What is in the frames.

    def _on_frame(self, connection: Driven, frame: Frame) -> None:
        try:
            self._take(connection, frame)
        except NotAFrame:
            raise
        except Exception:
            # Of the server's making.
            _log.exception("a frame could not be taken")
            self._fail(connection, "server_error", "")

    def _take(self, connection: Driven, frame: Frame) -> None:
        before = connection.heard
        connection.sign_of_life()
        if connection.heard != before:
            self._extras = 0
        if frame.has_reserved:
            self._fail(connection, "bad_event", "no extension was agreed on")
        elif frame.opcode == TEXT and frame.is_final and self._parts is None:
            connection.receive(frame.payload)
        elif frame.opcode == BINARY:
            self._fail(connection, "bad_event", "this sub-protocol has text frames only")
        elif frame.opcode == CLOSE:
            check_close(frame.payload)
            self._answer_close()
        else:
            self._take_extra(connection, frame)

    def _take_extra(self, connection: Driven, frame: Frame) -> None:
        self._extras += 1
        if self._extras > EXTRAS_PER_SECOND_MAX:
            self._fail(connection, "flood", "too many pings or fragments")
        elif frame.opcode == PING:
            if self._outlet is not None:
                self._outlet.pong(frame.payload)
        elif frame.opcode in (TEXT, CONTINUATION):
            self._assemble(connection, frame)

    def _assemble(self, connection: Driven, frame: Frame) -> None:
        if (frame.opcode == TEXT) != (self._parts is None):
            self._fail(connection, "bad_event", "a fragment out of place")
            return
        parts = self._parts if self._parts is not None else bytearray()
        parts += frame.payload
        self._parts = None if frame.is_final else parts
        if len(parts) > FRAME_BYTES_MAX:
            self._fail(connection, "frame_too_large", f"over {FRAME_BYTES_MAX} bytes")
        elif frame.is_final:
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

    def _not_a_frame(self) -> None:
        """What came is no WebSocket's, and so is all that comes after it."""
        self._deaf = True
        self._parts = None
        if self._outlet is not None:
            self._outlet.close(CLOSE_PROTOCOL_ERROR, "")


def websocket_factory(doors: Doors, settings: Callable[[], SocketSettings]) -> Callable[..., Socket]:
    """What uvicorn's `ws=` takes: it makes the protocol of a connection that asked to be upgraded.

    `settings`: those that hold now, so that the next socket has them.
    """

    def make(*, asker: Asker, **_: Any) -> Socket:
        return Socket(doors, settings(), asker)

    return make


def _is_plain(transport: asyncio.Transport) -> bool:
    """Whether what is written to it goes to its descriptor as it is, at once where it holds nothing back."""
    kind = type(transport)
    return f"{kind.__module__}.{kind.__qualname__}" in _PLAIN


_PLAIN: Final = {"uvloop.loop.TCPTransport", "asyncio.selector_events._SelectorSocketTransport"}
_SETTINGS: Final = SocketSettings()


def _ignore(_: bytes) -> None:
    """Where writes go once a socket is gone."""
