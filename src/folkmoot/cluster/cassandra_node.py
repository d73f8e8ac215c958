"""A real Cassandra node on this machine: its configuration, started, struck, and waited for until it answers."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from folkmoot.cluster.cassandra_jars import jars, java
from folkmoot.cluster.process import Process, ProcessFailed

READY_S_MAX: Final = 300.0
STOP_S_MAX: Final = 30.0
ASK_S_MAX: Final = 2.0
LOOK_AGAIN_S: Final = 0.1
MAIN: Final = "org.apache.cassandra.service.CassandraDaemon"
LOG_BYTES_MAX: Final = "16MB"

OPTIONS_REQUEST: Final = bytes.fromhex("04 00 0000 05 00000000")
"""Of the native protocol, version 4: what do you support? It needs no login."""

SUPPORTED: Final = 0x06
STARTUP_REQUEST: Final = bytes.fromhex("04 00 0000 01 00000016 0001 000b") + b"CQL_VERSION\0\x053.0.0"
READY: Final = 0x02
QUERY: Final = 0x07
ALL: Final = b"\0\x05\0"
"""Every copy has to answer; and no more is said of the query."""

RESULT: Final = 0x08
HEADER_BYTES: Final = 9

EXPORTS: Final = (
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.attach/sun.tools.attach",
)
OPENS: Final = (
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/java.io",
    "java.base/sun.nio.ch",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
    "jdk.compiler/com.sun.tools.javac",
)
"""What Cassandra 5 reaches into on Java 17, as its own start script has it."""

LOGBACK: Final = """<configuration>
  <appender name="file" class="ch.qos.logback.core.rolling.RollingFileAppender">
    <file>{log}</file>
    <rollingPolicy class="ch.qos.logback.core.rolling.FixedWindowRollingPolicy">
      <fileNamePattern>{log}.%i</fileNamePattern><minIndex>1</minIndex><maxIndex>1</maxIndex>
    </rollingPolicy>
    <triggeringPolicy class="ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy">
      <maxFileSize>{size}</maxFileSize>
    </triggeringPolicy>
    <encoder><pattern>%date{{ISO8601}} %-5level %logger{{0}}: %msg%n</pattern></encoder>
  </appender>
  <appender name="words" class="ch.qos.logback.core.ConsoleAppender">
    <filter class="ch.qos.logback.classic.filter.ThresholdFilter"><level>ERROR</level></filter>
    <encoder><pattern>%level %logger{{0}}: %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="file"/><appender-ref ref="words"/></root>
</configuration>
"""


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One node. All nodes of a cluster have the same ports, each an address of its own: 127.0.0.1, 127.0.0.2, …

    `folder` holds all of it: data, commit log, words. `passwords`: who connects has to log in (at first as
    `cassandra` with that password).
    """

    folder: Path
    address: str = "127.0.0.1"
    cql_port: int = 9042
    storage_port: int = 7000
    seeds: tuple[str, ...] = ("127.0.0.1",)
    nodes: int = 1
    heap_mb: int = 640
    passwords: bool = False


