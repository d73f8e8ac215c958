"""What one load process asks for and when, whatever the answers; and the counts of what came back."""

import random
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from folkmoot.bench.client import Client
from folkmoot.bench.dialects import DIALECTS
from folkmoot.bench.jobs import Begin, Job, Tally
from folkmoot.bench.wire import event_frame, number_of, stamp, stamp_of
from folkmoot.protocol import events as ev

NEVER_NS: Final = 2**62


class Traffic:
    """No requests at all: the sockets are only kept. Others add what they ask for."""

    def __init__(self, job: Job, clients: Sequence[Client], write: Callable[[Client, bytes], None]) -> None:
        self.tally = Tally()
        self.job = job
        self.clients = list(clients)
        self.write = write
        self.dialect = DIALECTS[job.dialect](job)
        self.of_group: dict[int, list[Client]] = {}
        for client in clients:
            self.of_group.setdefault(client.group, []).append(client)
        self.groups = list(self.of_group)
        self.end_ns = NEVER_NS
        self.heard_by = job.members
        self._late = array("q")
        self._deliveries = array("q")
        self._answers = array("q")
        self._start_ns = self._window_ns = 0
        self._made = self._acked = 0
        self._interval_ns = self._ack_interval_ns = 0.0

    def begin(self, begin: Begin) -> None:
        """Traffic starts, at a time that is still to come."""
        self._start_ns = begin.start_ns
        self.heard_by = self.job.members - begin.muted
        self._window_ns = begin.start_ns + int(begin.warm_s * 1e9)
        self.end_ns = self._window_ns + int(begin.seconds * 1e9)
        self.tally.by_second = [0] * (int(begin.warm_s + begin.seconds) + 1)
        share = len(self.groups) / len(self.job.groups)
        if self.job.rate_per_s > 0 and share > 0:
            self._interval_ns = 1e9 / (self.job.rate_per_s * share)
        if self.job.acks_per_s > 0 and share > 0:
            self._ack_interval_ns = 1e9 / (self.job.acks_per_s * share)

    def make_due(self, now_ns: int) -> int:
        """Make what was meant for now or before; when the next is meant."""
        at = self._due_ns(self._made, self._interval_ns)
        while at <= now_ns:
            self._made += 1
            self.make(at, now_ns)
            at = self._due_ns(self._made, self._interval_ns)
        ack_at = self._due_ns(self._acked, self._ack_interval_ns)
        while ack_at <= now_ns:
            client = self.clients[self._acked % len(self.clients)]
            self._acked += 1
            self.write(client, event_frame(ev.Ack(groups={self.job.groups[client.group]: client.seq})))
            ack_at = self._due_ns(self._acked, self._ack_interval_ns)
        return min(at, ack_at)

    @property
    def settled(self) -> bool:
        """Whether everything that was asked for has come."""
        return True

    def make(self, meant_ns: int, now_ns: int) -> None:
        """Ask for one more."""

    def lost(self, client: Client, now_ns: int) -> bool:
        """A socket was lost: whether it comes back."""
        self.tally.lost += 1
        return False

    def come_back(self, now_ns: int) -> Iterable[Client]:
        """Those that connect again now."""
        return ()

    def entry(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> int:
        """A delivery has come: where they are numbered the next of its group on this socket, or something is wrong.

        When it was meant to be sent; -1 where it does not say, or does not count.
        """
        if self.dialect.numbered:
            seq = number_of(data, start, end, b'"seq":')
            if seq != client.seq + 1 and client.seq >= 0:
                self.tally.out_of_order += 1
            client.seq = seq
        _, meant_ns = stamp_of(data, start, end, self.dialect.before_stamp)
        if meant_ns < self._start_ns or client.muted:
            return -1
        tally = self.tally
        tally.delivered += 1
        tally.frame_bytes = end - start
        if self._window_ns <= now_ns < self.end_ns:
            tally.in_window += 1
        self._by_second(now_ns)
        if self._window_ns <= meant_ns < self.end_ns:
            self._deliveries.append(now_ns - meant_ns)
        return meant_ns

    def event(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> None:
        """Anything else has come."""

    def done(self) -> Tally:
        """The counts, once it is over."""
        self.tally.late.add(self._late)
        self.tally.deliveries.add(self._deliveries)
        self.tally.answers.add(self._answers)
        return self.tally

    def failed(self, code: str, count: int = 1) -> None:
        self.tally.failed[code] = self.tally.failed.get(code, 0) + count

    def _due_ns(self, number: int, interval_ns: float) -> int:
        if interval_ns <= 0:
            return NEVER_NS
        # Processes take turns: their requests are evenly spaced together, not only each by itself.
        at = self._start_ns + int((number + self.job.worker / self.job.workers) * interval_ns)
        return at if at < self.end_ns else NEVER_NS

    def _by_second(self, now_ns: int) -> None:
        second = (now_ns - self._start_ns) // 1_000_000_000
        if 0 <= second < len(self.tally.by_second):
            self.tally.by_second[second] += 1


class Sends(Traffic):
    """Messages: groups drawn at random or in turn, and in each its members in turn."""

    def __init__(self, job: Job, clients: Sequence[Client], write: Callable[[Client, bytes], None]) -> None:
        super().__init__(job, clients, write)
        self._turn = dict.fromkeys(self.of_group, 0)
        self._waiting: dict[int, deque[int]] = {group: deque() for group in self.of_group}
        self._in_flight = dict.fromkeys(self.of_group, 0)
        self._stamped_ns = dict.fromkeys(self.of_group, 0)
        self._closed_loop = job.unanswered_max > 0 and job.rate_per_s <= 0
        self._begun = False
        # The same draws for whoever is measured. Where a group waits for answers it has its turn.
        drawn = not job.in_turn and job.unanswered_max == 0
        self._drawn_by = random.Random(job.seed * 1_000 + job.worker) if drawn else None

    def make_due(self, now_ns: int) -> int:
        if self._closed_loop and not self._begun and now_ns >= self._start_ns > 0:
            self._begun = True
            for group in self.groups * self.job.unanswered_max:
                self.send(group, now_ns)
        return super().make_due(now_ns)

    def make(self, meant_ns: int, now_ns: int) -> None:
        turn = self._made - 1 if self._drawn_by is None else self._drawn_by.randrange(len(self.groups))
        group = self.groups[turn % len(self.groups)]
        self._late.append(now_ns - meant_ns)
        if 0 < self.job.unanswered_max <= self._in_flight[group]:
            self._waiting[group].append(meant_ns)
        else:
            self.send(group, meant_ns)

    @property
    def settled(self) -> bool:
        tally = self.tally
        return self._unanswered == 0 and tally.delivered >= tally.expected and not any(self._waiting.values())

    def event(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> None:
        if data.startswith(b'{"t":"accepted"', start):
            _, meant_ns = stamp_of(data, start, end)
            if meant_ns < self._start_ns:
                return
            self.tally.accepted += 1
            self.tally.expected += self.heard_by
            if self._window_ns <= now_ns < self.end_ns:
                self.tally.accepted_in_window += 1
            if self._window_ns <= meant_ns < self.end_ns:
                self._answers.append(now_ns - meant_ns)
        elif data.startswith((b'{"t":"undecided"', b'{"t":"refused"', b'{"t":"error"'), start):
            self.failed(str(msgspec.json.decode(data[start:end])["code"]))
        else:
            return
        self._next(client.group, now_ns)

    def done(self) -> Tally:
        unanswered = self._unanswered
        unsent = sum(len(waiting) for waiting in self._waiting.values())
        if unsent:
            self.failed("unsent", unsent)
        if unanswered:
            self.failed("unanswered", unanswered)
        return super().done()

    @property
    def _unanswered(self) -> int:
        if not self.dialect.answers:
            return 0
        return self.tally.sent - self.tally.accepted - sum(self.tally.failed.values())

    def _next(self, group: int, now_ns: int) -> None:
        """A send of the group has been answered: its next one, if one is due."""
        self._in_flight[group] -= 1
        waiting = self._waiting[group]
        if waiting:
            self.send(group, waiting.popleft())
        elif self._closed_loop and now_ns < self.end_ns:
            self.send(group, now_ns)

    def send(self, group: int, meant_ns: int) -> None:
        """Ask for one more in the group."""
        clients = self.of_group[group]
        # The first are those that may be muted: who does not hear an answer does not send.
        client = clients[self.job.members - self.heard_by + self._turn[group] % self.heard_by]
        self._turn[group] += 1
        self._in_flight[group] += 1
        # The time is the send's id: two of one instant would be one message.
        meant_ns = self._stamped_ns[group] = max(meant_ns, self._stamped_ns[group] + 1)
        self.tally.sent += 1
        if not self.dialect.answers:
            self.tally.expected += self.heard_by
        self.write(client, self.dialect.sent(client, stamp("t", meant_ns).encode()))
