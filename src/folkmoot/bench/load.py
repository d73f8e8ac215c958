"""One load process: thousands of sockets in one loop, driven by lines on its standard input.

`python -m folkmoot.bench.load`: a `Job` comes in, `Connected` goes out; a `Begin` comes in, a `Tally` goes out; it ends
with its input. Raw sockets and hand-made frames, since what the load costs must not be what is measured.
"""

import gc
import itertools
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from folkmoot.bench.client import Client
from folkmoot.bench.crowd import Joins, Storm
from folkmoot.bench.dialects import DIALECTS, Refused
from folkmoot.bench.groups import join_of
from folkmoot.bench.jobs import Begin, Broken, Connected, Job, Tally
from folkmoot.bench.last import SendsToLast
from folkmoot.bench.reads import Reads, RestLists, RestReads
from folkmoot.bench.traffic import NEVER_NS, Sends, Traffic
from folkmoot.bench.wire import CLOSE, PING, PONG, client_frame, next_frame
from folkmoot.gateway.listener import raise_open_files

OPENING_MAX: Final = 64
"""Sockets on their way at once: a crowd that comes all at once is another measure."""

CONNECT_S_MAX: Final = 30.0
"""Without any socket coming up: then the load gives up."""

GRACE_S: Final = 10.0
"""How long what was asked for may still come after the end."""

EVENTS_PER_TURN_MAX: Final = 128
"""So that what is due is made between them, and not late."""

READ_BYTES: Final = 65_536
NARROW_BYTES: Final = 4_096
"""What the system holds for a reader that will not read: else it takes megabytes before the server notices."""

IP_BIND_ADDRESS_NO_PORT: Final = 24


KINDS: Final[dict[str, type[Traffic]]] = {
    "none": Traffic,
    "sends": Sends,
    "sends_to_last": SendsToLast,
    "reads": Reads,
    "rest_reads": RestReads,
    "rest_lists": RestLists,
    "storm": Storm,
    "joins": Joins,
}


class LoadBroken(Exception):
    """The load cannot go on; the text says why."""


