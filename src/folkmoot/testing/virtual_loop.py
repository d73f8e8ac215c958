"""An event loop without a machine under it: virtual time, processes that can be killed and paused, a seeded order."""

import asyncio
import contextlib
import heapq
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)

STEPS_MAX: Final = 1_000_000
"""Of one loop. A run that takes more goes round in circles, however little time passes in it."""


class Deadlock(Exception):
    """Nothing is ready, no timer is set, and what was to be run to its end is not at it."""


class Livelock(Exception):
    """Steps are taken and taken, and no end is in sight."""


class Process:
    """Whose a callback is. Tasks, timers and callbacks belong to the process in whose context they were made.

    What belongs to a killed process never runs again, be it in the middle of whatever; what belongs to a paused one is
    held, due timers too, until it is resumed.
    """

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.name = name
        self.killed = False
        self.paused = False
        self.ready: deque[asyncio.Handle] = deque()
        self.runnable = False
        self.steps_left = 0
        self._at_last: Callable[[], None] | None = None
        self._loop = loop
        self.context = copy_context()
        self.context.run(_process.set, self)

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task of this process."""
        return self._loop.create_task(work, context=self.context.copy())

    def after_steps(self, steps: int, do: Callable[[], None]) -> None:
        """Call `do` once the process has taken so many steps more: in the middle of whatever it is at then."""
        self.steps_left, self._at_last = max(1, steps), do

    def spare(self) -> None:
        """What was to be done after some steps is not done."""
        self.steps_left, self._at_last = 0, None

    def stepped(self) -> None:
        self.steps_left -= 1
        if self.steps_left == 0 and self._at_last is not None:
            do, self._at_last = self._at_last, None
            do()

    def kill(self) -> None:
        self.killed = True
        self.ready.clear()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._loop.wake(self)


_process: ContextVar[Process] = ContextVar("folkmoot_process")


class VirtualLoop(asyncio.BaseEventLoop):
    """Time stands still while anything is ready, and jumps to the next timer when nothing is.

    Which process goes next is drawn from the seed; within one process callbacks run in the order in which they were
    made, as asyncio promises. The same seed gives the same run: nothing here looks at a clock, a hash or an address.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.steps = 0
        self.unhandled: list[str] = []
        self.is_over = False
        self._now_s = 0.0
        self._random = random.Random(seed)
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_number = 0
        self._runnable: list[Process] = []
        self._every_task: list[tuple[Process, asyncio.Task[Any]]] = []
        self.main = Process(self, "world")

    def time(self) -> float:
        return self._now_s

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end of `work`, then let go of all that is left. Raises Deadlock, Livelock, what `work` raises."""
        try:
            result = self.run_until_complete(self.main.spawn(work))
            self._tell_of_the_dead()
            return result
        finally:
            self._finish()

    def process(self, name: str) -> Process:
        return Process(self, name)

    def wake(self, process: Process) -> None:
        """Have the process in the draw, if it has something to do."""
        if process.ready and not process.runnable and not process.paused and not process.killed:
            process.runnable = True
            self._runnable.append(process)

    # What asyncio calls.

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, copy_context() if context is None else context)
        if not self.is_over:
            self._offer(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, copy_context() if context is None else context)
        if not self.is_over:
            self._timer_number += 1
            heapq.heappush(self._timers, (when, self._timer_number, handle))
        return handle

    def create_task(  # type: ignore[override]
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        # A name of its own: asyncio counts names through the life of the interpreter.
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        # Held until the end: what is collected earlier would run its `finally` in another process's step.
        process = _process.get(self.main) if context is None else context.get(_process, self.main)
        self._every_task.append((process, task))
        if len(self._every_task) > 4_096:
            self._every_task = [(owner, task) for owner, task in self._every_task if not task.done()]
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_over:
            error = context.get("exception")
            self.unhandled.append(f"{context.get('message')}: {error!r}")
            _log.error("unhandled in the loop: %s", context.get("message"), exc_info=error)

    def get_debug(self) -> bool:
        return False

    def __del__(self) -> None:
        """There is nothing under it that would have to be closed."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _run_once(self) -> None:
        runnable = self._runnable
        while not runnable:
            self._advance()
        at = int(self._random.random() * len(runnable))
        process = runnable[at]
        ready = process.ready
        if not ready or process.paused or process.killed:
            self._retire(at)
            return
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Livelock(f"{self.steps} steps in {self._now_s:.1f} s")
        handle = ready.popleft()
        if not ready:
            self._retire(at)
        if not handle.cancelled():
            handle._run()
        if process.steps_left:
            process.stepped()

    # Inside.

    def _offer(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(_process, self.main)  # type: ignore[attr-defined]
        if not process.killed:
            process.ready.append(handle)
            if not process.runnable and not process.paused:
                process.runnable = True
                self._runnable.append(process)

    def _retire(self, at: int) -> None:
        runnable = self._runnable
        runnable[at].runnable = False
        last = runnable.pop()
        if at < len(runnable):
            runnable[at] = last

    def _advance(self) -> None:
        """Let time pass up to the next timer, and offer all that are due then."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(f"nothing is ready and no timer is set, at {self._now_s:.3f} s")
        self._now_s = max(self._now_s, timers[0][0])
        while timers and timers[0][0] <= self._now_s:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                self._offer(handle)

    def _tell_of_the_dead(self) -> None:
        """Tasks that died of something that nobody has read: what they were to do is done by nobody since.

        Not those of a process that was killed: whoever was to read it is gone.
        """
        for process, task in self._every_task:
            if task._log_traceback and not process.killed:
                error, name = task.exception(), getattr(task.get_coro(), "__qualname__", "?")
                self.unhandled.append(f"{process.name}: {name} died, and nobody knows of it: {error!r}")

    def _finish(self) -> None:
        """Close what is still in the middle of something: it belongs to nobody any more."""
        self.is_over = True
        for _, task in self._every_task:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine: Any = task.get_coro()
                with contextlib.suppress(BaseException):
                    coroutine.close()
        self._every_task.clear()
        self._timers.clear()
        self._runnable.clear()
        self.close()


def settle(answer: asyncio.Future[T], result: T | None, error: Exception | None) -> None:
    """Give an answer that was on its way, unless nobody waits for it any more."""
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)  # type: ignore[arg-type]
