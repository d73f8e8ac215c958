"""Messages of which it is told when the last member of the group has each; the next may wait for that."""

from array import array
from collections.abc import Callable, Sequence

from folkmoot.bench.client import Client
from folkmoot.bench.jobs import Job, Tally
from folkmoot.bench.traffic import Sends


class SendsToLast(Sends):
    """At a rate; at a rate of 0 in each group the next once everyone has one that was, which any server allows."""

    def __init__(self, job: Job, clients: Sequence[Client], write: Callable[[Client, bytes], None]) -> None:
        super().__init__(job, clients, write)
        self._last = array("q")
        self._missing: dict[tuple[int, int], int] = {}
        self._paced = job.rate_per_s <= 0

    def make_due(self, now_ns: int) -> int:
        if self._paced and not self._begun and now_ns >= self._start_ns > 0:
            self._begun = True
            for group in self.groups * self.job.under_way:
                self.send(group, now_ns)
        return super().make_due(now_ns)

    def entry(self, client: Client, data: bytes, start: int, end: int, now_ns: int) -> int:
        meant_ns = super().entry(client, data, start, end, now_ns)
        if meant_ns >= 0:
            key = (client.group, meant_ns)
            left = self._missing.get(key, self.heard_by) - 1
            if left > 0:
                self._missing[key] = left
            else:
                self._missing.pop(key, None)
                self._everyone_has(client.group, meant_ns, now_ns)
        return meant_ns

    def done(self) -> Tally:
        self.tally.last.add(self._last)
        return super().done()

    def _everyone_has(self, group: int, meant_ns: int, now_ns: int) -> None:
        if self._window_ns <= meant_ns < self.end_ns:
            self._last.append(now_ns - meant_ns)
        if self._paced and self.tally.sent >= self.job.sends_max > 0:
            self.end_ns = now_ns
        elif self._paced and now_ns < self.end_ns:
            self.send(group, now_ns)
