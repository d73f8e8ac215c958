"""The driver behind which Cassandra stands: the one file that knows its library, its errors and how much at once."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import acsylla
import msgspec
from acsylla import errors

from folkmoot.backends.cassandra.coalesce import Coalescer
from folkmoot.ports.store import SchemaUnknown, StoreAway, StoreUnknown

Row: TypeAlias = tuple[Any, ...]
Statement: TypeAlias = tuple[str, Sequence[Any]]
"""CQL with `?` for each value, and the values."""

REQUEST_SECONDS_MAX: Final = 5.0
"""Above what a server itself waits for its replicas (2 s): its answer says more than our time-out would."""

IN_FLIGHT_MAX: Final = 512
"""Requests at once. One more waits here: past what a node works on, more only lengthens every wait."""

WAITING_MAX: Final = 20_000
"""Requests that wait for that. One more is refused (StoreAway: nothing happened), and whoever asked asks again."""

PAGE_ROWS: Final = 2_000

_DEFINITE: Final = (
    errors.CassErrorLibNoHostsAvailable,
    errors.CassErrorLibNoStreams,
    errors.CassErrorLibRequestQueueFull,
    errors.CassErrorServerBadCredentials,
    errors.CassErrorServerInvalidQuery,
    errors.CassErrorServerIsBootstrapping,
    errors.CassErrorServerOverloaded,
    errors.CassErrorServerSyntaxError,
    errors.CassErrorServerUnauthorized,
    errors.CassErrorServerUnavailable,
)
"""Told before anything was begun."""

_log = logging.getLogger(__name__)

# What the library has to say is said by our own errors: those reach whoever asked.
logging.getLogger("acsylla").addHandler(logging.NullHandler())
logging.getLogger("acsylla").propagate = False


class SettingWrong(SchemaUnknown):
    """A setting does not fit what is there. The text begins with its name."""


class CassandraSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the cluster is and who we are there. `ca_pem`: TLS is spoken, and its certificates must be of this one.

    `datacenter` is the home: all that decides is decided there. `bucket_size` is how many entries a partition holds.
    """

    hosts: Sequence[str]
    datacenter: str
    port: int = 9042
    keyspace: str = "folkmoot"
    user: str = ""
    password: str = ""
    ca_pem: str = ""
    bucket_size: int = 1_000
    replication: int = 3

    def __repr__(self) -> str:
        return f"CassandraSettings({','.join(self.hosts)}:{self.port}, {self.keyspace!r}, {self.datacenter!r})"


class Driver:
    """A session: statements are prepared once, sent to a replica, and never tried again behind one's back.

    Reads are at LOCAL_QUORUM, or LOCAL_SERIAL where asked; writes at LOCAL_QUORUM, their conditions at LOCAL_SERIAL.
    """

    def __init__(self, session: Any, keyspace: str, cluster: Any) -> None:
        self._session = session
        # Kept for as long as the session: the library tells its nodes' comings and goings to a part of it.
        self._cluster = cluster
        self.keyspace = keyspace
        self._prepared: dict[str, asyncio.Future[Any]] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._reads = Coalescer()
        self.closed = False
        self.waiting = 0
        self.requests = 0
        self.refused = 0
        self.unknown = 0

    @property
    def shared(self) -> int:
        """Reads that were answered by another's."""
        return self._reads.shared

    async def read(self, cql: str, values: Sequence[Any], *, serial: bool = False) -> list[Row]:
        """The rows; identical reads share one that begins after each was asked. Raises StoreAway."""
        key = (cql, tuple(tuple(v) if isinstance(v, list) else v for v in values), serial)
        return await self._reads.run(key, lambda: self._read(cql, values, serial))

    async def write(self, cql: str, values: Sequence[Any]) -> None:
        """An unconditional write, safe to repeat. Raises StoreAway, or StoreUnknown."""
        await self._execute(await self._bound((cql, values)))

    async def write_all(self, statements: Sequence[Statement], *, at_once_max: int = 32) -> None:
        """Unconditional writes, each safe to repeat, and all durable at the return. Raises as `write`."""
        for start in range(0, len(statements), at_once_max):
            await asyncio.gather(*(self.write(*statement) for statement in statements[start : start + at_once_max]))

    async def decide(self, *statements: Statement) -> tuple[bool, list[Row]]:
        """A conditional write in one partition: whether it was applied, and if not the rows that were in the way.

        Raises StoreAway where it was not begun, StoreUnknown where nobody knows.
        """
        if len(statements) == 1:
            result = await self._execute(await self._bound(statements[0]))
        else:
            batch = acsylla.create_batch_unlogged(timeout=REQUEST_SECONDS_MAX)
            for statement in statements:
                batch.add_statement(await self._bound(statement))
            result = await self._execute(batch, batch=True)
        rows = [row.as_tuple() for row in result]
        return bool(rows and rows[0][0]), rows

    async def run(self, cql: str) -> list[Row]:
        """A statement that is not prepared, as those of the schema. Raises StoreAway or StoreUnknown."""
        return [row.as_tuple() for row in await self._execute(acsylla.create_statement(cql, timeout=60.0))]

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            await self._session.close()

    async def _read(self, cql: str, values: Sequence[Any], serial: bool) -> list[Row]:
        try:
            statement = await self._bound((cql, values))
            statement.set_page_size(PAGE_ROWS)
            if serial:
                statement.set_consistency(acsylla.Consistency.LOCAL_SERIAL)
            result = await self._execute(statement)
            rows = [row.as_tuple() for row in result]
            while result.has_more_pages():
                statement.set_page_state(result.page_state())
                result = await self._execute(statement)
                rows.extend(row.as_tuple() for row in result)
        except StoreUnknown as error:
            raise StoreAway(f"a read was not answered: {error}") from error
        return rows

    async def _bound(self, statement: Statement) -> Any:
        cql, values = statement
        held = self._prepared.get(cql)
        if held is None or (held.done() and held.exception() is not None):
            held = self._prepared[cql] = asyncio.ensure_future(self._prepare(cql))
        prepared = held.result() if held.done() else await asyncio.shield(held)
        return prepared.bind(list(values), timeout=REQUEST_SECONDS_MAX)

    async def _prepare(self, cql: str) -> Any:
        self.check()
        try:
            return await self._session.create_prepared(cql, timeout=REQUEST_SECONDS_MAX)
        except errors.CassException as error:
            raise StoreAway(f"Cassandra cannot be used: {error}") from error

    async def _execute(self, statement: Any, *, batch: bool = False) -> Any:
        self.check()
        if self.waiting >= WAITING_MAX:
            self.refused += 1
            raise StoreAway(f"{WAITING_MAX} requests wait for Cassandra")
        self.waiting += 1
        try:
            async with self._slots:
                self.check()
                self.requests += 1
                return await (self._session.execute_batch(statement) if batch else self._session.execute(statement))
        except _DEFINITE as error:
            raise StoreAway(f"Cassandra cannot be used: {error}") from error
        except errors.CassException as error:
            self.unknown += 1
            raise StoreUnknown(f"Cassandra did not say what became of it: {error}") from error
        finally:
            self.waiting -= 1

    def check(self) -> None:
        """Raises StoreAway once it is closed."""
        if self.closed:
            raise StoreAway("the store is closed")