class Load:
    """The sockets of one job, and its traffic once it has begun."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._sources = itertools.cycle(job.sources)
        self._connecting: set[int] = set()
        self._clients: dict[int, Client] = {}
        self._live = 0
        self._traffic = Traffic(job, (), self._write)
        self._dialect = DIALECTS[job.dialect](job)
        self._now_ms = time.time_ns() // 1_000_000

    def connect(self) -> int:
        """Bring all sockets up and live in their groups; how many. Raises LoadBroken, OSError."""
        own = range(self._job.worker, len(self._job.groups), self._job.workers)
        members = self._job.members
        wanted = [(group, n) for group in own for n in range(members)]
        seen, seen_s = 0, time.monotonic()
        for group, n in wanted:
            self._open(group, n)
            while len(self._clients) - self._live >= OPENING_MAX:
                self.turn(1.0)
        while self._live < len(wanted):
            self.turn(1.0)
            if self._live != seen:
                seen, seen_s = self._live, time.monotonic()
            elif time.monotonic() - seen_s > CONNECT_S_MAX:
                raise LoadBroken(f"{self._live} of {len(wanted)} sockets came up")
        return self._live

    def run(self, begin: Begin) -> Tally:
        """All of the traffic, and what came of it."""
        clients = list(self._clients.values())
        self._mute(clients, begin.muted)
        traffic = self._traffic = KINDS[self._job.traffic](self._job, clients, self._write)
        traffic.begin(begin)
        while (now_ns := time.monotonic_ns()) < traffic.end_ns:
            due_ns = min(traffic.make_due(now_ns), traffic.end_ns)
            self._come_back(now_ns)
            self.turn((due_ns - time.monotonic_ns()) / 1e9)
        last_ns = time.monotonic_ns() + int(GRACE_S * 1e9)
        while not traffic.settled and (now_ns := time.monotonic_ns()) < last_ns:
            self._come_back(now_ns)
            self.turn(0.05)
        return traffic.done()

    def _come_back(self, now_ns: int) -> None:
        for client in self._traffic.come_back(now_ns):
            self._reopen(client)

    def turn(self, wait_s: float, also: int | None = None) -> bool:
        """Take what has come, waiting for the first of it; whether there is something at the descriptor `also`."""
        if self._job.nap_s > 0 and also is None:
            # Nobody waits at the sockets meanwhile, so that whoever writes to one need not wake this process.
            time.sleep(min(self._job.nap_s, max(0.0, wait_s)))
            wait_s = 0.0
        watched = [self._epoll.fileno()] if also is None else [self._epoll.fileno(), also]
        # epoll waits in whole milliseconds, which would make each request up to one too late; select does not.
        ready, _, _ = select.select(watched, (), (), max(0.0, wait_s))
        if self._epoll.fileno() in ready:
            for fd, _ in self._epoll.poll(0, EVENTS_PER_TURN_MAX):
                self._read(fd)
        return also in ready

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()
        self._epoll.close()

    def _mute(self, clients: Sequence[Client], count: int) -> None:
        """Read from all but the first `count` of each group."""
        seen: dict[int, int] = {}
        for client in clients:
            place = seen[client.group] = seen.get(client.group, 0) + 1
            muted = place <= count
            if muted != client.muted:
                client.muted = muted
                self._epoll.modify(client.fd, 0 if muted else select.EPOLLIN)

    def _open(self, group: int, n: int) -> None:
        one = self._socket(narrow=n < self._job.narrow)
        one.settimeout(CONNECT_S_MAX)
        one.connect((self._job.host, self._job.port))
        one.setblocking(False)
        client = Client(one.fileno(), group, f"user-{group * self._job.members + n + 1}", join_of(n))
        client.stranger = self._job.traffic == "joins" and n > 0
        self._clients[client.fd] = client
        self._epoll.register(one.fileno(), select.EPOLLIN)
        self._connected(client)

    def _reopen(self, client: Client) -> None:
        """Connect again, without waiting: a server with a full queue would keep all others waiting."""
        one = self._socket(narrow=False)
        one.setblocking(False)
        client.fd = one.fileno()
        client.live = client.shaken = False
        client.rest = b""
        self._clients[client.fd] = client
        self._connecting.add(client.fd)
        one.connect_ex((self._job.host, self._job.port))
        self._epoll.register(client.fd, select.EPOLLOUT)

    def _socket(self, *, narrow: bool) -> socket.socket:
        one = socket.socket()
        self._sockets[one.fileno()] = one
        # The port is chosen at connect: so each source address has all of them for this server.
        one.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if narrow:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
        one.bind((next(self._sources), 0))
        return one

    def _connected(self, client: Client) -> None:
        if issubclass(KINDS[self._job.traffic], RestReads):
            self._is_live(client)
            return
        client.shaken = not self._dialect.websocket
        self._write(client, self._dialect.first(client))

    def _write(self, client: Client, data: bytes) -> None:
        try:
            written = os.write(client.fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            return  # Its end is noticed where it is read from.
        if written != len(data):
            raise LoadBroken("the server does not read what it is sent: less load, please")

    def _read(self, fd: int) -> None:
        client = self._clients[fd]
        if fd in self._connecting and self._sockets[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            self._connecting.discard(fd)
            self._epoll.modify(fd, select.EPOLLIN)
            self._connected(client)
            return
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now_ns = time.monotonic_ns()
        if not data:
            self._lost(client, now_ns)
            return
        if client.rest:
            data = client.rest + data
            client.rest = b""
        if isinstance(self._traffic, RestReads):
            client.rest = self._traffic.received(client, data, now_ns)
            return
        at = 0 if client.shaken else self._shake(client, data)
        if client.live or at < len(data):
            self._frames(client, data, at, now_ns)

    def _frames(self, client: Client, data: bytes, at: int, now_ns: int) -> None:
        size, dialect = len(data), self._dialect
        while at < size:
            if not (client.live or dialect.websocket):
                at += 1  # The one byte that says it has joined.
                self._heard(client, b"")
                continue
            first, start, end = next_frame(data, at)
            if not end:
                client.rest = data[at:]
                return
            at = end
            if dialect.lines and data.find(b"\n", start, end) >= 0:
                self._lines(client, data, start, end, now_ns)
            elif data.startswith(dialect.entry, start):
                self._traffic.entry(client, data, start, end, now_ns)
            elif first == PING:
                self._write(client, client_frame(data[start:end], PONG))
            elif first == CLOSE:
                if not client.live:
                    raise LoadBroken(
                        f"the server ended a connection: {data[start + 2 : end][:200].decode(errors='replace')}"
                    )
            else:
                self._heard(client, data[start:end])
                self._traffic.event(client, data, start, end, now_ns)

    def _lines(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> None:
        for line in data[start:end].splitlines():
            if line.startswith(self._dialect.entry):
                self._traffic.entry(client, line, 0, len(line), now_ns)
            elif line:
                self._heard(client, line)

    def _heard(self, client: Client, payload: bytes) -> None:
        was_live = client.live
        try:
            answer = self._dialect.heard(client, payload)
        except Refused as refused:
            raise LoadBroken(f"the server ended a connection: {refused}") from refused
        if answer:
            self._write(client, answer)
        if client.live and not was_live:
            self._live += 1

    def _shake(self, client: Client, data: bytes) -> int:
        """Go on once the answer to the upgrade is whole; where in `data` it ends."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            client.rest = data
            return len(data)
        if not data.startswith(b"HTTP/1.1 101"):
            raise LoadBroken(f"the server refused a socket: {data[:200].decode('latin-1')}")
        client.shaken = True
        answer = self._dialect.shaken(client, self._now_ms)
        if answer:
            self._write(client, answer)
        return end + 4

    def _is_live(self, client: Client) -> None:
        client.live = True
        self._live += 1

    def _lost(self, client: Client, now_ns: int) -> None:
        fd = client.fd
        self._epoll.unregister(fd)
        self._connecting.discard(fd)
        if self._traffic.lost(client, now_ns):
            self._sockets.pop(fd).close()
            del self._clients[fd]
        elif not client.live:
            raise LoadBroken("the server closed a socket before it was up")
        # Writes to it go nowhere from now on; the descriptor stays taken, so that none is confused with it.


def main() -> int:
    """Do as the lines on standard input say, until they end."""
    raise_open_files()
    orders = sys.stdin.buffer
    load = Load(msgspec.json.decode(orders.readline(), type=Job))
    try:
        _say(Connected(load.connect()))
        gc.collect()
        gc.freeze()
        gc.disable()
        while True:
            while not load.turn(NEVER_NS / 1e18, orders.fileno()):
                pass
            line = orders.readline()
            if not line:
                return 0
            _say(load.run(msgspec.json.decode(line, type=Begin)))
    except (LoadBroken, OSError) as error:
        _say(Broken(str(error)))
        return 1
    finally:
        load.close()


def _say(what: Connected | Tally | Broken) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
