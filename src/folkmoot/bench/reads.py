"""Pages of history at places drawn at random: over the socket's own event, or over HTTP."""

import random
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from folkmoot.bench.client import Client
from folkmoot.bench.jobs import Job, Tally
from folkmoot.bench.traffic import Traffic
from folkmoot.bench.wire import event_frame, number_of, stamp, stamp_of
from folkmoot.gateway.identity import mint
from folkmoot.protocol import events as ev

TOKEN_LIFETIME_S: Final = 86_400


class Reads(Traffic):
    """Over the socket: each asks in turn, and in a direction that is drawn."""

    at_once_max: int = 8
    """Of one socket: half of what a server takes."""

    def __init__(self, job: Job, clients: Sequence[Client], write: Callable[[Client, bytes], None]) -> None:
        super().__init__(job, clients, write)
        self._chance = random.Random(job.seed * 1_000 + job.worker)
        self._forwards = array("q")
        self._backwards = array("q")
        self._waiting: deque[int] = deque()

    @property
    def settled(self) -> bool:
        return not self._waiting and not any(client.reading for client in self.clients)

    def make(self, meant_ns: int, now_ns: int) -> None:
        self._late.append(now_ns - meant_ns)
        client = self._free()
        if client is None:
            self._waiting.append(meant_ns)
        else:
            self._ask(client, meant_ns)

    def _ask(self, client: Client, meant_ns: int) -> None:
        client.reading += 1
        self.tally.sent += 1
        place = self._chance.randint(0, max(0, self.job.log_entries - self.job.page_entries))
        # Drawn apart from the turn of the sockets, so that each asks in both directions.
        if self._chance.random() < 0.5:
            self.ask(client, "f", meant_ns, place)
        else:
            self.ask(client, "b", meant_ns, place + self.job.page_entries + 1)

    def ask(self, client: Client, letter: str, meant_ns: int, seq: int) -> None:
        """Ask for the page after `seq` (`f`), or before it (`b`)."""
        group, limit = self.job.groups[client.group], self.job.page_entries
        after, before = (seq, None) if letter == "f" else (None, seq)
        self.write(
            client,
            event_frame(ev.Read(ref=stamp(letter, meant_ns), group=group, after=after, before=before, limit=limit)),
        )

    def event(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> None:
        if data.startswith(b'{"t":"page"', start):
            letter, meant_ns = stamp_of(data, start, end, b'"ref":"')
            self.page(client, chr(letter), meant_ns, data, start, end, now_ns)
        elif data.startswith(b'{"t":"error"', start):
            self.answered(client)
            self.failed(str(msgspec.json.decode(data[start:end])["code"]))

    def page(self, client: Client, letter: str, meant_ns: int, data: bytes, start: int, end: int, now_ns: int) -> None:
        """A page has come."""
        self.answered(client)
        tally = self.tally
        tally.accepted += 1
        tally.entries_read += data.count(b'"sender":', start, end)
        tally.frame_bytes = end - start
        if self._window_ns <= now_ns < self.end_ns:
            tally.in_window += 1
        self._by_second(now_ns)
        if self._window_ns <= meant_ns < self.end_ns:
            (self._forwards if letter == "f" else self._backwards).append(now_ns - meant_ns)

    def answered(self, client: Client) -> None:
        """The socket may ask again: what could not be asked when it was meant goes first."""
        client.reading -= 1
        if self._waiting:
            self._ask(client, self._waiting.popleft())

    def done(self) -> Tally:
        if self._waiting:
            self.failed("unsent", len(self._waiting))
        unanswered = sum(client.reading for client in self.clients)
        if unanswered:
            self.failed("unanswered", unanswered)
        self.tally.forwards.add(self._forwards)
        self.tally.backwards.add(self._backwards)
        return super().done()

    def _free(self) -> Client | None:
        """The next socket in turn that may ask one more."""
        for step in range(len(self.clients)):
            client = self.clients[(self._made - 1 + step) % len(self.clients)]
            if client.reading < self.at_once_max:
                return client
        return None


class RestReads(Reads):
    """Over HTTP: connections that are kept, one call at a time on each."""

    at_once_max = 1

    def __init__(self, job: Job, clients: Sequence[Client], write: Callable[[Client, bytes], None]) -> None:
        super().__init__(job, clients, write)
        now_ms = time.time_ns() // 1_000_000
        self._heads = {client: self._head_of(client, now_ms) for client in clients}

    def ask(self, client: Client, letter: str, meant_ns: int, seq: int) -> None:
        client.asked = (letter, meant_ns)
        bound = "after" if letter == "f" else "before"
        path = f"/v1/groups/{self.job.groups[client.group]}/entries?{bound}={seq}&limit={self.job.page_entries}"
        self._get(client, path)

    def received(self, client: Client, data: bytes, now_ns: int) -> bytes:
        """Take what has come of an answer; what is to be kept until there is more of it."""
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0:
            return data
        head = data[:head_end].lower() + b"\r\n"
        end = head_end + 4 + max(0, number_of(head, 0, len(head), b"\r\ncontent-length: "))
        if len(data) < end:
            return data
        if head.startswith(b"http/1.1 200 "):
            letter, meant_ns = client.asked
            self.page(client, letter, meant_ns, data, head_end + 4, end, now_ns)
        else:
            self.answered(client)
            self.failed(f"HTTP {head[9:12].decode(errors='replace')}")
        return data[end:]

    def _get(self, client: Client, path: str) -> None:
        self.write(client, f"GET {path} HTTP/1.1\r\n{self._heads[client]}".encode())

    def _head_of(self, client: Client, now_ms: int) -> str:
        token = mint(self.job.secret.encode(), client.user, lifetime_s=TOKEN_LIFETIME_S, now_ms=now_ms)
        return f"Host: {self.job.host}:{self.job.port}\r\nAuthorization: Bearer {token}\r\n\r\n"


class RestLists(RestReads):
    """What an application asks for when it opens: the newest chats (`f`), or a page of all groups (`b`)."""

    def ask(self, client: Client, letter: str, meant_ns: int, seq: int) -> None:
        client.asked = (letter, meant_ns)
        self._get(client, "/v1/chats?limit=50" if letter == "f" else "/v1/groups?limit=100")
