"""Step 1 of a message's way: a gateway asks whoever routes the group, and asks again until there is an answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from folkmoot.model.histogram import SECONDS, Histogram
from folkmoot.model.send import Send
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus, BusClosed, NoAnswer
from folkmoot.ports.clock import Clock
from folkmoot.ports.subjects import Answer, Submit
from folkmoot.ports.traces import Span, Tracer

_ENCODER = msgspec.msgpack.Encoder()
_ANSWER = msgspec.msgpack.Decoder(Answer)


class _Asked(msgspec.Struct, frozen=True):
    """A send under way: since when, and its trace's first span where it has one."""

    submit: Submit
    begun_s: float
    span: Span | None


class Submitter:
    """Requests on the bus, bounded a connection by its window of unanswered sends."""

    def __init__(
        self, bus: Bus, clock: Clock, *, ask_again_s: float, asks_max: int, tracer: Tracer | None = None
    ) -> None:
        self.ask_again_s = ask_again_s
        self.asks_max = asks_max
        self._bus = bus
        self._clock = clock
        self._tracer = tracer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.sends = 0
        self.no_answer = 0
        self.outcomes = {"accepted": 0, "refused": 0, "undecided": 0}
        self.accepted_s = Histogram(SECONDS)

    def submit(self, send: Send, on_answer: Callable[[Answer], None]) -> None:
        """Ask; `on_answer` is called once, with the router's answer or `no_answer`."""
        if self._loop is None:
            # Kept: to ask for the running one is a system call in Python 3.11, for each send.
            self._loop = asyncio.get_running_loop()
        task = self._loop.create_task(self._tell(self._begin(send), on_answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, send: Send) -> Answer:
        """The router's answer, or `no_answer`. How many ask at once is the caller's to bound."""
        # A task like the others, so that a drain waits for it.
        task = asyncio.create_task(self._finish(self._begin(send)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await task

    async def finish(self, *, timeout_s: float) -> None:
        """Wait for the answers to what was asked."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, send: Send) -> "_Asked":
        # In the step in which the frame was read: waiting for a turn of the loop is part of what is measured.
        self.sends += 1
        span = None if self._tracer is None else self._tracer.root("submit", group=send.group, kind=send.kind)
        submit = Submit(send, self._clock.wall_ms(), "" if span is None else span.context)
        return _Asked(submit, self._clock.monotonic_s(), span)

    async def _tell(self, asked: "_Asked", on_answer: Callable[[Answer], None]) -> None:
        on_answer(await self._finish(asked))

    async def _finish(self, asked: "_Asked") -> Answer:
        answer = await self._answer(asked.submit)
        outcome = "accepted" if answer.seq is not None else "refused" if answer.definite else "undecided"
        self.outcomes[outcome] += 1
        if answer.seq is not None:
            self.accepted_s.observe(self._clock.monotonic_s() - asked.begun_s)
        if asked.span is not None:
            asked.span.end(outcome=outcome, code=answer.code)
        return answer

    async def _answer(self, submit: Submit) -> Answer:
        send = submit.send
        subject, message = subjects.submit(send.group), _ENCODER.encode(submit)
        for _ in range(self.asks_max):
            try:
                raw = await self._bus.request(subject, message, timeout_s=self.ask_again_s)
            except NoAnswer:
                continue
            except BusClosed:
                break
            return _ANSWER.decode(raw)
        self.no_answer += 1
        return Answer(send.group, send.send_id, code="no_answer", retry_after_ms=1_000)
