"""The garbage collector, in a process whose objects are freed by their counts: it looks at what is new, once.

A full collection walks every connection: 120 ms with 13,000 of them, in which nothing is delivered. What outlives a
young collection here is a connection, a feed or a group's state. It lives for minutes or days, and is in no cycle once
it is let go of (`tests/gateway/test_freed.py`). So it is set aside, and all of it is walked once an hour, for what
nobody thought of.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from folkmoot.ports.clock import Clock

YOUNG_OBJECTS: Final = 10_000
"""More than were freed, before a young collection: some 2 ms. Sends and reads under way are thousands."""

ALL_INTERVAL_S: Final = 3_600.0


@contextmanager
def collecting_the_young() -> Iterator[None]:
    """From here on what survives a collection is not looked at again.

    After it what is new is looked at as before, and what was set aside stays so: the next to begin need not walk it.
    """
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


@asynccontextmanager
async def collecting(clock: Clock) -> AsyncIterator[None]:
    """The same while a process serves, and now and then everything is looked through."""

    async def for_ever() -> None:
        while True:
            await clock.sleep(ALL_INTERVAL_S)
            collect_all()

    with collecting_the_young():
        task = asyncio.create_task(for_ever())
        try:
            yield
        finally:
            task.cancel()


def collect_all() -> int:
    """Free the cycles among all objects: how many objects those were."""
    gc.unfreeze()
    return gc.collect()


def _set_aside(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop":
        gc.freeze()
