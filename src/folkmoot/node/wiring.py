"""The only file that picks backends and builds roles: one process, from its settings."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.sqlite.shared import WritesOfOthers, open_shared
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.delivery.service import Delivery, DeliverySettings
from folkmoot.gateway.access import Access
from folkmoot.gateway.lane import write_together
from folkmoot.gateway.registrar import Registrar
from folkmoot.gateway.service import Gateway, GatewaySettings
from folkmoot.gateway.signers import Signers, SignersSettings, SignersUnusable
from folkmoot.gateway.standings import Standings
from folkmoot.gateway.tls import Certificate, CertificateUnusable
from folkmoot.gateway.wheel import Wheel
from folkmoot.model.histogram import Histogram
from folkmoot.model.partitions import ALL
from folkmoot.node.config import Settings, SettingsError
from folkmoot.node.copy import Side
from folkmoot.node.dealing import Dealing
from folkmoot.node.peers import Peers
from folkmoot.ports.accounts import Accounts
from folkmoot.ports.bus import Bus
from folkmoot.ports.clock import Chance, Clock
from folkmoot.ports.store import SchemaUnknown, Store
from folkmoot.ports.traces import Tracer
from folkmoot.router.service import FailPoint, Router, RouterSettings

if TYPE_CHECKING:
    from folkmoot.backends.cassandra.driver import CassandraSettings
    from folkmoot.backends.cassandra.migrate import Schema
    from folkmoot.backends.cassandra.store import CassandraStore
    from folkmoot.telemetry.traces import OpenTelemetry

DATABASE = "folkmoot.db"

LEAVE_S: Final = 0.3
"""How long others have to hear that this process leaves, and to listen where it did."""


class AnyBus(Bus, Protocol):
    """A bus that says how it does."""

    def away_s(self) -> float:
        """For how many seconds there has been no connection, 0 while there is one or none is needed."""

    def statistics(self) -> dict[str, int]: ...


class AnyStore(Store, Protocol):
    """A store with accounts in it, that says how it does."""

    @property
    def accounts(self) -> Accounts: ...

    @property
    def home(self) -> str:
        """Which store it is: the same for all processes that serve it, and for nobody else."""

    def statistics(self) -> dict[str, int]: ...

    def histograms(self) -> dict[str, Histogram]: ...


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one process that does not listen on a port."""

    store: AnyStore
    bus: AnyBus
    router: Router | None
    delivery: Delivery | None
    signers: Signers
    gateway: Gateway
    is_gateway: bool
    registrar: Registrar
    peers: Peers | None
    writes: WritesOfOthers | None

    async def start(self) -> None:
        """In the order in which each finds the next one listening."""
        # Among others, nothing is owned before it is known who they are.
        owned = ALL if self.peers is None else frozenset[int]()
        if self.writes is not None:
            self.writes.start()
        if self.router is not None:
            # A file's lock lets one process write it. That one routes all, and need not hear first who else does:
            # nobody takes its place while it is away.
            await self.router.start(owned if self.writes is None else ALL)
        if self.delivery is not None:
            await self.delivery.start(owned)
        await self.signers.start()
        if self.peers is not None:
            await self.peers.start()
        if self.is_gateway:
            await self.gateway.start()

    async def leave(self) -> None:
        """Let others take over what is owned here, before anything of it is stopped."""
        if self.peers is not None:
            self.peers.leave()
            await asyncio.sleep(LEAVE_S)

    async def stop(self) -> None:
        """In reverse: what was taken in is answered before the store closes."""
        await self.gateway.stop()
        if self.peers is not None:
            await self.peers.stop()
        await self.signers.stop()
        if self.delivery is not None:
            await self.delivery.stop()
        if self.router is not None:
            await self.router.stop()
        if self.writes is not None:
            await self.writes.stop()
        await self.bus.close()
        await self.store.close()

    def apply(self, settings: Settings) -> None:
        """Go on with other settings, as far as they change without a restart."""
        if self.router is not None:
            self.router.apply(router_settings(settings))
        if self.delivery is not None:
            self.delivery.apply(delivery_settings(settings))
        self.gateway.apply(gateway_settings(settings))
        self.signers.reload()

    @property
    def store_kind(self) -> str:
        """Under which name the figures of the store stand: other stores count other things."""
        return "store" if isinstance(self.store, SqliteStore) else "cassandra"

    def statistics(self) -> Mapping[str, Mapping[str, int | Histogram]]:
        """Of the roles that this process has, of its bus and of its store."""
        figures: dict[str, Mapping[str, int | Histogram]] = {
            "bus": self.bus.statistics(),
            self.store_kind: {**self.store.statistics(), **self.store.histograms()},
        }
        if self.is_gateway:
            figures["gateway"] = {**self.gateway.statistics(), **self.gateway.histograms()}
        if self.router is not None:
            figures["router"] = {**self.router.statistics(), **self.router.histograms()}
        if self.delivery is not None:
            figures["delivery"] = self.delivery.statistics()
        if self.peers is not None:
            figures["peers"] = self.peers.statistics()
        return figures


