"""One process's life: start in order, say when it is ready, drain in reverse when told to stop."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from folkmoot import __version__
from folkmoot.gateway.app import build_app
from folkmoot.gateway.cors import Cors
from folkmoot.gateway.listener import Listener, ListenerSettings, raise_open_files
from folkmoot.gateway.proxies import Proxies
from folkmoot.gateway.rest.desk import Desk
from folkmoot.gateway.rest.hot import Hot
from folkmoot.gateway.rest.routes import rest_router
from folkmoot.gateway.sse import Streams
from folkmoot.gateway.tls import Certificate
from folkmoot.gateway.websocket import SocketSettings
from folkmoot.node.collecting import collecting
from folkmoot.node.config import Settings
from folkmoot.node.notify import notify
from folkmoot.node.readiness import Readiness
from folkmoot.node.reload import Reloading
from folkmoot.node.signals import on_signals
from folkmoot.node.wiring import Roles, build_certificate, build_roles, open_bus, open_store, open_tracer
from folkmoot.ports.clock import Chance, Clock, SystemChance, SystemClock
from folkmoot.ports.traces import Tracer
from folkmoot.router.service import FailPoint
from folkmoot.telemetry.logs import get_logger, set_level
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
    reread: Callable[[], Settings] | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`, then drain. `on_ready` gets the base URL once sends are taken.

    At SIGHUP `reread` gives the settings anew, where it is there, and those that can change without a restart do.

    Raises SchemaUnknown where the store is not this program's, OSError where the port or the files cannot be had.
    """
    clock, chance = clock or SystemClock(), chance or SystemChance()
    stop = stop or asyncio.Event()
    raise_open_files()
    certificate = build_certificate(settings)
    tracer = open_tracer(settings, chance, __version__)
    roles = await _open(settings, clock, chance, fail_point, tracer)
    store = roles.store
    cors = Cors(settings.allowed_origins)
    readiness = Readiness(store, clock, draining=lambda: roles.gateway.draining, bus_away_s=roles.bus.away_s)
    streams = Streams(roles.gateway, _sockets(settings))
    desk = Desk(roles.gateway, store.accounts, roles.registrar, version=__version__)
    app = build_app(
        why_not_ready=readiness.why_not,
        metrics=exposition(roles.statistics),
        metrics_for=_everybody if settings.metrics_open else roles.gateway.access.may_read_metrics,
        version=__version__,
        cors=cors,
        routers=[rest_router()] if roles.is_gateway else [],
        state={"desk": desk, "streams": streams},
    )
    listener = Listener(_listening(settings, certificate), Hot(app, desk) if roles.is_gateway else app, roles.gateway)
    reloading = Reloading(settings, reread or (lambda: settings))
    reloading.on_reload += [
        lambda now: set_level(now.log_level),
        roles.apply,
        lambda now: listener.apply(_sockets(now)),
        lambda now: cors.apply(now.allowed_origins),
        lambda now: streams.apply(_sockets(now)),
    ]
    if certificate is not None:
        reloading.on_reload.append(lambda _: certificate.look())
    if tracer is not None:
        reloading.on_reload.append(lambda now: setattr(tracer, "ratio", now.traces_ratio))
    try:
        await roles.start()
        url = await listener.start()
        readiness.started = True
        _log.info("ready", url=url, epoch=await store.epoch())
        hung_up = _hung_up(reloading, stop, clock)
        with on_signals({signal.SIGTERM: stop.set, signal.SIGINT: stop.set, signal.SIGHUP: hung_up}):
            async with collecting(clock):
                on_ready(url)
                notify("READY=1")
                await stop.wait()
    finally:
        notify("STOPPING=1")
        await readiness.close()
        await _drain(listener, roles)
        if tracer is not None:
            await asyncio.to_thread(tracer.close)


async def _open(
    settings: Settings, clock: Clock, chance: Chance, fail_point: FailPoint | None, tracer: Tracer | None
) -> Roles:
    """The roles over a bus and a store that are open; neither stays open where the other, or a role, cannot be had."""
    async with contextlib.AsyncExitStack() as opened:
        bus = await open_bus(settings)
        opened.push_async_callback(bus.close)
        store = await open_store(settings, clock, bus)
        opened.push_async_callback(store.close)
        roles = build_roles(settings, store, bus, clock, chance, fail_point, tracer)
        opened.pop_all()
    return roles


async def _everybody(_: str | None) -> None:
    """Whoever asks may."""


def _listening(settings: Settings, certificate: Certificate | None) -> ListenerSettings:
    return ListenerSettings(
        host=settings.host,
        port=settings.port,
        sockets=_sockets(settings),
        certificate=certificate,
        proxies=Proxies(settings.trusted_proxies),
        request_seconds_max=settings.request_seconds_max,
        reuse_port=settings.reuse_port,
    )


def _sockets(settings: Settings) -> SocketSettings:
    return SocketSettings(
        write_bytes_high=settings.write_bytes_high,
        write_bytes_low=settings.write_bytes_low,
        # Whoever is no gateway has its port for health and metrics alone.
        connections_max=settings.connections_max if "gateway" in settings.roles else 0,
        origins=settings.allowed_origins,
    )


def _hung_up(reloading: Reloading, stop: asyncio.Event, clock: Clock) -> Callable[[], None]:
    """What SIGHUP does: read the settings again; or stop, where it says that the terminal of this process is gone."""
    terminal = next((file for file in (0, 1, 2) if os.isatty(file)), None)

    def act() -> None:
        if terminal is not None and not os.isatty(terminal):
            stop.set()
            return
        notify(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic_s() * 1_000_000)}")
        reloading.reload()
        notify("READY=1")

    return act


async def _drain(listener: Listener, roles: Roles) -> None:
    """Stop accepting, answer what was taken, send everybody elsewhere, close the store."""
    _log.info("draining", connections=roles.gateway.connections)
    await listener.stop_accepting()
    await roles.leave()
    await roles.gateway.drain()
    await listener.close()
    await roles.stop()
    _log.info("stopped")
