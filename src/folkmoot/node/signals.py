"""What a process does at a signal, for as long as it serves."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def on_signals(acts: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Within the block each signal does its act. Where signals cannot be had, as in another thread, nothing is done."""
    loop = asyncio.get_running_loop()
    taken = []
    for number, act in acts.items():
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, act)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