async def open_store(settings: Settings, clock: Clock, bus: Bus | None = None) -> AnyStore:
    """The store that the settings name. In a file, whoever routes writes it, and others send their few writes there.

    Raises SchemaUnknown, or OSError where it cannot be written, or is not there yet; with Cassandra SettingsError where
    a setting does not fit it, and StoreAway where it does not answer.
    """
    if settings.store == "cassandra":
        return await _open_cassandra(settings)
    if "router" not in settings.roles and bus is not None:
        return await open_shared(_database(settings), bus, clock=clock, readers=settings.sqlite_readers)
    return await SqliteStore.open(
        _database(settings),
        clock=clock,
        readers=settings.sqlite_readers,
        wal_bytes_max=settings.sqlite_wal_bytes_max,
        reserve_bytes=settings.sqlite_reserve_bytes,
        gather_s=settings.sqlite_gather_s,
    )


async def migrate(settings: Settings, *, epoch: int | None = None) -> "Schema":
    """Make or bring forward what Cassandra holds. Raises SettingsError, StoreAway or StoreUnknown."""
    asked = cassandra_settings(settings)
    from folkmoot.backends.cassandra import migrate as schemas

    try:
        return await schemas.migrate(asked, epoch=schemas.EPOCH_FIRST if epoch is None else epoch)
    except SchemaUnknown as error:
        raise SettingsError(str(error)) from error


async def _open_cassandra(settings: Settings, *, to_copy: bool = False) -> "CassandraStore":
    asked = cassandra_settings(settings)
    from folkmoot.backends.cassandra.store import CassandraStore

    try:
        return await CassandraStore.open(asked, to_copy=to_copy)
    except SchemaUnknown as error:
        raise SettingsError(str(error)) from error


def cassandra_settings(settings: Settings) -> "CassandraSettings":
    """Where Cassandra is and who this process is there. Raises SettingsError."""
    try:
        from folkmoot.backends.cassandra.driver import CassandraSettings
    except ImportError as error:
        raise SettingsError("store: cassandra needs `pip install folkmoot[server,cassandra]`") from error
    return CassandraSettings(
        hosts=settings.cassandra_hosts,
        port=settings.cassandra_port,
        keyspace=settings.cassandra_keyspace,
        datacenter=settings.cassandra_datacenter,
        replication=settings.cassandra_replication,
        user=settings.cassandra_user,
        password=_text_of("cassandra_password_file", settings.cassandra_password_file).strip(),
        ca_pem=_text_of("cassandra_ca_file", settings.cassandra_ca_file),
        bucket_size=settings.bucket_size,
    )


def _text_of(name: str, file: str) -> str:
    try:
        return Path(file).read_text("utf-8") if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: {file} cannot be read: {error}") from error


async def open_to_copy(settings: Settings, clock: Clock, name: str, *, epoch: int | None) -> Side:
    """The store that the settings name, to be copied from (`epoch` None) or into: one that must not be served too.

    One that is copied into is made where it is not there, of that epoch. Raises as `open_store` does, and SettingsError
    where what is to be copied is not there.
    """
    if settings.store == "cassandra":
        if epoch is not None:
            await migrate(settings, epoch=epoch)
        keyspace = await _open_cassandra(settings, to_copy=True)
        return Side(name, keyspace, keyspace.accounts, keyspace.transfer)
    if epoch is None and not (Path(settings.data_dir) / DATABASE).exists():
        raise SettingsError(f"{settings.data_dir} has no store")
    store = await SqliteStore.open(_database(settings), clock=clock, reserve_bytes=0, to_copy=True)
    return Side(name, store, store.accounts, store.transfer)


def build_roles(
    settings: Settings,
    store: AnyStore,
    bus: AnyBus,
    clock: Clock,
    chance: Chance,
    fail_point: FailPoint | None = None,
    tracer: Tracer | None = None,
) -> Roles:
    """Router, delivery and gateway over a store and a bus, as the settings say.

    A gateway is made in any case, and takes connections only where it is among the roles.
    """
    signers = build_signers(settings, clock)
    access = Access(signers.verifier, Standings(store.accounts, clock), clock)
    router = delivery = None
    if "router" in settings.roles:
        router = Router(store, bus, clock, chance, router_settings(settings), fail_point=fail_point, tracer=tracer)
    if "delivery" in settings.roles:
        delivery = Delivery(store, bus, clock, chance, delivery_settings(settings), tracer=tracer)
    gateway = Gateway(
        store,
        bus,
        clock,
        chance,
        access,
        Wheel(clock, ping_interval_s=settings.ping_interval_s, hello_seconds=settings.hello_seconds),
        gateway_settings(settings),
        tracer=tracer,
    )
    registrar = Registrar(store.accounts, access, bus, clock, chance)
    is_gateway = "gateway" in settings.roles
    if is_gateway:
        write_together(settings.io_uring)
    peers = writes = None
    if settings.bus != "memory":
        dealing = Dealing(
            chance.token(8).hex(),
            gateway if is_gateway else None,
            router,
            delivery,
            routes_all=settings.routes_all,
        )
        peers = Peers(bus, clock, dealing.own(), home=store.home, on_view=dealing.see, on_paused=dealing.paused)
        # Only a file has one writer: with Cassandra everybody writes.
        writes = WritesOfOthers(bus, store) if router is not None and isinstance(store, SqliteStore) else None
    return Roles(
        store=store,
        bus=bus,
        router=router,
        delivery=delivery,
        signers=signers,
        gateway=gateway,
        is_gateway=is_gateway,
        registrar=registrar,
        peers=peers,
        writes=writes,
    )


