"""A cluster that runs on this machine: its processes started in order, struck, found again, and ended."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from folkmoot.cluster import cassandra_node
from folkmoot.cluster.cassandra_jars import jars, java
from folkmoot.cluster.plan import (
    KINDS,
    LOOPBACK,
    Kind,
    Part,
    Ports,
    Programs,
    Shape,
    ShapeImpossible,
    data_dir,
    fault,
    names,
    parts,
    store_settings,
)
from folkmoot.cluster.process import Identity, Process, ProcessFailed, free_port
from folkmoot.gateway.identity import secret_of

T = TypeVar("T")

STATE_FILE: Final = "cluster.json"
READY_S_MAX: Final[dict[Kind, float]] = {
    "cassandra": cassandra_node.READY_S_MAX, "nats": 15.0, "router": 60.0, "delivery": 60.0, "gateway": 60.0,
}  # fmt: skip
SCHEMA_TABLE: Final = "folkmoot.meta"
STOP_S_MAX: Final = 40.0
SCHEMA_S_MAX: Final = 120.0
LOG_BYTES_MAX: Final = 16 * 1_048_576
"""Of a part's words; a longer file is laid aside when the part starts again, in place of the one before it."""

LOOK_AGAIN_S: Final = 0.05
ASK_S_MAX: Final = 2.0


