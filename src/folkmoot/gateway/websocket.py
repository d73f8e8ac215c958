"""WebSockets on uvicorn's port: picows parses, a connection answers, ready frames go straight to the transport."""

import asyncio
import json
import logging
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

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

from folkmoot.gateway.connection import Connection
from folkmoot.gateway.outlet import Outlet
from folkmoot.protocol.codec import CODECS, Codec
from folkmoot.protocol.limits import FRAME_BYTES_MAX

PATH: Final = "/v1/socket"
READ_BUFFER_BYTES: Final = 512
PARSED_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""A frame up to here is read and answered with `frame_too_large`; a larger one is cut off at its header, with 1009."""

CLOSE_WAIT_S: Final = 1.0
_PING: Final = b"\x89\x00"
_NO_HEADERS: Final[CIMultiDict[str]] = CIMultiDict()


class Doors(Protocol):
    """What a socket opens connections on: a gateway."""

    @property
    def connections(self) -> int: ...

    def open(self, outlet: Outlet) -> Connection: ...


class SocketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of sockets; `node/config.py` says why they are what they are. `origins` None: the host's own only."""

    write_bytes_high: int = 262_144
    write_bytes_low: int = 65_536
    connections_max: int = 15_000
    origins: tuple[str, ...] | None = None


def text_frame(payload: bytes) -> bytes:
    """The ready bytes of a server's text frame: whole, unmasked, not compressed (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


class WebSocketOutlet:
    """`Outlet` over one WebSocket. `write` is the transport's own method: nothing stands between it and the fan-out."""

    __slots__ = ("_closing", "_loop", "_transport", "codec", "peer", "wire", "write")

    def __init__(self, transport: asyncio.Transport, codec: Codec) -> None:
        self.codec = codec
        self.wire = f"ws:{codec.subprotocol}"
        self.peer = str((transport.get_extra_info("peername") or ("",))[0])
        self.write: Callable[[bytes], None] = transport.write
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._closing = False

    def frame(self, payload: bytes, /) -> bytes:
        return text_frame(payload)

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    def ping(self) -> None:
        if not self._closing and not self._transport.is_closing():
            self._transport.write(_PING)

    def close(self, code: int, reason: str) -> None:
        if self._closing:
            return
        self._closing = True
        self.write = _ignore
        if self._transport.is_closing():
            return
        body = struct.pack("!H", code) + reason.encode()[:120]
        self._transport.write(struct.pack("!BB", 0x88, len(body)) + body)
        # The other end has a moment to read why and to answer: a reset at once could take the reason with it.
        self._loop.call_later(CLOSE_WAIT_S, self._let_go)

    def gone(self) -> None:
        """The socket is no more: later writes go nowhere."""
        self._closing = True
        self.write = _ignore

    def _let_go(self) -> None:
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()


class Socket(WSListener):
    """What picows tells of one WebSocket, passed on to its connection."""

    def __init__(self, doors: Doors, codec: Codec, settings: SocketSettings) -> None:
        self._doors = doors
        self._codec = codec
        self._settings = settings
        self._outlet: WebSocketOutlet | None = None
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._parts: bytearray | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        # An idle connection keeps nothing of how it came to be.
        transport.request.headers = _NO_HEADERS
        transport.response.headers = _NO_HEADERS
        raw = transport.underlying_transport
        raw.set_write_buffer_limits(self._settings.write_bytes_high, self._settings.write_bytes_low)
        self._transport = raw
        self._outlet = WebSocketOutlet(raw, self._codec)
        self._connection = self._doors.open(self._outlet)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.sign_of_life()
        kind = frame.msg_type
        if kind == WSMsgType.TEXT and frame.fin and self._parts is None:
            connection.receive(frame.get_payload_as_bytes())
        elif kind in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            self._assemble(connection, frame)
        elif kind == WSMsgType.BINARY:
            connection.end("bad_event", "this sub-protocol has text frames only")
        elif kind == WSMsgType.CLOSE:
            self._answer_close()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._outlet is not None:
            self._outlet.gone()
        if self._connection is not None:
            self._connection.lost()
        self._connection = None

    def pause_writing(self) -> None:
        if self._connection is not None and self._transport is not None:
            # While it does not read, it is not read from: what it might ask for would only lengthen the buffer.
            self._transport.pause_reading()
            self._connection.paused()

    def resume_writing(self) -> None:
        if self._connection is not None and self._transport is not None:
            self._transport.resume_reading()
            self._connection.resumed()

    def _assemble(self, connection: Connection, frame: WSFrame) -> None:
        if (frame.msg_type == WSMsgType.TEXT) != (self._parts is None):
            connection.end("bad_event", "a fragment out of place")
            return
        parts = self._parts = self._parts or bytearray()
        parts += frame.get_payload_as_bytes()
        if len(parts) > FRAME_BYTES_MAX:
            self._parts = bytearray()
            connection.end("frame_too_large", f"over {FRAME_BYTES_MAX} bytes")
        elif frame.fin:
            self._parts = None
            connection.receive(bytes(parts))

    def _answer_close(self) -> None:
        if self._outlet is not None and self._transport is not None:
            self._outlet.close(1000, "")
            self._transport.close()


