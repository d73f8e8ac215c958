"""The parts of a simulated cluster: a calendar of what happens when, a core with its queue, a group commit.

Plain: a heap and two first-come queues, times in seconds. Everything happens in the order of its time, and at the same
time in the order in which it was asked for, so that a run is the same again.
"""

import heapq
from collections.abc import Callable
from typing import TypeAlias

Act: TypeAlias = Callable[[float], None]
"""What happens, told when it is."""


class Calendar:
    """What is to happen, and when."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Act]] = []
        self._asked = 0

    def at(self, time_s: float, act: Act) -> None:
        """Have `act` happen at `time_s`."""
        self._asked += 1
        heapq.heappush(self._due, (time_s, self._asked, act))

    def run(self) -> None:
        """Until nothing is left."""
        while self._due:
            time_s, _, act = heapq.heappop(self._due)
            act(time_s)


class Core:
    """One core with work in the order in which it comes."""

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.free_s = 0.0
        """When it has done all that it was given."""

    def work(self, now_s: float, takes_s: float) -> float:
        """Give it work at `now_s`, not before the work it was given last: when it begins with it."""
        begins_s = max(now_s, self.free_s)
        self.free_s = begins_s + takes_s
        self.busy_s += takes_s
        return begins_s


class GroupCommit:
    """A writer that takes all that waits into one commit; what comes meanwhile waits for the next."""

    def __init__(self, calendar: Calendar, takes_s: Callable[[], float]) -> None:
        """`takes_s` draws how long a commit takes."""
        self._calendar = calendar
        self._takes_s = takes_s
        self._waiting: list[Act] = []
        self._committing = False
        self.commits = 0

    def append(self, now_s: float, then: Act) -> None:
        """Have `then` happen when what is appended now is durable."""
        self._waiting.append(then)
        if not self._committing:
            self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        batch, self._waiting = self._waiting, []
        self._committing = True
        self.commits += 1

        def done(at_s: float) -> None:
            self._committing = False
            for then in batch:
                then(at_s)
            if self._waiting and not self._committing:
                self._begin(at_s)

        self._calendar.at(now_s + self._takes_s(), done)
