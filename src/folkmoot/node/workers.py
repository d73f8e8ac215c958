"""`serve --workers N`: gateways in processes of their own on one port, one process that routes and delivers, and NATS.

Fan-out and connections grow with the gateways; appends are one process's, since one writes the file. Each process that
dies is started again, and what that costs members is what the bus and the store heal anyway.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from folkmoot.node.children import Child
from folkmoot.node.config import Settings, SettingsError
from folkmoot.node.signals import on_signals
from folkmoot.ports.clock import Clock

_log = logging.getLogger(__name__)

WORKERS_MAX: Final = 64
BUS_FOLDER: Final = "nats"
BUS_AGAIN_S: Final = 0.2


class Workers:
    """All processes of one machine. `given`: what was set by flags, which children are told again."""

    def __init__(
        self,
        count: int,
        settings: Settings,
        given: Mapping[str, object],
        clock: Clock,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Raises SettingsError."""
        if not 1 <= count <= WORKERS_MAX:
            raise SettingsError(f"--workers: 1 to {WORKERS_MAX}")
        try:
            from folkmoot.backends.nats.server import NatsServer
        except ImportError as error:
            raise SettingsError("--workers: needs `pip install folkmoot[nats]`") from error
        self._count = count
        self._settings = settings
        self._given = {name: value for name, value in given.items() if value is not None}
        self._clock = clock
        self._environment = environment
        data_dir = Path(settings.data_dir)
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._bus = NatsServer(data_dir / BUS_FOLDER)
        self._children: list[Child] = []
        self._keeping: list[asyncio.Task[None]] = []

    @property
    def children(self) -> list[Child]:
        """The one that routes and delivers first, then the gateways."""
        return self._children

    async def run(self, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
        """Serve until `stop`. `on_ready` gets the base URL. Raises ChildFailed, SettingsError, OSError."""
        # Held until the end, so that nobody else gets the port while a gateway is started again.
        with reserved_port(self._settings) as reserved:
            try:
                await self._start(reserved.getsockname()[1])
                on_ready(self._children[-1].url)
                await stop.wait()
            finally:
                await self._stop()

    async def serve(self, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
        """The same, until SIGTERM or SIGINT too; at SIGHUP every process reads its settings again."""
        acts = {signal.SIGTERM: stop.set, signal.SIGINT: stop.set, signal.SIGHUP: self.reload}
        with on_signals(acts):
            await self.run(stop, on_ready)

    def reload(self) -> None:
        """Every process reads its settings again."""
        for child in self._children:
            child.reload()

    async def _start(self, port: int) -> None:
        await self._bus.start()
        bus = {"bus": "nats", "nats_urls": self._bus.url, "nats_credentials_file": "", "nats_ca_file": ""}
        # Its port is for health and metrics, and for this machine only.
        inside = {"host": "127.0.0.1", "port": 0, "tls_cert_file": "", "tls_key_file": ""}
        core = self._child("core", {**bus, **inside, "roles": "router,delivery"})
        shared = {**bus, "roles": "gateway", "port": port, "reuse_port": True}
        gateways = [self._child(f"gateway-{number}", shared) for number in range(1, self._count + 1)]
        self._children = [core]
        # The file is there, and written, before anybody reads it.
        await core.start()
        self._children += gateways
        await asyncio.gather(*(child.start() for child in gateways))
        self._keeping = [asyncio.create_task(child.keep()) for child in self._children]
        self._keeping.append(asyncio.create_task(self._keep_bus()))

    def _child(self, name: str, settings: Mapping[str, object]) -> Child:
        return Child(name, {**self._given, **settings}, self._clock, environment=self._environment)

    async def _keep_bus(self) -> None:
        while True:
            status = await self._bus.wait()
            _log.error("the bus has died", extra={"status": status})
            await self._clock.sleep(BUS_AGAIN_S)
            await self._bus.start()

    async def _stop(self) -> None:
        """Gateways first, whose sends are then answered by the process that routes, and the bus last."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self._children[1:]))
        for child in self._children[:1]:
            await child.stop()
        await self._bus.stop()


def reserved_port(settings: Settings) -> socket.socket:
    """A socket on the port that does not listen: gateways share the port with it. Raises OSError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.port:
            # With the option set beside them, others of this user could listen too and take connections away.
            _check_free(family, settings)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((settings.host, settings.port))
    except BaseException:
        reserved.close()
        raise
    return reserved


def _check_free(family: socket.AddressFamily, settings: Settings) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((settings.host, settings.port))
