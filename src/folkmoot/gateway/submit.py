"""Step 1 of a message's way: a gateway asks whoever routes the group, and asks again until there is an answer."""

import asyncio
import contextlib
import functools
from collections.abc import Callable

import msgspec

from folkmoot.model.histogram import SECONDS, Histogram
from folkmoot.model.send import Send
from folkmoot.ports import subjects
from folkmoot.ports.bus import Asked, Bus, BusClosed, NoAnswer
from folkmoot.ports.clock import Clock
from folkmoot.ports.subjects import Answer, Submit
from folkmoot.ports.traces import Span, Tracer

_ENCODER = msgspec.msgpack.Encoder()
_ANSWER = msgspec.msgpack.Decoder(Answer)


class _Ask(msgspec.Struct):
    """A send under way: its request, how often it was made, since when, and its trace's first span where it has one."""

    send: Send
    request: bytes
    begun_s: float
    span: Span | None
    on_answer: Callable[[Answer], None]
    asks: int = 0


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
        self._under_way = 0
        self._all_answered: asyncio.Event | None = None
        self._is_closed = False
        self.sends = 0
        self.no_answer = 0
        self.outcomes = {"accepted": 0, "refused": 0, "undecided": 0}
        self.accepted_s = Histogram(SECONDS)

    def submit(self, send: Send, on_answer: Callable[[Answer], None]) -> None:
        """Ask; `on_answer` is called once, with the router's answer or `no_answer`."""
        self.sends += 1
        self._under_way += 1
        span = None if self._tracer is None else self._tracer.root("submit", group=send.group, kind=send.kind)
        submit = Submit(send, self._clock.wall_ms(), "" if span is None else span.context)
        # Since the frame was read: waiting for turns of the loop is part of what is measured.
        self._ask(_Ask(send, _ENCODER.encode(submit), self._clock.monotonic_s(), span, on_answer))

    async def ask(self, send: Send) -> Answer:
        """The router's answer, or `no_answer`. How many ask at once is the caller's to bound."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def on_answer(answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)

        self.submit(send, on_answer)
        return await answered

    async def finish(self, *, timeout_s: float) -> None:
        """Wait for the answers to what was asked."""
        if self._under_way:
            self._all_answered = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._all_answered.wait()

    async def close(self) -> None:
        """Tell nobody anything any more."""
        self._is_closed = True

    def _ask(self, asked: _Ask) -> None:
        asked.asks += 1
        answer = self._bus.request(subjects.submit(asked.send.group), asked.request, timeout_s=self.ask_again_s)
        # A callback and no task, here as in the router: for a send that costs several times as much as asking does.
        answer.add_done_callback(functools.partial(self._heard, asked))

    def _heard(self, asked: _Ask, raw: Asked) -> None:
        try:
            answer = _ANSWER.decode(raw.result())
        except (NoAnswer, BusClosed) as error:
            if isinstance(error, NoAnswer) and asked.asks < self.asks_max and not self._is_closed:
                self._ask(asked)
                return
            self.no_answer += 1
            answer = Answer(asked.send.group, asked.send.send_id, code="no_answer", retry_after_ms=1_000)
        self._tell(asked, answer)

    def _tell(self, asked: _Ask, answer: Answer) -> None:
        outcome = "accepted" if answer.seq is not None else "refused" if answer.definite else "undecided"
        self.outcomes[outcome] += 1
        if answer.seq is not None:
            self.accepted_s.observe(self._clock.monotonic_s() - asked.begun_s)
        if asked.span is not None:
            asked.span.end(outcome=outcome, code=answer.code)
        self._under_way -= 1
        if self._all_answered is not None and not self._under_way:
            self._all_answered.set()
        if not self._is_closed:
            asked.on_answer(answer)