class ClusterUnknown(Exception):
    """There is no cluster in that folder, or none of this shape; the text says what to do."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down of a cluster: enough to find its processes again, and to start one anew."""

    shape: Shape
    ports: Ports
    processes: dict[str, Identity]


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One part now. `state`: `ready`, `silent` (it runs, and does not answer), `paused` or `gone`."""

    name: str
    kind: str
    state: str
    pid: int | None
    url: str
    log: str


class Cluster:
    """A cluster with all its data under one folder.

    `tied`: its processes end with this one, however it ends; else they stay, and are found again by the state file.
    `nats_urls`: where processes of ours find NATS, if not straight at its servers (a proxy's, to cut the bus).
    """

    def __init__(self, folder: Path, state: State, programs: Programs, *, tied: bool) -> None:
        self.folder = folder.absolute()
        self.shape = state.shape
        self.ports = state.ports
        self.nats_urls: tuple[str, ...] = ()
        self._programs = programs
        self._tied = tied
        self._processes = {
            name: Process(part.log, state.processes[name])
            for name, part in self.parts.items()
            if name in state.processes
        }

    @classmethod
    async def planned(cls, folder: Path, shape: Shape, *, tied: bool, first_port: int = 0) -> "Cluster":
        """A cluster that has yet to start; gateways from `first_port` on, 0: on free ports.

        Raises ShapeImpossible, CassandraMissing, and ProcessFailed where there is no `nats-server`.
        """
        why = fault(shape)
        if why is not None:
            raise ShapeImpossible(why)
        state = State(shape=shape, ports=draw_ports(shape, first_port), processes={})
        return cls(folder, state, await programs(shape), tied=tied)

    @classmethod
    async def found(cls, folder: Path) -> "Cluster":
        """The cluster of that folder, running or not. Raises ClusterUnknown."""
        state = _read_state(folder)
        return cls(folder, state, await programs(state.shape), tied=False)

    @property
    def parts(self) -> dict[str, Part]:
        return parts(self.folder, self.shape, self.ports, self._programs, self.nats_urls)

    @property
    def data_dir(self) -> Path:
        return data_dir(self.folder)

    @property
    def gateway_urls(self) -> list[str]:
        return [part.url for part in self.parts.values() if part.kind == "gateway"]

    def of_kind(self, kind: Kind) -> list[str]:
        """The names of its parts of that kind."""
        return [name for name, its_kind in names(self.shape).items() if its_kind == kind]

    @property
    def pids(self) -> dict[str, int]:
        """By name, of those that run."""
        return {name: process.identity.pid for name, process in self._processes.items() if process.is_running}

    async def up(self, on_ready: Callable[[Part], None] = lambda _: None, *, without: Collection[str] = ()) -> None:
        """Start what does not run, in order, and return once all is ready. Raises ProcessFailed.

        `without`: parts that are left for later.
        """
        # Before any of ours: all sign with the one secret, and none but SQLite's router would make its folder.
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret_of(self.data_dir)
        for kind in KINDS:
            of_kind = [part for part in self.parts.values() if part.kind == kind and part.name not in without]
            missing = [part for part in of_kind if not self._runs(part.name)]
            if kind == "cassandra":
                await self._up_cassandra(missing, on_ready)
            else:
                await _all(self.start(part.name, on_ready) for part in missing)

    async def start(self, name: str, on_ready: Callable[[Part], None] = lambda _: None) -> None:
        """Start one part, and return once it is ready. Raises ProcessFailed."""
        part = self.parts[name]
        said_before = part.log.stat().st_size if part.log.exists() else 0
        if said_before > LOG_BYTES_MAX:
            part.log.replace(part.log.with_suffix(".log.1"))
            said_before = 0
        for path, text in part.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        process = Process.spawn(part.command, part.log, tied=self._tied, environment=_environment())
        self._processes[name] = process
        self._write_down()
        ends_s = time.monotonic() + READY_S_MAX[part.kind]
        while not await self._is_ready(part, said_before):
            if not process.is_running:
                raise ProcessFailed(f"{name} ended: {process.last_words()} ({part.log})")
            if time.monotonic() > ends_s:
                raise ProcessFailed(f"{name} is not ready after {READY_S_MAX[part.kind]:g} s: see {part.log.parent}")
            await asyncio.sleep(LOOK_AGAIN_S)
        on_ready(part)

    async def rejoined(self) -> None:
        """Return once each node of Cassandra sees all the others. Raises ProcessFailed where one does not in time.

        Before that, to lose another would leave no majority.
        """
        ends_s = time.monotonic() + READY_S_MAX["cassandra"]
        for name in self.of_kind("cassandra"):
            part = self.parts[name]
            while not await cassandra_node.has_all_copies(part.address, part.port, SCHEMA_TABLE):
                if time.monotonic() > ends_s:
                    raise ProcessFailed(f"{name} misses another: see {part.log.parent}")
                await asyncio.sleep(LOOK_AGAIN_S)

    async def kill(self, name: str) -> bool:
        """SIGKILL, and wait until it is gone; whether it ran."""
        return name in self._processes and await self._processes[name].kill()

    def pause(self, name: str) -> bool:
        """SIGSTOP; whether it ran."""
        return name in self._processes and self._processes[name].send(signal.SIGSTOP)

    def resume(self, name: str) -> bool:
        """SIGCONT; whether it ran."""
        return name in self._processes and self._processes[name].send(signal.SIGCONT)

    async def stop(self, name: str) -> bool:
        """SIGTERM, SIGKILL where that takes too long; whether it ran."""
        if not self._runs(name):
            return False
        await self._processes[name].stop(STOP_S_MAX)
        return True

    async def down(self) -> list[str]:
        """End exactly the processes that were started for this cluster, in reverse order; those that still ran."""
        ended: list[str] = []
        for kind in reversed(KINDS):
            of_kind = self.of_kind(kind)
            ran = await _all(self.stop(name) for name in of_kind)
            ended += [name for name, did_run in zip(of_kind, ran, strict=True) if did_run]
        self._processes.clear()
        self._write_down()
        return ended

    async def status(self) -> list[PartStatus]:
        """Every part, in the order of their start."""
        return await _all(self._status(part) for part in self.parts.values())

    def remove_data(self) -> None:
        """All of it: only once nothing runs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _up_cassandra(self, missing: list[Part], on_ready: Callable[[Part], None]) -> None:
        if not self.shape.cassandra_nodes:
            return
        # Two nodes that join at once may take the same tokens; those that have joined before come back together.
        is_new = [part for part in missing if not (part.log.parent / "data").exists()]
        await _all(self.start(part.name, on_ready) for part in missing if part not in is_new)
        for part in is_new:
            await self.start(part.name, on_ready)
        if missing:
            await self._make_schema()

    async def _make_schema(self) -> None:
        log = self.folder / "migrate" / "words.log"
        settings = store_settings(self.shape, self.ports)
        command = [
            sys.executable, "-m", "folkmoot.cli", "migrate", *(word for one in settings for word in ("--set", one)),
        ]  # fmt: skip
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as words:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=words, stderr=words, env=_environment()
            )
        try:
            async with asyncio.timeout(SCHEMA_S_MAX):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            status = await process.wait()
        if status != 0:
            raise ProcessFailed(f"the schema could not be made: {Process(log, Identity(0, 0)).last_words()}")

    def _runs(self, name: str) -> bool:
        return name in self._processes and self._processes[name].is_running

    async def _is_ready(self, part: Part, said_before: int) -> bool:
        if part.kind == "cassandra":
            return await cassandra_node.answers(part.address, part.port)
        if part.kind == "nats":
            return await _greets(part)
        # It says so once it serves: another's answer on its port would not be its word.
        with part.log.open("rb") as words:
            words.seek(said_before)
            return b'{"ready":' in words.read()

    async def _status(self, part: Part) -> PartStatus:
        process = self._processes.get(part.name)
        state = "gone"
        if process is not None and process.is_running:
            # A stop may take effect only while it is asked whether it serves.
            serves = not process.is_paused and await _serves(part)
            state = "ready" if serves else "paused" if process.is_paused else "silent"
        return PartStatus(
            name=part.name,
            kind=part.kind,
            state=state,
            pid=process.identity.pid if process is not None and state != "gone" else None,
            url=part.url,
            log=str(part.log),
        )

    def _write_down(self) -> None:
        """Whole or as before, for whoever reads it meanwhile."""
        known = {name: process.identity for name, process in self._processes.items()}
        state = State(shape=self.shape, ports=self.ports, processes=known)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = self.folder / f"{STATE_FILE}.new"
        written.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        written.replace(self.folder / STATE_FILE)