def open_tracer(settings: Settings, chance: Chance, version: str) -> "OpenTelemetry | None":
    """What traces are made with, None where none are asked for. Raises SettingsError where that is not installed."""
    if not settings.traces_endpoint:
        return None
    try:
        from folkmoot.telemetry.traces import open_traces
    except ImportError as error:
        raise SettingsError("traces_endpoint: needs `pip install folkmoot[traces]`") from error
    return open_traces(settings.traces_endpoint, ratio=settings.traces_ratio, draw=chance.draw, version=version)


def router_settings(settings: Settings) -> RouterSettings:
    return RouterSettings(
        batch_entries_max=settings.batch_entries_max,
        groups_cached_max=settings.groups_cached_max,
        refusals_per_minute=settings.refusals_per_minute,
        members_max=settings.members_max,
        heads_interval_s=settings.heads_interval_s,
        audit_interval_s=settings.audit_interval_s,
    )


def delivery_settings(settings: Settings) -> DeliverySettings:
    return DeliverySettings(
        sweep_interval_s=settings.announce_interval_s, edge_silent_s_max=3 * settings.announce_interval_s
    )


def gateway_settings(settings: Settings) -> GatewaySettings:
    return GatewaySettings(
        sends_per_s=settings.sends_per_s,
        sends_burst=settings.sends_burst,
        events_per_s=settings.events_per_s,
        events_burst=settings.events_burst,
        requests_per_s=settings.requests_per_s,
        requests_burst=settings.requests_burst,
        ping_interval_s=settings.ping_interval_s,
        reads_at_once_max=settings.reads_at_once_max,
        ask_again_s=settings.ask_again_s,
        asks_max=settings.asks_max,
        announce_interval_s=settings.announce_interval_s,
        sweep_interval_s=settings.sweep_interval_s,
        drain_spread_ms=int(settings.drain_spread_s * 1_000),
        drain_answers_s_max=settings.drain_seconds_max,
    )


def build_signers(settings: Settings, clock: Clock) -> Signers:
    """Whose tokens are good. Raises SecretUnsafe, and SettingsError where keys cannot be read."""
    try:
        return Signers(
            SignersSettings(
                data_dir=_made(settings.data_dir),
                public_key_file=settings.token_public_key_file,
                jwks_file=settings.token_jwks_file,
                jwks_url=settings.token_jwks_url,
                jwks_refresh_s=settings.token_jwks_refresh_s,
                issuer=settings.token_issuer,
                audience=settings.token_audience,
            ),
            clock,
        )
    except SignersUnusable as error:
        raise SettingsError(str(error)) from error


def build_certificate(settings: Settings) -> Certificate | None:
    """What TLS is spoken with, if it is. Raises SettingsError."""
    cert_file, key_file = settings.tls_cert_file, settings.tls_key_file
    if not cert_file and not key_file:
        return None
    if not cert_file or not key_file:
        raise SettingsError(f"{'tls_cert_file' if key_file else 'tls_key_file'}: TLS needs a certificate and its key")
    try:
        return Certificate(Path(cert_file), Path(key_file))
    except CertificateUnusable as error:
        raise SettingsError(str(error)) from error


def _database(settings: Settings) -> Path:
    return _made(settings.data_dir) / DATABASE


def _made(folder: str) -> Path:
    """The folder of a process's data, made where it is not there. Raises OSError."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


async def open_bus(settings: Settings) -> AnyBus:
    """The bus that the settings name. Raises SettingsError where it cannot be had."""
    if settings.bus == "memory":
        return MemoryBus()
    try:
        from folkmoot.backends.nats.bus import NatsBus
        from folkmoot.backends.nats.credentials import BusUnusable
    except ImportError as error:
        raise SettingsError("bus: nats needs `pip install folkmoot[nats]`") from error
    try:
        return await NatsBus.connect(
            settings.nats_urls,
            name="folkmoot " + "+".join(settings.roles),
            credentials_file=settings.nats_credentials_file,
            ca_file=settings.nats_ca_file,
        )
    except BusUnusable as error:
        raise SettingsError(str(error)) from error
