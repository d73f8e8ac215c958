"""The garbage collector, in a process whose objects are freed by their counts: it looks at what is new, once.

A full collection walks every connection: 120 ms with 13,000 of them, in which nothing is delivered. What outlives a
young collection here is a connection, a feed or a group's state. It lives for minutes or days, and is in no cycle once
it is let go of (`tests/gateway/test_freed.py`). So it is set aside, and all of it is walked once an hour, for what
nobody thought of.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from folkmoot.ports.clock import Clock

YOUNG_OBJECTS: Final = 10_000
"""More than were freed, before a young collection: some 2 ms. Sends and reads under way are thousands."""

ALL_INTERVAL_S: Final = 3_600.0


@contextmanager
def collecting_the_young() -> Iterator[None]:
    """From here on what survives a collection is not looked at again; after it, as it was before."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *thresholds[1:])
    gc.callbacks.append(_set_aside)
    try:
        yield
    finally:
        gc.callbacks.remove(_set_aside)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def collect_all_for_ever(clock: Clock) -> None:
    """Now and then look through everything."""
    while True:
        await clock.sleep(ALL_INTERVAL_S)
        collect_all()


def collect_all() -> int:
    """Free the cycles among all objects: how many objects those were."""
    gc.unfreeze()
    return gc.collect()


def _set_aside(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop":
        gc.freeze()
