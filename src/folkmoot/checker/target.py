"""What `check live` strikes: a server of its own, or one that runs already; which faults each can suffer, and how."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlsplit

from folkmoot.checker.child import ChildServer
from folkmoot.checker.proxy import FAIR, Proxy, Weather

KINDS: Final[dict[str, str]] = {
    "kill": "SIGKILL, then a new process on the same data",
    "pause": "SIGSTOP for seconds, then SIGCONT",
    "restart": "SIGTERM, then a new process on the same data",
    "full_disk": "no byte left on the store's disk, for seconds",
    "cut": "every connection reset at once",
    "slow": "every byte late, both ways",
    "held_up": "nothing gets through to the server",
    "held_down": "nothing gets through to the clients",
    "held": "nothing gets through either way, then every connection reset",
    "refused": "every connection reset, and none accepted for a while",
    "kill_gateway": "of a cluster: SIGKILL of a gateway, and a new one after a while",
    "kill_router": "of a cluster: the same of a router",
    "kill_delivery": "of a cluster: the same of a delivery",
    "kill_nats": "of a cluster: the same of a NATS server",
    "kill_cassandra": "of a cluster: the same of one Cassandra node of three",
    "pause_gateway": "of a cluster: SIGSTOP of a gateway for seconds, then SIGCONT",
    "pause_router": "of a cluster: the same of a router",
    "pause_delivery": "of a cluster: the same of a delivery",
    "pause_nats": "of a cluster: the same of a NATS server",
    "pause_cassandra": "of a cluster: the same of one Cassandra node of three",
    "drain": "of a cluster: SIGTERM of a gateway, router or delivery, and a new one after a while",
    "bus_cut": "of a cluster: every connection to NATS reset at once",
    "bus_held": "of a cluster: nothing gets through to NATS or from it, then every connection reset",
    "bus_away": "of a cluster: SIGKILL of all NATS servers, and new ones after a while",
}
"""The faults, and what each does."""

NETWORK: Final = ("cut", "slow", "held_up", "held_down", "held", "refused")
DISK_BYTES: Final = 256 * 1_048_576
OPTIONS: Final = ("--set", "drain_spread_s=0")
"""A server that is stopped need not spread out the clients of one machine."""

DELAY_S: Final = 0.15
BALLAST_CHUNK_BYTES: Final = 1_048_576

Strike: TypeAlias = Callable[[float], Coroutine[Any, Any, None]]
Faults: TypeAlias = Mapping[str, Strike]


class Target(Protocol):
    """What is checked. Clients always go through a proxy."""

    def url_of(self, user: str) -> str:
        """Where this user's client connects."""

    @property
    def faults(self) -> Faults:
        """By kind: strike, last for so many seconds, heal. What the target cannot suffer is not among them."""


class Network:
    """The faults of a network, by the proxies in front of any servers: all at once have them."""

    def __init__(self, *proxies: Proxy) -> None:
        self._proxies = proxies

    @property
    def faults(self) -> dict[str, Strike]:
        return {
            "cut": self._cut,
            "slow": lambda seconds: self._weather(Weather(delay_s=DELAY_S), seconds),
            "held_up": lambda seconds: self._weather(Weather(held_up=True), seconds),
            "held_down": lambda seconds: self._weather(Weather(held_down=True), seconds),
            "held": self._held,
            "refused": self._refused,
        }

    async def _cut(self, _: float) -> None:
        for proxy in self._proxies:
            proxy.cut()

    async def _weather(self, weather: Weather, seconds: float) -> None:
        self._set(weather)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._set(FAIR)

    async def _held(self, seconds: float) -> None:
        await self._weather(Weather(held_up=True, held_down=True), seconds)
        await self._cut(0)

    async def _refused(self, seconds: float) -> None:
        self._set(Weather(refusing=True))
        await self._cut(0)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._set(FAIR)

    def _set(self, weather: Weather) -> None:
        for proxy in self._proxies:
            proxy.set(weather)


class RunningServer:
    """A server that somebody else runs: it can suffer a bad network, and nothing else."""

    def __init__(self, url: str) -> None:
        self.url = ""
        self._server_url = url
        self._proxy = Proxy()

    async def open(self) -> None:
        parts = urlsplit(self._server_url)
        await self._proxy.open(parts.hostname or "127.0.0.1", parts.port or 80)
        self.url = self._proxy.url

    def url_of(self, user: str) -> str:
        return self.url

    @property
    def faults(self) -> Faults:
        return Network(self._proxy).faults

    async def close(self) -> None:
        await self._proxy.close()


class OwnServer:
    """A child server behind the proxy, on data that is thrown away; on a small disk of its own where one can be had."""

    def __init__(self, *, command: tuple[str, ...] = ()) -> None:
        self.url = ""
        self.notes: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="folkmoot-check-"))
        self._proxy = Proxy()
        self._mounted = False
        self.child = ChildServer(self.folder / "data", command=command, options=OPTIONS)

    async def open(self) -> None:
        """Start it. Raises ChildFailed."""
        self._mounted = self._mount()
        await self.child.start()
        parts = urlsplit(self.child.url)
        await self._proxy.open(parts.hostname or "127.0.0.1", parts.port or 80)
        self.url = self._proxy.url

    def url_of(self, user: str) -> str:
        return self.url

    @property
    def secret_folder(self) -> Path:
        return self.child.data_dir

    @property
    def faults(self) -> Faults:
        process = {"kill": self._kill, "pause": self._pause, "restart": self._restart}
        disk = {"full_disk": self._fill} if self._mounted else {}
        return process | disk | Network(self._proxy).faults

    async def close(self) -> None:
        """Stop it and throw its data away, whatever state it is in."""
        self.child.resume()
        await self._proxy.close()
        await self.child.stop()
        if self._mounted:
            await asyncio.to_thread(
                subprocess.run, ["umount", "-l", str(self.folder / "data")], check=False, capture_output=True
            )
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _kill(self, _: float) -> None:
        await self.child.kill()
        await self.child.start()

    async def _pause(self, seconds: float) -> None:
        self.child.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.child.resume()

    async def _restart(self, _: float) -> None:
        await self.child.stop()
        await self.child.start()

    async def _fill(self, seconds: float) -> None:
        ballast = self.folder / "data" / "ballast"
        try:
            await asyncio.to_thread(_fill_up, ballast)
            await asyncio.sleep(seconds)
        finally:
            ballast.unlink(missing_ok=True)

    def _mount(self) -> bool:
        """A small disk under the data. Needs root: without it there is no full disk among the faults."""
        data = self.folder / "data"
        data.mkdir()
        if os.geteuid() != 0:
            self.notes.append("no full disk among the faults: mounting a small one needs root")
            return False
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(data)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            self.notes.append(f"no full disk among the faults: none can be mounted here ({done.stderr.strip()})")
        return done.returncode == 0


def _fill_up(path: Path) -> None:
    """Write to `path` until there is no room."""
    chunk = bytes(BALLAST_CHUNK_BYTES)
    with path.open("wb", buffering=0) as file:
        for size in (BALLAST_CHUNK_BYTES, 4_096, 1):
            while True:
                try:
                    if file.write(chunk[:size]) < size:
                        break
                except OSError:
                    break
