"""`serve --workers N`: gateways in processes of their own on one port, one process that routes and delivers, and NATS.

Fan-out and connections grow with the gateways; appends are one process's, since one writes the file. Each process that
dies is started again, and what that costs members is what the bus and the store heal anyway.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from folkmoot.backends.nats.server import NatsServer, NatsUser, ServerFailed, program
from folkmoot.node.children import Child, ChildFailed
from folkmoot.node.config import Settings, SettingsError
from folkmoot.node.notify import notify
from folkmoot.node.signals import on_signals
from folkmoot.ports.clock import Clock

_log = logging.getLogger(__name__)

WORKERS_MAX: Final = 64
BUS_FOLDER: Final = "nats"
BUS_USER: Final = "folkmoot"
BUS_RIGHTS: Final = ("folkmoot.>",)
BUS_PASSWORD_BYTES: Final = 32
BUS_CREDENTIALS: Final = "credentials"
BUS_AGAIN_S: Final = 0.2
BUS_AGAIN_S_MAX: Final = 5.0


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
            program()
        except ServerFailed as error:
            raise SettingsError(f"--workers: {error}") from None
        self._count = count
        self._settings = settings
        self._given = {name: value for name, value in given.items() if value is not None}
        self._clock = clock
        self._environment = environment
        data_dir = Path(settings.data_dir)
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whoever is on the bus reads all bodies and sends as anyone, and every account of the machine reaches loopback.
        # One password for this process's life: the bus that is started again knows the children that stayed.
        password = secrets.token_hex(BUS_PASSWORD_BYTES)
        self._credentials = f"{BUS_USER}:{password}\n"
        user = NatsUser(name=BUS_USER, password=password, allow=BUS_RIGHTS)
        self._bus = NatsServer(data_dir / BUS_FOLDER, users=(user,))
        self._children: list[Child] = []
        self._keeping: list[asyncio.Task[None]] = []
        self._ready = False

    @property
    def children(self) -> list[Child]:
        """The one that routes and delivers first, then the gateways."""
        return self._children

    async def run(self, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
        """Serve until `stop`. `on_ready` gets the base URL. Raises ChildFailed, SettingsError, OSError."""
        folder = self._bus.folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Held until the end, so that nobody else gets the port while a gateway is started again.
        with (
            reserved_port(self._settings) as reserved,
            private_file(folder / BUS_CREDENTIALS, self._credentials) as credentials,
        ):
            try:
                await self._start(reserved.getsockname()[1], credentials)
                on_ready(self._children[-1].url)
                self._ready = True
                notify("READY=1")
                await self._watch(stop)
            finally:
                self._ready = False
                notify("STOPPING=1")
                await self._stop()

    async def serve(self, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
        """The same, until SIGTERM or SIGINT too; at SIGHUP every process reads its settings again."""
        acts = {signal.SIGTERM: stop.set, signal.SIGINT: stop.set, signal.SIGHUP: self.reload}
        with on_signals(acts):
            await self.run(stop, on_ready)

    def reload(self) -> None:
        """Every process reads its settings again. When it has, it says so in its log alone."""
        # In a start or a stop it must not be told that this is ready.
        if self._ready:
            notify(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock.monotonic_s() * 1_000_000)}")
        for child in self._children:
            child.reload()
        if self._ready:
            notify("READY=1")

    async def _start(self, port: int, credentials: Path) -> None:
        try:
            await self._bus.start()
        except (ServerFailed, OSError) as error:
            _log.error("the bus could not be started", extra={"detail": str(error)})
            raise ChildFailed("the bus did not come up") from error
        bus = {"bus": "nats", "nats_urls": self._bus.url, "nats_credentials_file": credentials, "nats_ca_file": ""}
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
        self._keeping = [asyncio.create_task(child.keep(), name=child.name) for child in self._children]
        self._keeping.append(asyncio.create_task(self._keep_bus(), name="the bus"))

    def _child(self, name: str, settings: Mapping[str, object]) -> Child:
        return Child(name, {**self._given, **settings}, self._clock, environment=self._environment)

    async def _watch(self, stop: asyncio.Event) -> None:
        """Return at `stop`. Raises ChildFailed once something is kept no more: better all anew than all but one."""
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((stopped, *self._keeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        for task in self._keeping:
            if task.done() and not stop.is_set():
                fault = None if task.cancelled() else task.exception()
                _log.error("nobody keeps a process any more", exc_info=fault, extra={"child": task.get_name()})
                raise ChildFailed(f"{task.get_name()} is no longer kept") from fault

    async def _keep_bus(self) -> None:
        while True:
            status = await self._bus.wait()
            _log.error("the bus has died", extra={"status": status})
            await self._start_bus_again()

    async def _start_bus_again(self) -> None:
        """As often as it takes: its port may be another's for a while, or the system short of something."""
        wait_s = BUS_AGAIN_S
        while True:
            await self._clock.sleep(wait_s)
            try:
                await self._bus.start()
                return
            except (ServerFailed, OSError) as error:
                _log.error("the bus could not be started again", extra={"detail": str(error)})
            wait_s = min(BUS_AGAIN_S_MAX, wait_s * 2)

    async def _stop(self) -> None:
        """Gateways first, whose sends are then answered by the process that routes, and the bus last."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        await asyncio.gather(*(child.stop() for child in self._children[1:]))
        for child in self._children[:1]:
            await child.stop()
        await self._bus.stop()


@contextlib.contextmanager
def private_file(path: Path, text: str) -> Iterator[Path]:
    """`path` with `text`, for its owner alone, and this process's own until the end of the block. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Children that are started again read it: with another's password they would never come up.
            raise OSError(f"another process has its bus in {path.parent}") from None
        os.fchmod(file.fileno(), 0o600)
        file.truncate()
        file.write(text)
        file.flush()
        yield path


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