def _read_state(folder: Path) -> State:
    try:
        return msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=State)
    except FileNotFoundError:
        raise ClusterUnknown(f"there is no cluster in {folder}: start one with `folkmoot cluster up`") from None
    except (OSError, msgspec.DecodeError) as error:
        raise ClusterUnknown(f"{folder / STATE_FILE} cannot be read: {error}") from error


def draw_ports(shape: Shape, first_port: int = 0) -> Ports:
    """Ports that are free now. Gateways from `first_port` on, where it is given."""
    drawn: set[int] = set()

    def draw() -> int:
        while (port := free_port()) in drawn:
            continue
        drawn.add(port)
        return port

    ours = {name: draw() for name, kind in names(shape).items() if kind not in ("cassandra", "nats")}
    if first_port:
        ours |= {f"gateway-{number}": first_port + number - 1 for number in range(1, shape.gateways + 1)}
    return Ports(
        cql=draw(),
        storage=draw(),
        nats=tuple(draw() for _ in range(shape.nats)),
        nats_routes=tuple(draw() for _ in range(shape.nats)),
        ours=ours,
    )


async def programs(shape: Shape) -> Programs:
    """Where they are on this machine. Raises CassandraMissing, and ProcessFailed where there is no `nats-server`."""
    from folkmoot.backends.nats.server import ServerFailed, program

    try:
        nats = await asyncio.to_thread(program)
    except ServerFailed as error:
        raise ProcessFailed(str(error)) from error
    if not shape.cassandra_nodes:
        return Programs(nats=nats)
    return Programs(nats=nats, java=await asyncio.to_thread(java), jars=jars())


async def _all(each: Iterable[Awaitable[T]]) -> list[T]:
    """Their results, once all are over. Raises the first failure, after the others have ended too."""
    results: list[T] = []
    for result in await asyncio.gather(*each, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results


async def _serves(part: Part) -> bool:
    if part.kind == "cassandra":
        return await cassandra_node.answers(part.address, part.port)
    if part.kind == "nats":
        return await _greets(part)
    answer = await _asked(part, f"GET /readyz HTTP/1.1\r\nhost: {LOOPBACK}\r\nconnection: close\r\n\r\n".encode())
    return b" 200 " in answer


async def _greets(part: Part) -> bool:
    """Whether it is that very server of NATS which listens there."""
    return f'"server_name":"{part.name}"'.encode() in await _asked(part, b"")


async def _asked(part: Part, request: bytes) -> bytes:
    """The first line of the answer, empty where there is none in time."""
    try:
        async with asyncio.timeout(ASK_S_MAX):
            reader, writer = await asyncio.open_connection(part.address, part.port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""


def _environment() -> dict[str, str]:
    """What is set for the one who types is not for the cluster's processes."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FOLKMOOT_")}
