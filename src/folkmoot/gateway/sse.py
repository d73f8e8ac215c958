"""Server-Sent Events: a connection that only reads, over an answer of HTTP that does not end.

Once the head of the answer is written, the transport leaves uvicorn, as a WebSocket's does: no task, no request and no
parser stay behind for an idle stream, and ready chunks go straight to the transport. Nothing is acknowledged: what
bounds a catch-up is the write buffer, so a stream has no window.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from folkmoot.gateway.access import Caller
from folkmoot.gateway.connection import Connection
from folkmoot.gateway.identity import TokenRefused
from folkmoot.gateway.listener import hand_over
from folkmoot.gateway.service import Gateway
from folkmoot.gateway.websocket import CLOSE_WAIT_S, SocketSettings
from folkmoot.model.ids import GroupId
from folkmoot.ports.store import StoreAway
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.protocol.limits import FRAME_BYTES_MAX, POSITIONS_PER_RESUME_MAX

MEDIA_TYPE: Final = "text/event-stream"
RETRY_MS: Final = (1_000, 4_000)
"""How long a reader is told to wait before it connects again: drawn for each, so that a crowd does not come at once."""

_NO_WINDOW: Final = 2**62
_PING: Final = b": ping\n\n"
_LAST: Final = b"0\r\n\r\n"
_HEAD: Final[dict[str, Any]] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        (b"x-content-type-options", b"nosniff"),
        # Proxies that gather an answer before they pass it on would hold every event.
        (b"x-accel-buffering", b"no"),
    ],
}

_log = logging.getLogger(__name__)

_Message = MutableMapping[str, Any]


class SseCodec:
    """An event of a stream: its name, its position as the `id`, and as its data the very frame that a socket has."""

    subprotocol = "sse.json"
    text = True
    decode_client = JSON.decode_client
    decode_server = JSON.decode_server

    def encode(self, event: ev.Event) -> bytes:
        data = JSON.encode(event)
        if b"\n" in data or b"\r" in data:
            # An application's data, which is kept as it came. A line of its own is how a stream says a line's end.
            data = b"\ndata: ".join(data.splitlines())
        head = f"event: {event.__struct_config__.tag}\n"
        position = getattr(event, "position", None)
        if position is not None:
            head += f"id: {position}\n"
        elif isinstance(event, ev.Goodbye) and event.reconnect_after_ms is not None:
            head += f"retry: {event.reconnect_after_ms}\n"
        return b"%bdata: %b\n\n" % (head.encode(), data)


SSE: Final = SseCodec()


def chunk(payload: bytes) -> bytes:
    """The ready bytes of one chunk of an answer (RFC 9112, 7.1). `payload` is not empty: that would be the last one."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class Stream(asyncio.Protocol):
    """One stream: what the event loop drives, and `Outlet` of its connection, in one object to keep an idle one small.

    `write` is the transport's own method: nothing stands between it and the fan-out.
    """

    __slots__ = ("_closing", "_connection", "_transport", "_unasked", "peer", "write")

    wire = "sse:json"
    slot = -1
    codec = SSE
    frame = staticmethod(chunk)

    def __init__(self) -> None:
        self.peer = ""
        self.write: Callable[[bytes], None] = _ignore
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._closing = False
        self._unasked = 0

    def begin(self, transport: asyncio.Transport, connection: Connection, peer: str) -> None:
        """From now on the connection writes to the transport, and hears of it."""
        self._transport = transport
        self._connection = connection
        self.peer = peer
        self.write = transport.write

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        # Nothing is expected: what comes is read only so that the end of the connection is seen.
        self._unasked += len(data)
        if self._unasked > FRAME_BYTES_MAX and self._connection is not None:
            self._connection.end("flood", "a stream takes no further requests")

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.paused()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        connection, self._connection, self._transport = self._connection, None, None
        self._closing = True
        self.write = _ignore
        if connection is not None:
            connection.lost()

    # What the connection calls.

    def buffered(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def ping(self) -> None:
        """A comment, which keeps translators and proxies awake.

        A reader says nothing: that the system still takes bytes for it is its sign of life, and the system gives a
        connection up whose other end does not acknowledge them. A paused one is judged by its buffer, as on a socket.
        """
        if self._connection is not None and not self._connection.is_paused:
            self._connection.sign_of_life()
            self.write(chunk(_PING))

    def close(self, code: int, reason: str) -> None:
        transport = self._transport
        if self._closing or transport is None:
            return
        self._closing = True
        self.write = _ignore
        if transport.is_closing():
            return
        transport.write(_LAST)
        transport.close()
        # What is still buffered then was not read, and would wait for ever.
        asyncio.get_running_loop().call_later(CLOSE_WAIT_S, transport.abort)


class StreamConnection(Connection):
    """The connection of a stream; of one group alone where `only` says which, and over when that group is."""

    __slots__ = ("only",)

    def __init__(self, gateway: Gateway, stream: Stream, only: GroupId) -> None:
        super().__init__(gateway, stream)
        self.only = only
        self.window = _NO_WINDOW

    def send(self, event: ev.Event) -> None:
        super().send(event)
        if self.only and isinstance(event, ev.Ended | ev.Failed):
            # Once the step is done that says so: the user may have joined again since, and then it goes on.
            asyncio.get_running_loop().call_soon(self._leave_if_over)

    def _leave_if_over(self) -> None:
        if not self.is_closed and not self.follows(self.only):
            self._let_go()
            self.outlet.close(0, "")


class Streams:
    """Opens streams, within the bounds that sockets have too."""

    def __init__(self, gateway: Gateway, settings: SocketSettings) -> None:
        self.gateway = gateway
        self.settings = settings

    def apply(self, settings: SocketSettings) -> None:
        """Go on with other bounds: of streams that open from now on."""
        self.settings = settings

    def why_not(self, http_version: str) -> str:
        """The code of what keeps a stream from being opened now, or ""."""
        if http_version != "1.1":
            return "unsupported_version"
        if self.gateway.draining:
            return "server_draining"
        if self.gateway.connections >= self.settings.connections_max:
            return "too_many_connections"
        return ""

    def answer(self, caller: Caller, resume: ev.Resume, *, only: GroupId = "") -> "StreamAnswer":
        """The answer to a request of `caller`'s: a stream of what `resume` asks for."""
        return StreamAnswer(self, caller, resume, only)

    def open(self, transport: asyncio.Transport, stream: Stream, only: GroupId, peer: str) -> StreamConnection:
        """A connection over a transport that is the stream's."""
        transport.set_write_buffer_limits(self.settings.write_bytes_high, self.settings.write_bytes_low)
        self._watch(transport)
        connection = StreamConnection(self.gateway, stream, only)
        stream.begin(transport, connection, peer)
        self.gateway.take_on(connection)
        first_ms, spread_ms = RETRY_MS
        stream.write(chunk(b"retry: %d\n\n" % (first_ms + int(self.gateway.chance.draw() * spread_ms))))
        return connection

    def _watch(self, transport: asyncio.Transport) -> None:
        """Have the system give up a connection whose other end acknowledges nothing for two ping intervals."""
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is None:
            return
        timeout_ms = int(2 * self.gateway.settings.ping_interval_s * 1_000)
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, option, timeout_ms)