async def connect(settings: CassandraSettings, *, keyspace: str | None = None) -> Driver:
    """A session, in `keyspace` if given. Raises SettingWrong, and StoreAway where no node answers."""
    where = f"{', '.join(settings.hosts)} at port {settings.port}"
    try:
        cluster = acsylla.create_cluster(
            list(settings.hosts),
            port=settings.port,
            username=settings.user or None,
            password=settings.password or None,
            ssl_enabled=bool(settings.ca_pem),
            ssl_trusted_cert=settings.ca_pem or None,
            consistency=acsylla.Consistency.LOCAL_QUORUM,
            # Without it the driver sends none, and the server takes SERIAL: an order over all data centres.
            serial_consistency=acsylla.Consistency.LOCAL_SERIAL,
            load_balance_dc_aware=settings.datacenter,
            # A conditional write that the driver tried again could find its own first try in the way.
            retry_policy="fallthrough",
            request_timeout=REQUEST_SECONDS_MAX,
            exponential_reconnect_base_delay_ms=100,
            exponential_reconnect_max_delay_ms=2_000,
            heartbeat_interval_sec=2,
            idle_timeout_sec=6,
            coalesce_delay_us=100,
            log_level="critical",
            application_name="folkmoot",
            host_listener_callback=_tell_of_node,
        )
        session = await cluster.create_session(keyspace=keyspace)
    except errors.CassErrorServerBadCredentials as error:
        raise SettingWrong(
            "cassandra_password_file: Cassandra does not take this user and password (cassandra_user)"
        ) from error
    except errors.CassErrorLibUnableToSetKeyspace as error:
        raise SettingWrong(
            f"cassandra_keyspace: there is no keyspace {keyspace}; `folkmoot migrate` makes it"
        ) from error
    except errors.CassErrorSourceSsl as error:
        raise SettingWrong(f"cassandra_ca_file: TLS with {where} failed: {error}") from error
    except errors.CassException as error:
        if "datacenter" in str(error):
            raise SettingWrong(f"cassandra_datacenter: {where} has no data centre {settings.datacenter!r}") from error
        raise StoreAway(f"cassandra_hosts: no Cassandra answers at {where}: {error}") from error
    return Driver(session, keyspace or "", cluster)


def _tell_of_node(event: acsylla.HostListenerEvent, address: str) -> None:
    if event is acsylla.HostListenerEvent.DOWN:
        _log.warning("a node of Cassandra is away", extra={"node": address})
    elif event is acsylla.HostListenerEvent.UP:
        _log.info("a node of Cassandra is there", extra={"node": address})
