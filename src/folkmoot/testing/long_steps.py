"""Finds the steps of an event loop that work for too long: while one does, every socket of the process waits."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def long_steps(seconds_max: float) -> Iterator[list[str]]:
    """A list of the steps over `seconds_max` of every asyncio loop in this process, filled while the context lasts.

    Measured is the processor time of the thread itself, so that waiting for a busy core is nobody's guilt; a core that
    others slow down still makes it longer. A step that sleeps or waits for a disk is not found, and loops that are not
    asyncio's own (uvloop) are not looked at.
    """
    found: list[str] = []
    handles: Any = asyncio.Handle
    run = handles._run

    def timed(handle: Any) -> None:
        began_s = time.thread_time()
        run(handle)
        taken_s = time.thread_time() - began_s
        if taken_s > seconds_max:
            task = getattr(handle._callback, "__self__", None)
            found.append(f"{taken_s:.2f} s: {task if isinstance(task, asyncio.Task) else handle!r}")

    handles._run = timed
    try:
        yield found
    finally:
        handles._run = run
