"""Step 1 of a message's way: a gateway asks whoever routes the group, and asks again until there is an answer."""

import asyncio
from collections.abc import Callable

import msgspec

from folkmoot.model.send import Send
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus, BusClosed, NoAnswer
from folkmoot.ports.subjects import Answer, Submit

_ENCODER = msgspec.msgpack.Encoder()
_ANSWER = msgspec.msgpack.Decoder(Answer)


class Submitter:
    """Requests on the bus, bounded a connection by its window of unanswered sends."""

    def __init__(self, bus: Bus, *, ask_again_s: float, asks_max: int) -> None:
        self._bus = bus
        self._ask_again_s = ask_again_s
        self._asks_max = asks_max
        self._tasks: set[asyncio.Task[None]] = set()
        self.no_answer = 0

    def submit(self, send: Send, on_answer: Callable[[Answer], None]) -> None:
        """Ask; `on_answer` is called once, with the router's answer or `no_answer`."""
        task = asyncio.create_task(self._ask(send, on_answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, *, timeout_s: float) -> None:
        """Wait for the answers to what was asked."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, send: Send, on_answer: Callable[[Answer], None]) -> None:
        subject, message = subjects.submit(send.group), _ENCODER.encode(Submit(send))
        for _ in range(self._asks_max):
            try:
                raw = await self._bus.request(subject, message, timeout_s=self._ask_again_s)
            except NoAnswer:
                continue
            except BusClosed:
                break
            on_answer(_ANSWER.decode(raw))
            return
        self.no_answer += 1
        on_answer(Answer(send.group, send.send_id, code="no_answer", retry_after_ms=1_000))
