"""A simulated connection: the client's end and the gateway's, and all that is under way between them."""

import asyncio
from collections.abc import Callable, Iterable

from folkmoot.client.errors import NotConnected
from folkmoot.client.link import LOST, NORMAL_CLOSE, LinkEnd
from folkmoot.gateway.connection import Connection
from folkmoot.gateway.service import Gateway
from folkmoot.protocol.codec import JSON
from folkmoot.testing.virtual_loop import Process, VirtualLoop
from folkmoot.testing.weather import Weather
from folkmoot.testing.wire_tap import WireTap

WRITE_BYTES_HIGH = 1_500
WRITE_BYTES_LOW = 300
PING = b""


class ClientEnd:
    """The connection as the client has it: a `Link`."""

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire

    def write(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            if self._wire.client_up:
                self._wire.carry_up(frame)

    def close(self) -> None:
        self._wire.closed_by_client(NORMAL_CLOSE)

    def abort(self) -> None:
        self._wire.closed_by_client(LOST)


class ServerEnd:
    """The connection as the gateway has it: an `Outlet`."""

    codec = JSON
    wire = "world"
    slot = -1

    def __init__(self, wire: "Wire") -> None:
        self._wire = wire
        self.peer = wire.client.name

    def write(self, frames: bytes, /) -> None:
        if self._wire.server_up:
            self._wire.tap.went(frames)
            self._wire.carry_down(frames)
            self._wire.pause_if_full()

    def frame(self, payload: bytes, /) -> bytes:
        return payload + b"\n"

    def buffered(self) -> int:
        return self._wire.unread_bytes

    def ping(self) -> None:
        if self._wire.server_up:
            self._wire.carry_down(PING)

    def close(self, code: int, reason: str) -> None:
        self._wire.closed_by_server(code)


class Wire:
    """One connection. Frames of one direction arrive in order, or the connection is over."""

    def __init__(
        self,
        loop: VirtualLoop,
        weather: Weather,
        client: Process,
        server: Process,
        gateway: Gateway,
        end: LinkEnd,
        tap: WireTap,
    ) -> None:
        self.client = client
        self.server = server
        self.tap = tap
        self.client_up = True
        self.server_up = False
        self.unread_bytes = 0
        self.connection: Connection | None = None
        self.client_end = ClientEnd(self)
        self._outlet = ServerEnd(self)
        self._loop = loop
        self._weather = weather
        self._gateway = gateway
        self._end = end
        # Nothing passes any more, whoever knows of it.
        self._dead = False
        self._reading = True
        self._up_s = self._down_s = 0.0
        # What a cut holds back, as the network would send it again and again.
        self._held_up: list[bytes] = []
        self._held_down: list[bytes] = []
        self._unread: list[bytes] = []

    @property
    def is_whole(self) -> bool:
        """Whether both ends have it: one whose other end is gone may not know of that yet."""
        return self.client_up and self.server_up and not self._dead

    async def open(self) -> ClientEnd:
        """Called by the client. Raises NotConnected; waits for ever where nobody answers."""
        opened: asyncio.Future[None] = self._loop.create_future()

        def accept() -> None:
            # In the gateway's process, however late: the client may have given up, and then it hears of that.
            self.server_up = True
            self.connection = self._gateway.open(self._outlet)
            if not self.client_up or self._dead:
                self.server_lost()
            else:
                self._loop.call_later(self._weather.latency_s(), answer, context=self.client.context)

        def answer() -> None:
            if not opened.done():
                opened.set_result(None)

        try:
            if self.server.killed:
                raise NotConnected("refused")
            if not self.is_cut(up=True):
                self._loop.call_later(self._weather.latency_s(), accept, context=self.server.context)
            await opened
        except BaseException:
            self.client_up = False
            raise
        return self.client_end

    def is_cut(self, *, up: bool) -> bool:
        names = (self.client.name, self.server.name)
        return self._weather.is_cut(*(names if up else names[::-1]))

    # What the ends call.

    def carry_up(self, frame: bytes) -> None:
        if self._held_up or self.is_cut(up=True):
            self._held_up.append(frame)
        elif not self._dead:
            self._up(self._arrive_up, frame)

    def carry_down(self, frames: bytes) -> None:
        if self._held_down or self.is_cut(up=False):
            self._held_down.append(frames)
        elif not self._dead:
            self._down(self._arrive_down, frames)

    def pause_if_full(self) -> None:
        connection = self.connection
        if self.unread_bytes > WRITE_BYTES_HIGH and connection is not None and not connection.is_paused:
            connection.paused()

    def closed_by_server(self, code: int) -> None:
        if self.server_up:
            self.server_up = False
            if not self.is_cut(up=False):
                self._down(self.client_lost, code)

    def closed_by_client(self, code: int) -> None:
        if self.client_up:
            self._loop.call_soon(self.client_lost, code, context=self.client.context)
            if not self.is_cut(up=True):
                self._up(self.server_lost)

    # What the world does to it.

    def break_off(self, *, client_hears: bool, server_hears: bool) -> None:
        """The connection is gone; who does not hear of it finds out by the silence."""
        self._dead = True
        self._held_up.clear()
        self._held_down.clear()
        if client_hears:
            self._loop.call_later(self._weather.latency_s(), self.client_lost, LOST, context=self.client.context)
        if server_hears:
            self._loop.call_later(self._weather.latency_s(), self.server_lost, context=self.server.context)

    def flow_again(self) -> None:
        """A cut is over: what it held back goes on, unless it is cut by another."""
        held_up, self._held_up = self._held_up, []
        held_down, self._held_down = self._held_down, []
        for frame in held_up:
            self.carry_up(frame)
        for frames in held_down:
            self.carry_down(frames)

    def read(self, *, on: bool) -> None:
        """Whether the client takes what arrives; what it does not take fills the gateway's buffer."""
        self._reading = on
        if on and self._unread:
            unread, self._unread = self._unread, []
            self.unread_bytes = 0
            for frames in unread:
                self._loop.call_soon(self._arrive_down, frames, context=self.client.context)
            self._loop.call_soon(self._drained, context=self.server.context)

    def client_lost(self, code: int) -> None:
        if self.client_up:
            self.client_up = False
            self._end.lost(code)

    def server_lost(self) -> None:
        self.server_up = False
        if self.connection is not None:
            self.connection.lost()

    # Inside.

    def _up(self, call: Callable[..., None], *args: object) -> None:
        self._up_s = max(self._up_s, self._loop.time() + self._weather.latency_s())
        self._loop.call_at(self._up_s, call, *args, context=self.server.context)

    def _down(self, call: Callable[..., None], *args: object) -> None:
        self._down_s = max(self._down_s, self._loop.time() + self._weather.latency_s())
        self._loop.call_at(self._down_s, call, *args, context=self.client.context)

    def _arrive_up(self, frame: bytes) -> None:
        connection = self.connection
        if self.server_up and connection is not None and not self._dead:
            connection.sign_of_life()
            if frame:
                self.tap.came(frame)
                connection.receive(frame)

    def _arrive_down(self, frames: bytes) -> None:
        if not self.client_up or self._dead:
            return
        if not self._reading:
            self._unread.append(frames)
            self.unread_bytes += len(frames)
            return
        self._end.heard()
        if frames == PING:
            self.carry_up(PING)
        for frame in frames.splitlines():
            if self.client_up:
                self._end.frame(frame)
        if self.client_up:
            self._end.read_done()

    def _drained(self) -> None:
        connection = self.connection
        if connection is not None and connection.is_paused:
            connection.resumed()
