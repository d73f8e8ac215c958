"""One process's life: start in order, say when it is ready, drain in reverse when told to stop."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Iterator

from folkmoot import __version__
from folkmoot.gateway.app import build_app
from folkmoot.gateway.listener import Listener, ListenerSettings, raise_open_files
from folkmoot.gateway.websocket import SocketSettings
from folkmoot.node.config import Settings
from folkmoot.node.wiring import Roles, build_bus, build_roles, open_store
from folkmoot.ports.clock import Chance, Clock, SystemChance, SystemClock
from folkmoot.router.service import FailPoint
from folkmoot.telemetry.logs import get_logger
from folkmoot.telemetry.metrics import exposition

_log = get_logger(__name__)


async def serve(
    settings: Settings,
    *,
    on_ready: Callable[[str], None],
    fail_point: FailPoint | None = None,
    stop: asyncio.Event | None = None,
    clock: Clock | None = None,
    chance: Chance | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`, then drain. `on_ready` gets the base URL once sends are taken.

    Raises SchemaUnknown where the store is not this program's, OSError where the port or the files cannot be had.
    """
    clock, chance = clock or SystemClock(), chance or SystemChance()
    stop = stop or asyncio.Event()
    raise_open_files()
    store = await open_store(settings, clock)
    try:
        roles = build_roles(settings, store, build_bus(settings), clock, chance, fail_point)
    except BaseException:
        await store.close()
        raise
    ready = False
    app = build_app(
        ready=lambda: ready and not roles.gateway.draining, metrics=exposition(roles.statistics), version=__version__
    )
    listener = Listener(_listening(settings), app, roles.gateway)
    try:
        await roles.start()
        url = await listener.start()
        ready = True
        # What was built at start lives as long as the process: no collection needs to walk it again.
        gc.collect()
        gc.freeze()
        _log.info("ready", url=url, epoch=await store.epoch())
        on_ready(url)
        with _signals(stop):
            await stop.wait()
    finally:
        await _drain(listener, roles)


def _listening(settings: Settings) -> ListenerSettings:
    sockets = SocketSettings(
        write_bytes_high=settings.write_bytes_high,
        write_bytes_low=settings.write_bytes_low,
        connections_max=settings.connections_max,
        origins=settings.allowed_origins or None,
    )
    return ListenerSettings(
        host=settings.host,
        port=settings.port,
        sockets=sockets,
        request_seconds_max=settings.request_seconds_max,
    )


async def _drain(listener: Listener, roles: Roles) -> None:
    """Stop accepting, answer what was taken, send everybody elsewhere, close the store."""
    _log.info("draining", connections=roles.gateway.connections)
    await listener.stop_accepting()
    await roles.gateway.drain()
    await listener.close()
    await roles.stop()
    _log.info("stopped")


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    taken = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
