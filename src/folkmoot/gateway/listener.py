"""One port for everything: uvicorn for HTTP, its upgrades handed to WebSockets, and bounds on who dawdles."""

import asyncio
import contextlib
import resource
import socket
from collections import deque
from typing import Any, Final

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from folkmoot.gateway.websocket import Doors, SocketSettings, websocket_factory

BACKLOG: Final = 4_096
REQUEST_SECONDS_MAX: Final = 10.0
"""A connection that has not sent a whole request by then is closed: one that dribbles holds nothing for long."""

SWEEP_S: Final = 1.0


class ListenerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen. Port 0: one that is free."""

    host: str = "127.0.0.1"
    port: int = 8420
    sockets: SocketSettings = msgspec.field(default_factory=SocketSettings)
    request_seconds_max: float = REQUEST_SECONDS_MAX


class _Dawdlers:
    """Connections that owe a whole request, the oldest first: one timer for all."""

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._waiting: deque[tuple[float, _HttpProtocol]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, protocol: "_HttpProtocol") -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self._seconds_max, protocol))
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time():
            _, protocol = self._waiting.popleft()
            protocol.close_if_dawdling()
        self._timer = loop.call_later(SWEEP_S, self._sweep) if self._waiting else None


class _HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a bound on the time of a first request."""

    dawdlers: _Dawdlers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._owes_request = True
        self.dawdlers.add(self)

    def on_message_complete(self) -> None:
        self._owes_request = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._owes_request = False
        super().handle_websocket_upgrade()

    def close_if_dawdling(self) -> None:
        if self._owes_request and not self.transport.is_closing():
            self.transport.close()


class Listener:
    """uvicorn inside our own loop: no signal handlers and no lifespan of its own."""

    def __init__(self, settings: ListenerSettings, app: Any, doors: Doors) -> None:
        self._settings = settings
        self._dawdlers = _Dawdlers(settings.request_seconds_max)
        protocol = type("HttpProtocol", (_HttpProtocol,), {"dawdlers": self._dawdlers})
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=protocol,
                ws=websocket_factory(doors, settings.sockets),  # type: ignore[arg-type]
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=2,
                h11_max_incomplete_event_size=16_384,
            )
        )
        self._socket: socket.socket | None = None
        self._main: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen; the base URL. Raises OSError where the address cannot be had."""
        settings = self._settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((settings.host, settings.port))
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
        self._socket = listening
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[listening])
        self._main = asyncio.create_task(self._server.main_loop())
        host = f"[{settings.host}]" if family == socket.AF_INET6 else settings.host
        return f"http://{host}:{listening.getsockname()[1]}"

    async def stop_accepting(self) -> None:
        """Close the port; connections stay."""
        for server in self._server.servers:
            server.close()
        if self._socket is not None:
            self._socket.close()

    async def close(self) -> None:
        """Let HTTP requests under way finish, then close what is left."""
        self._dawdlers.close()
        if self._main is None:
            return
        self._server.should_exit = True
        await self._main
        with contextlib.suppress(asyncio.TimeoutError):
            await self._server.shutdown(sockets=[])


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one; what it now is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