def configuration(settings: NodeSettings) -> dict[str, Any]:
    """What stands in the node's cassandra.yaml."""
    seeds = ",".join(f"{address}:{settings.storage_port}" for address in settings.seeds)
    folder = settings.folder
    return {
        "cluster_name": "folkmoot",
        "num_tokens": 1 if settings.nodes == 1 else 4,
        "allocate_tokens_for_local_replication_factor": min(settings.nodes, 3),
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "SimpleSnitch",
        "seed_provider": [
            {"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [{"seeds": seeds}]}
        ],
        "listen_address": settings.address,
        "rpc_address": settings.address,
        "storage_port": settings.storage_port,
        "native_transport_port": settings.cql_port,
        "authenticator": "PasswordAuthenticator" if settings.passwords else "AllowAllAuthenticator",
        "authorizer": "CassandraAuthorizer" if settings.passwords else "AllowAllAuthorizer",
        "role_manager": "CassandraRoleManager",
        "data_file_directories": [str(folder / "data")],
        "commitlog_directory": str(folder / "commitlog"),
        "hints_directory": str(folder / "hints"),
        "saved_caches_directory": str(folder / "saved_caches"),
        "cdc_raw_directory": str(folder / "cdc_raw"),
        # The default, periodic, answers before the disk has it: after a SIGKILL one write in a hundred was gone.
        "commitlog_sync": "group",
        "commitlog_sync_group_window": "2ms",
        # A waiting write holds a thread for as long as the window.
        "concurrent_writes": 128,
        "native_transport_max_threads": 128,
        "commitlog_segment_size": "16MiB",
        "commitlog_total_space": "256MiB",
        "memtable_heap_space": "128MiB",
        "memtable_offheap_space": "128MiB",
        "file_cache_size": "32MiB",
        "networking_cache_size": "32MiB",
        "key_cache_size": "16MiB",
        "counter_cache_size": "0MiB",
        "concurrent_compactors": 1,
        "auto_snapshot": False,
        "disk_failure_policy": "die",
        "commit_failure_policy": "die",
        "paxos_variant": "v2",
    }


def command(settings: NodeSettings, java_program: str, jars_folder: Path) -> list[str]:
    """How the node is started. The last three properties leave out waits that one machine does not need."""
    (agent,) = jars_folder.glob("jamm-*.jar")
    folder = settings.folder
    return [
        java_program, "-XX:+UseG1GC", "-XX:+ParallelRefProcEnabled", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError",
        "-Xss512k", "-Djava.awt.headless=true", "-Djava.net.preferIPv4Stack=true", "-Djdk.attach.allowAttachSelf=true",
        *(word for package in EXPORTS for word in ("--add-exports", f"{package}=ALL-UNNAMED")),
        *(word for package in OPENS for word in ("--add-opens", f"{package}=ALL-UNNAMED")),
        "-Dio.netty.tryReflectionSetAccessible=true", f"-Xms{settings.heap_mb // 2}M", f"-Xmx{settings.heap_mb}M",
        "-XX:MaxDirectMemorySize=256M", f"-javaagent:{agent}",
        f"-Dlogback.configurationFile={(folder / 'logback.xml').as_uri()}",
        f"-Dcassandra.config={(folder / 'cassandra.yaml').as_uri()}",
        f"-Dcassandra.storagedir={folder}", f"-Dcassandra.logdir={folder}", "-Dcassandra-foreground=yes",
        "-Dcassandra.ring_delay_ms=2000", "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.consistent.rangemovement=false", "-cp", f"{jars_folder}/*", MAIN,
    ]  # fmt: skip


def files(settings: NodeSettings) -> dict[Path, str]:
    """What stands in the node's folder before it starts: JSON is YAML too."""
    folder = settings.folder
    return {
        folder / "cassandra.yaml": json.dumps(configuration(settings), indent=2),
        folder / "logback.xml": LOGBACK.format(log=folder / "system.log", size=LOG_BYTES_MAX),
    }


class CassandraNode:
    """One node. `tied`: it ends with this process, however that ends.

    Start the nodes of a new cluster one after the other; later all at once.
    """

    def __init__(self, settings: NodeSettings, *, tied: bool = True, process: Process | None = None) -> None:
        self.settings = settings
        self._tied = tied
        self.process = process

    async def spawn(self) -> Process:
        """Start it, and do not wait until it answers. Raises CassandraMissing, ProcessFailed."""
        words = command(self.settings, await asyncio.to_thread(java), jars())
        for path, text in files(self.settings).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.process = Process.spawn(words, self.settings.folder / "words.log", tied=self._tied)
        return self.process

    async def start(self) -> None:
        """Start it, and return once it answers. Raises CassandraMissing, ProcessFailed."""
        await self.spawn()
        await self.ready()

    async def ready(self, seconds_max: float = READY_S_MAX) -> None:
        """Return once it answers. Raises ProcessFailed where it ends before, or does not in that time."""
        assert self.process is not None
        ends_s = time.monotonic() + seconds_max
        while not await answers(self.settings.address, self.settings.cql_port):
            if not self.process.is_running:
                raise ProcessFailed(f"Cassandra at {self.settings.address} ended: {self.process.last_words()}")
            if time.monotonic() > ends_s:
                raise ProcessFailed(f"Cassandra at {self.settings.address} does not answer: {self._log_end()}")
            await asyncio.sleep(LOOK_AGAIN_S)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            await self.process.kill()

    def pause(self) -> None:
        """SIGSTOP: its connections stay, and say nothing."""
        if self.process is not None:
            self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if self.process is not None:
            self.process.send(signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        if self.process is not None:
            await self.process.stop(STOP_S_MAX)

    def _log_end(self) -> str:
        log = self.settings.folder / "system.log"
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return "\n".join(lines[-8:]) or "it wrote nothing"


async def answers(address: str, cql_port: int) -> bool:
    """Whether something at the address speaks CQL's protocol now."""
    return await _answered(address, cql_port, (OPTIONS_REQUEST, SUPPORTED))


async def has_all_copies(address: str, cql_port: int, table: str) -> bool:
    """Whether every copy of the table answers, asked through this node: one that is back is missed for seconds yet.

    Of a node that asks for no login.
    """
    query = f"SELECT * FROM {table}".encode()
    body = len(query).to_bytes(4) + query + ALL
    request = bytes([4, 0, 0, 0, QUERY]) + len(body).to_bytes(4) + body
    return await _answered(address, cql_port, (STARTUP_REQUEST, READY), (request, RESULT))


async def _answered(address: str, cql_port: int, *steps: tuple[bytes, int]) -> bool:
    """Whether each request in turn is answered by what it should be."""
    try:
        async with asyncio.timeout(ASK_S_MAX):
            reader, writer = await asyncio.open_connection(address, cql_port)
            try:
                for request, wanted in steps:
                    writer.write(request)
                    header = await reader.readexactly(HEADER_BYTES)
                    if header[4] != wanted:
                        return False
                    await reader.readexactly(int.from_bytes(header[5:]))
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    return True
