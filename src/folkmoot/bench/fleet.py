"""All load processes as one: started on cores of their own, brought up, told when to begin, and added up."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from folkmoot.bench.jobs import Begin, Broken, Connected, Job, Tally, merged
from folkmoot.bench.load import GRACE_S
from folkmoot.bench.process import Child, ChildFailed, python
from folkmoot.bench.usage import Usage

UP_S_MAX: Final = 300.0
SOON_S: Final = 0.2
"""From the word to the beginning, so that all processes have it by then."""

T = TypeVar("T")

_SAID: Final = msgspec.json.Decoder(Connected | Tally | Broken)


class LoadFailed(Exception):
    """The load could not be brought up, or could not go on; the text says why."""


class Fleet:
    """One process a core in `cores`, each with its share of the groups of `job`. Use as a context manager."""

    def __init__(self, job: Job, cores: Sequence[int], folder: Path) -> None:
        self._children: list[Child] = []
        # A process without a group would have nothing to do.
        used = list(cores)[: max(1, len(job.groups))]
        try:
            for worker, core in enumerate(used):
                log = folder / f"load-{worker}.log"
                child = Child(python("folkmoot.bench.load"), cores=[core], log=log)
                self._children.append(child)
                own = msgspec.structs.replace(job, worker=worker, workers=len(used))
                child.tell(msgspec.json.encode(own))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_connected(self) -> int:
        """Return once all sockets are live: how many. Raises LoadFailed."""
        return sum(self._heard(child, Connected, UP_S_MAX).sockets for child in self._children)

    def measure(
        self,
        *,
        warm_s: float,
        seconds: float,
        on_open: Callable[[], None],
        on_close: Callable[[], None],
        muted: int = 0,
    ) -> Tally:
        """Traffic, with a call as its window opens and one as it closes. Raises LoadFailed."""
        start_ns = time.monotonic_ns() + int(SOON_S * 1e9)
        for child in self._children:
            child.tell(msgspec.json.encode(Begin(start_ns, warm_s, seconds, muted)))
        open_ns = start_ns + int(warm_s * 1e9)
        _sleep_until(open_ns)
        on_open()
        _sleep_until(open_ns + int(seconds * 1e9))
        on_close()
        return merged([self._heard(child, Tally, GRACE_S + UP_S_MAX) for child in self._children])

    def usages(self) -> list[Usage]:
        """What each has used so far."""
        return [child.usage() for child in self._children]

    def close(self) -> None:
        for child in self._children:
            child.stop()

    def _heard(self, child: Child, wanted: type[T], timeout_s: float) -> T:
        try:
            said = _SAID.decode(child.hear(timeout_s))
        except (ChildFailed, msgspec.DecodeError) as error:
            raise LoadFailed(str(error)) from error
        if isinstance(said, Broken):
            raise LoadFailed(said.why)
        if not isinstance(said, wanted):
            raise LoadFailed(f"a load process said {type(said).__name__} where {wanted.__name__} was wanted")
        return said


def _sleep_until(at_ns: int) -> None:
    while (left_ns := at_ns - time.monotonic_ns()) > 0:
        time.sleep(left_ns / 1e9)
