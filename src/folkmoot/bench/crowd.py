"""Everyone at once: members who come back to a server that was gone, and strangers who join; until all are there."""

import heapq
import random
import time
from array import array
from collections.abc import Callable, Iterable, Sequence

from folkmoot.bench.client import Client
from folkmoot.bench.jobs import Begin, Job, Tally
from folkmoot.bench.traffic import NEVER_NS, Sends
from folkmoot.bench.wire import client_frame, event_frame, number_of, stamp
from folkmoot.client.reconnect import reconnect_delay_s
from folkmoot.protocol import events as ev


class Crowd(Sends):
    """What both have: who is there, and once all are, one message in each group, which everyone has to get."""

    def __init__(self, job: Job, clients: Sequence[Client], write: Callable[[Client, bytes], None]) -> None:
        super().__init__(job, clients, write)
        self.wanted = len(self.clients)
        self._there = array("q")
        self._zero_ns = self._cpu_ns = 0
        self._whole = False

    def event(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> None:
        if self._zero_ns and data.startswith(b'{"t":"recovered"', start):
            self._there.append(now_ns - self._zero_ns)
            if len(self._there) == self.wanted:
                self._all_there(now_ns)
        else:
            super().event(client, data, start, end, now_ns)

    @property
    def settled(self) -> bool:
        return self._whole and super().settled

    def done(self) -> Tally:
        self.tally.there.add(self._there)
        self.tally.by_second = [0] * (1 + max(self._there, default=0) // 1_000_000_000)
        for time_ns in self._there:
            self.tally.by_second[time_ns // 1_000_000_000] += 1
        if not self._whole:
            self.counts_from(self._start_ns)
        tally = super().done()
        if not self._whole:
            self.failed("not there", self.wanted - len(self._there))
        return tally

    def starts(self, now_ns: int) -> None:
        """The rush begins: times count from here."""
        self._zero_ns, self._cpu_ns = now_ns, time.process_time_ns()

    def counts_from(self, now_ns: int) -> None:
        """Whatever was meant before counts no longer: answers to it may have been lost for good."""
        self._start_ns = now_ns
        tally = self.tally
        tally.sent = tally.accepted = tally.expected = tally.delivered = 0

    def _all_there(self, now_ns: int) -> None:
        self._whole = True
        self.tally.busy_share = (time.process_time_ns() - self._cpu_ns) / (now_ns - self._zero_ns)
        self.counts_from(now_ns)
        for group in self.groups:
            self.send(group, now_ns)


class Storm(Crowd):
    """Messages until the sockets are lost; then each connects again by itself, with its position, as an SDK does."""

    def __init__(self, job: Job, clients: Sequence[Client], write: Callable[[Client, bytes], None]) -> None:
        super().__init__(job, clients, write)
        self._chance = random.Random(job.seed * 1_000 + job.worker)
        self._due: list[tuple[int, int, Client]] = []
        self._attempts: dict[Client, int] = {}

    def entry(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> int:
        at = data.index(b'"position":"', start, end) + 12
        client.position = data[at : data.index(b'"', at, end)].decode()
        return super().entry(client, data, start, end, now_ns)

    def lost(self, client: Client, now_ns: int) -> bool:
        if not self._zero_ns:
            self.starts(now_ns)
            self.counts_from(now_ns)
            self._interval_ns = 0.0
        attempt = self._attempts[client] = self._attempts.get(client, -1) + 1
        delay_s = reconnect_delay_s(attempt, self._chance.random(), self.job.back_s_max)
        heapq.heappush(self._due, (now_ns + int(delay_s * 1e9), client.fd, client))
        return True

    def come_back(self, now_ns: int) -> Iterable[Client]:
        while self._due and self._due[0][0] <= now_ns:
            yield heapq.heappop(self._due)[2]

    def make_due(self, now_ns: int) -> int:
        return min(super().make_due(now_ns), self._due[0][0] if self._due else NEVER_NS)


class Joins(Crowd):
    """Strangers, all but the first socket of each group: all ask to join at once, and follow the group then."""

    def begin(self, begin: Begin) -> None:
        super().begin(begin)
        self._interval_ns = 0.0
        self.wanted = sum(client.stranger for client in self.clients)

    def make_due(self, now_ns: int) -> int:
        if not self._zero_ns and now_ns >= self._window_ns:
            self.starts(now_ns)
            send_id = stamp("j", now_ns).encode()
            ask = b'{"t":"send","id":"%b","kind":"member.joined","group":"%b","join":0,"body":{}}'
            for client in self.clients:
                if client.stranger:
                    self.write(client, client_frame(ask % (send_id, self.job.groups[client.group].encode())))
        return min(super().make_due(now_ns), NEVER_NS if self._zero_ns else self._window_ns)

    def event(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> None:
        if client.stranger and data.startswith(b'{"t":"accepted"', start):
            client.stranger = False
            client.join = number_of(data, start, end, b'"seq":')
            self.write(client, event_frame(ev.Resume(groups={self.job.groups[client.group]: ""})))
        else:
            super().event(client, data, start, end, now_ns)
