"""A TCP proxy on loopback that can be told to misbehave: slow, silent one way or both, cut, or refusing."""

import asyncio
import socket
import struct
from collections import deque
from typing import Final

import msgspec

CONNECT_S_MAX: Final = 5.0
HELD_BYTES_MAX: Final = 262_144
"""Held for one direction of a connection; then its source is read no further, as a full network would have it."""


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How the network is now. `up` is towards the server, `down` towards the clients.

    Held bytes are not lost: they go on when the weather clears, or with the connection when that is cut.
    """

    delay_s: float = 0.0
    held_up: bool = False
    held_down: bool = False
    refusing: bool = False


FAIR: Final = Weather()


class Proxy:
    """Forwards connections to one server, under whatever weather is set."""

    def __init__(self) -> None:
        self.url = ""
        self.weather = FAIR
        self.cuts = 0
        self._targets: tuple[tuple[str, int], ...] = ()
        self._server: asyncio.Server | None = None
        self._ends: dict[_End, None] = {}
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """Sockets open now, of either side."""
        return len(self._ends)

    async def open(self, host: str, port: int, *, others: tuple[tuple[str, int], ...] = ()) -> None:
        """Listen on a free port of loopback, for a server at `host` and `port`, or where it is gone one of `others`."""
        self._targets = ((host, port), *others)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _End(self, upward=True, accepted=True), "127.0.0.1", 0, backlog=1_024
        )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def set(self, weather: Weather) -> None:
        """From now on, for connections there are and those to come."""
        self.weather = weather
        for end in list(self._ends):
            end.flush()

    def cut(self) -> int:
        """Reset every connection; how many sockets that was."""
        ends = list(self._ends)
        for end in ends:
            end.abort()
        self.cuts += 1
        return len(ends)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        self.cut()

    def opened(self, end: "_End") -> None:
        self._ends[end] = None

    def lost(self, end: "_End") -> None:
        self._ends.pop(end, None)

    def connect(self, end: "_End") -> None:
        """Open the other half for a connection that was accepted."""
        task = asyncio.create_task(self._connect(end))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, end: "_End") -> None:
        other = _End(self, upward=False, accepted=False)
        for place in self._targets:
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    await asyncio.get_running_loop().create_connection(lambda: other, *place)
            except (OSError, TimeoutError):
                continue
            end.join(other)
            return
        end.abort()


class _End(asyncio.Protocol):
    """One socket of a connection. `upward`: what it reads goes towards the server."""

    def __init__(self, proxy: Proxy, *, upward: bool, accepted: bool) -> None:
        self._proxy = proxy
        self._upward = upward
        self._accepted = accepted
        self._other: _End | None = None
        self._transport: asyncio.Transport | None = None
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._looks_again = False
        self._over = False
        self._is_full = False

    def join(self, other: "_End") -> None:
        self._other, other._other = other, self
        if self._over:
            other.abort()
        self.flush()
        # A server that speaks first, as NATS does, may have spoken before its end was joined.
        other.flush()

    def abort(self) -> None:
        """Close with a reset: a plain close would look like the far side's own."""
        if self._transport is not None and not self._transport.is_closing():
            reset_at_close = struct.pack("ii", 1, 0)
            # None where the other side has reset it, and nobody has told us yet.
            its_socket = self._transport.get_extra_info("socket")
            if its_socket is not None:
                its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
            self._transport.abort()

    def flush(self) -> None:
        """Hand on what may go now, and look again when the next may."""
        other, weather = self._other, self._proxy.weather
        if other is None or other._transport is None or (weather.held_up if self._upward else weather.held_down):
            self._read_if_room()
            return
        now = asyncio.get_running_loop().time()
        while self._held and self._held[0][0] <= now:
            _, chunk = self._held.popleft()
            self._held_bytes -= len(chunk)
            other._transport.write(chunk)
        if self._held:
            self._look_again(self._held[0][0])
        elif self._over:
            other._transport.close()
        self._read_if_room()

    # What the loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if self._proxy.weather.refusing and self._accepted:
            # Not within this call: uvloop goes on to read from what it has just opened.
            asyncio.get_running_loop().call_soon(self.abort)
            return
        self._proxy.opened(self)
        if self._accepted:
            self._proxy.connect(self)

    def data_received(self, data: bytes) -> None:
        self._held.append((asyncio.get_running_loop().time() + self._proxy.weather.delay_s, bytes(data)))
        self._held_bytes += len(data)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.lost(self)
        self._transport = None
        self._over = True
        if exc is not None or not self._held:
            # A reset of one side is a reset of the other; else what is held still goes on before the end.
            self._held.clear()
            if self._other is not None:
                self._other.abort()

    def pause_writing(self) -> None:
        self._is_full = True
        if self._other is not None:
            self._other._read_if_room()

    def resume_writing(self) -> None:
        self._is_full = False
        if self._other is not None:
            self._other._read_if_room()

    def _read_if_room(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._held_bytes > HELD_BYTES_MAX or (self._other is not None and self._other._is_full):
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _look_again(self, due: float) -> None:
        if not self._looks_again:
            self._looks_again = True
            asyncio.get_running_loop().call_at(due, self._due)

    def _due(self) -> None:
        self._looks_again = False
        self.flush()
