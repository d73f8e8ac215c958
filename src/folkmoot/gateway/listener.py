"""One port for everything: uvicorn for HTTP, its upgrades handed to WebSockets, and bounds on who dawdles."""

import asyncio
import contextlib
import itertools
import resource
import socket
import weakref
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import is_ssl

from folkmoot.gateway.handshake import upgrade_request
from folkmoot.gateway.problem import problem_response
from folkmoot.gateway.proxies import Asker, Proxies
from folkmoot.gateway.tls import HANDSHAKE_SECONDS_MAX, SHUTDOWN_SECONDS_MAX, Certificate
from folkmoot.gateway.websocket import Doors, SocketSettings, websocket_factory

BACKLOG: Final = 4_096
REQUEST_SECONDS_MAX: Final = 10.0
"""A connection that has not sent a whole request by then is closed: one that dribbles holds nothing for long."""

HEAD_BYTES_MAX: Final = 16_384
"""Of a request's line and headers that do not come in one read. More is answered 431, and closed."""

PIPELINED_MAX: Final = 16
"""Requests sent ahead of the answer to the first. One more closes the connection."""

HTTP_CONNECTIONS_MAX: Final = 1_024
"""Beside the bound of WebSockets. One more is answered 503 at once, and closed."""

HAND_OVER: Final = "folkmoot.hand_over"
"""Key of a scope's extensions: what `hand_over` asks for the transport."""

UNSENT_BYTES_MAX: Final = 16_384
"""Of a connection, that the system holds and has not sent yet. Left to itself it takes megabytes for who does not read,
and no buffer of ours would ever be seen to fill. What is on its way is bounded by the other end, and not by this."""

SWEEP_GAP_S: Final = 0.1
"""The least time between two looks at who dawdles."""


class ListenerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen. Port 0: one that is free. With a certificate all of it is TLS."""

    host: str = "127.0.0.1"
    port: int = 8420
    sockets: SocketSettings = msgspec.field(default_factory=SocketSettings)
    certificate: Certificate | None = None
    proxies: Proxies = msgspec.field(default_factory=Proxies)
    request_seconds_max: float = REQUEST_SECONDS_MAX
    reuse_port: bool = False
    http_connections_max: int = HTTP_CONNECTIONS_MAX


class Listener:
    """uvicorn inside our own loop: no signal handlers, no lifespan and no ticking task of its own."""

    def __init__(self, settings: ListenerSettings, app: Any, doors: Doors) -> None:
        self._settings = settings
        self._sockets = settings.sockets
        self._dawdlers = _Dawdlers(settings.request_seconds_max)
        bounds = {"dawdlers": self._dawdlers, "doors": doors, "proxies": settings.proxies}
        self._protocol: type[_HttpProtocol] = type("HttpProtocol", (_HttpProtocol,), bounds)
        self.apply(settings.sockets)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=self._protocol,
                ws=websocket_factory(doors, lambda: self._sockets),  # type: ignore[arg-type]
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=2,
            )
        )
        self._watching: asyncio.Task[None] | None = None
        self._started = False

    def apply(self, sockets: SocketSettings) -> None:
        """Go on with other bounds of sockets: of those that open from now on."""
        self._sockets = sockets
        self._protocol.connections_max = sockets.connections_max + self._settings.http_connections_max

    async def start(self) -> str:
        """Listen; the base URL. Raises OSError where the address cannot be had."""
        settings = self._settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if settings.reuse_port:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                # Each socket that is accepted has it from the one that listens.
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
            listening.bind((settings.host, settings.port))
            listening.listen(BACKLOG)
            listening.setblocking(False)
            port = listening.getsockname()[1]
            config = self._server.config
            config.load()
            self._server.lifespan = config.lifespan_class(config)
            await self._listen(listening)
        except BaseException:
            listening.close()
            raise
        self._started = True
        host = f"[{settings.host}]" if family == socket.AF_INET6 else settings.host
        return f"{'https' if settings.certificate else 'http'}://{host}:{port}"

    async def _listen(self, listening: socket.socket) -> None:
        """As uvicorn's own start-up does, with bounds on handshakes, which it has no setting for."""
        certificate, loop = self._settings.certificate, asyncio.get_running_loop()
        secure: dict[str, Any] = {}
        if certificate is not None:
            secure = {
                "ssl": certificate.context,
                "ssl_handshake_timeout": HANDSHAKE_SECONDS_MAX,
                "ssl_shutdown_timeout": SHUTDOWN_SECONDS_MAX,
            }
            self._watching = asyncio.create_task(certificate.watch())
        make: Any = self._protocol
        config, state = self._server.config, self._server.server_state
        server = await loop.create_server(
            lambda: make(config=config, server_state=state, app_state={}), sock=listening, backlog=BACKLOG, **secure
        )
        self._server.servers = [server]

    async def stop_accepting(self) -> None:
        """Close the port; connections stay. Does nothing where `start` did not come that far."""
        if self._started:
            for server in self._server.servers:
                server.close()

    async def close(self) -> None:
        """Let HTTP requests under way finish, then close what is left."""
        self._dawdlers.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if not self._started:
            return
        self._started = False
        self._server.should_exit = True
        with contextlib.suppress(asyncio.TimeoutError):
            await self._server.shutdown(sockets=[])
        for left in list(self._server.server_state.connections):
            left.transport.abort()