class StreamAnswer:
    """An ASGI application that answers one request with a stream, and is done once that has begun."""

    def __init__(self, streams: Streams, caller: Caller, resume: ev.Resume, only: GroupId) -> None:
        self._streams = streams
        self._caller = caller
        self._resume = resume
        self._only = only

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        # A list of this answer's own: what is told of one page's origin is added to it on the way out.
        await send(_HEAD | {"headers": list(_HEAD["headers"])})
        code, detail = await self._fault()
        # From here on there is no await: whoever is shut out after this is told as any connection is, and the bounds
        # and a drain are looked at once more.
        code = code or self._streams.why_not(scope["http_version"])
        stream = Stream()
        transport = hand_over(scope, stream)
        if transport is None:
            return
        connection = self._streams.open(transport, stream, self._only, (scope["client"] or ("",))[0])
        if code:
            connection.end(code, detail)
            return
        connection.admit(self._caller)
        for frame in resume_frames(self._resume):
            connection.receive(frame)

    async def _fault(self) -> tuple[str, str]:
        """What shuts the caller out by now, and a word on it; "" where nothing does."""
        try:
            await self._streams.gateway.access.check(self._caller)
        except TokenRefused as refused:
            return refused.code, refused.detail
        except StoreAway:
            return "server_error", "who asks cannot be looked up now"
        return "", ""


def resume_frames(resume: ev.Resume) -> Sequence[bytes]:
    """What a client of a socket would send to ask for the same: at most so many groups a frame, the others last."""
    groups = list(resume.groups.items())
    starts = range(0, max(1, len(groups)), POSITIONS_PER_RESUME_MAX)
    return [
        JSON.encode(
            ev.Resume(
                groups=dict(groups[start : start + POSITIONS_PER_RESUME_MAX]),
                others=resume.others and start == starts[-1],
                fresh=resume.fresh,
            )
        )
        for start in starts
    ]


def _ignore(_: bytes) -> None:
    """Where writes go while there is no transport."""