class _Protocol(WSProtocol):  # type: ignore[misc]
    """picows' protocol, fed by uvicorn with the bytes of the request that it has already read."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            buffer = self.get_buffer(-1)
            count = min(len(buffer), len(view))
            buffer[:count] = view[:count]
            self.buffer_updated(count)
            view = view[count:]


def websocket_factory(doors: Doors, settings: SocketSettings) -> Callable[..., asyncio.BufferedProtocol]:
    """What uvicorn's `ws=` takes: it makes the protocol of a connection that asked to be upgraded."""

    def accept(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        refusal, codec = _judge(request, doors, settings)
        if refusal is not None or codec is None:
            return WSUpgradeResponseWithListener(refusal, None)  # type: ignore[arg-type]
        response = WSUpgradeResponse.create_101_response(extra_headers={"Sec-WebSocket-Protocol": codec.subprotocol})
        return WSUpgradeResponseWithListener(response, Socket(doors, codec, settings))

    def make(**_: Any) -> asyncio.BufferedProtocol:
        protocol: asyncio.BufferedProtocol = _Protocol(
            None,  # host and path: a client's
            None,
            False,  # is_client_side
            accept,
            _QUIET,
            True,  # disconnect_on_exception
            None,  # no timer a handshake: the listener's bound on requests covers it
            False,  # no pings of picows' own, each a task: one wheel pings all
            0,
            0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            True,  # pings are answered
            PARSED_BYTES_MAX,
            None,
            READ_BUFFER_BYTES,
        )
        return protocol

    return make


def _judge(
    request: WSUpgradeRequest, doors: Doors, settings: SocketSettings
) -> tuple[WSUpgradeResponse | None, Codec | None]:
    path = request.path.decode("ascii", "replace")
    if path != PATH:
        return _problem(HTTPStatus.NOT_FOUND, "not_found", f"the socket is at {PATH}, and takes no query"), None
    if not _origin_allowed(request.headers, settings.origins):
        return _problem(HTTPStatus.FORBIDDEN, "origin_not_allowed", "pages of this origin may not connect"), None
    if doors.connections >= settings.connections_max:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "try again later"), None
    offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    codec = next((CODECS[name] for name in offered if name in CODECS), None)
    if codec is None:
        known = ", ".join(CODECS)
        return _problem(HTTPStatus.BAD_REQUEST, "unsupported_version", f"offer a sub-protocol of: {known}"), None
    return None, codec


def _origin_allowed(headers: "CIMultiDict[str]", origins: tuple[str, ...] | None) -> bool:
    """A program sends no Origin; a page's has to be listed or, where nothing is, the host's own."""
    origin = headers.get("Origin")
    if origin is None:
        return True
    if origins is not None:
        return "*" in origins or origin in origins
    return urlsplit(origin).netloc == headers.get("Host", "")


def _problem(status: HTTPStatus, code: str, detail: str) -> WSUpgradeResponse:
    body = json.dumps({"type": "about:blank", "title": status.phrase, "status": status, "code": code, "detail": detail})
    headers = {"Content-Type": "application/problem+json"}
    response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(status, body.encode(), headers)
    return response


def _ignore(_: bytes) -> None:
    """Where writes go once a socket is gone."""


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """picows makes a logger for every connection unless it is handed something else: this one is shared."""


_QUIET: Final = _Quiet(logging.getLogger("folkmoot.websocket"), {})
logging.getLogger("folkmoot.websocket").setLevel(logging.CRITICAL)