class _Dawdlers:
    """Connections that owe the rest of a request, the oldest debt first: one timer for all."""

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._due: dict[_HttpProtocol, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def owes(self, protocol: "_HttpProtocol") -> None:
        """From now on, unless it does already."""
        now = asyncio.get_running_loop().time()
        self._due.setdefault(protocol, now + self._seconds_max)
        if self._timer is None:
            self._wait(now)

    def settled(self, protocol: "_HttpProtocol") -> None:
        self._due.pop(protocol, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, now: float) -> None:
        oldest = next(iter(self._due.values()), None)
        loop = asyncio.get_running_loop()
        self._timer = None if oldest is None else loop.call_at(max(oldest, now + SWEEP_GAP_S), self._sweep)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        overdue = list(itertools.takewhile(lambda protocol: self._due[protocol] <= now, self._due))
        for protocol in overdue:
            self.settled(protocol)
            protocol.transport.close()
        self._wait(now)


class _TooManyAhead(Exception):
    """More requests were sent ahead than are kept."""


class _HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with bounds: on the time a request takes to come, on its head, and on connections."""

    dawdlers: _Dawdlers
    doors: Doors
    proxies: Proxies
    connections_max: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # As uvicorn's own, but for the addresses: its way is to ask the socket, which keeps the answers with it.
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.scheme = "https" if is_ssl(transport) else "http"
        self._in_head = True
        self._head_bytes = 0
        if len(self.connections) + self.doors.connections > self.connections_max:
            self._turn_away(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "try again later")
        else:
            self.dawdlers.owes(self)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        # Whatever comes belongs to a request, if only to its line: `on_message_complete` says when that is whole.
        self.dawdlers.owes(self)
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._turn_away(status, "head_too_large", f"at most {HEAD_BYTES_MAX} bytes")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            raise _TooManyAhead
        self._in_head = True
        self.dawdlers.owes(self)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        asker = self._asker()
        self.scope["client"] = (
            (asker.address, 0) if self.client is None or asker.address != self.client[0] else self.client
        )
        self.scope["scheme"] = "https" if asker.is_https else "http"
        super().on_headers_complete()
        if self.cycle is not None:
            # Weakly: the scope is held by both, and all have to be gone with the connection.
            self.scope["extensions"] = {HAND_OVER: (weakref.ref(self), weakref.ref(self.cycle))}  # type: ignore[dict-item]

    def on_message_complete(self) -> None:
        self.dawdlers.settled(self)
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.dawdlers.settled(self)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand the transport over, as uvicorn does, but with the headers that matter only, and keeping nothing."""
        self.dawdlers.settled(self)
        self.connections.discard(self)
        make: Any = self.ws_protocol_class
        opened = make(config=self.config, server_state=self.server_state, app_state=self.app_state, asker=self._asker())
        # First, so that whatever the transport says of the answer it says to the socket.
        self.transport.set_protocol(opened)
        opened.upgrade(self.transport, upgrade_request(self.scope["method"], self.url, self.headers))
        # Parser and protocol hold one another: left alone, they would stay until a collection.
        self.parser = None  # type: ignore[assignment]

    def _asker(self) -> Asker:
        peer = self.client[0] if self.client is not None else ""
        return self.proxies.asker(peer, self.headers, is_tls=self.scheme == "https")

    def let_go(self, cycle: RequestResponseCycle, heir: asyncio.Protocol) -> asyncio.Transport | None:
        """Leave the transport to `heir`, with the head of an answer written; None where it is going away."""
        transport = self.transport
        if transport.is_closing() or cycle.disconnected:
            return None
        self.dawdlers.settled(self)
        self.connections.discard(self)
        # So the application's end of it is taken for nothing unusual; requests sent ahead are never answered.
        cycle.disconnected = True
        self.pipeline.clear()
        self.flow.resume_reading()
        self.parser = None  # type: ignore[assignment]
        transport.set_protocol(heir)
        return transport

    def send_400_response(self, msg: str) -> None:
        self._turn_away(HTTPStatus.BAD_REQUEST, "bad_request", "not a request of HTTP/1.1")

    def _turn_away(self, status: HTTPStatus, code: str, detail: str) -> None:
        self.transport.write(problem_response(status, code, detail))
        self.transport.close()


def _address(name: Any) -> tuple[str, int] | None:
    """Host and port, of IPv6 too; None where the other end had gone before it was asked for."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


def hand_over(scope: Mapping[str, Any], heir: asyncio.Protocol) -> asyncio.Transport | None:
    """Take the transport of a request, the head of whose answer has been sent, from uvicorn, which forgets it.

    `heir` hears of it from now on, and writes the rest. None: the connection is going away.
    """
    protocol, cycle = (reference() for reference in scope["extensions"][HAND_OVER])
    return None if protocol is None or cycle is None else protocol.let_go(cycle, heir)


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, where the system lets us; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        return soft
    return hard
