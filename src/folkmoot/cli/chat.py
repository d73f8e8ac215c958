"""`folkmoot chat`: a group on a terminal, what others say above, what I type sent with Enter."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import (
    NOT_DONE,
    Caller,
    fail,
    group_named,
)
from folkmoot.cli.options import given
from folkmoot.cli.show import as_text, event_text
from folkmoot.cli.terminal import Terminal

if TYPE_CHECKING:
    from folkmoot.client import Answered, Client, GroupEvent

SHOWN_AT_START = 20
PENDING_MAX = 100
"""Lines without an answer; what is piped in faster waits in the pipe."""

ANSWERS_S_MAX = 10.0
"""How long, after the end of input, answers to what was typed are waited for."""


@given(Caller)
def chat(
    caller: Caller,
    group: Annotated[str, typer.Argument(help="A group's id or name; none: my only one.")] = "",
) -> None:
    """Chat in a group: type a line and press Enter; Ctrl-D leaves."""

    async def work(client: "Client") -> int:
        return await _Chat(client, await group_named(client, group)).run()

    unsent = caller.run(work)
    if unsent:
        fail(f"{unsent} of your messages were not confirmed", NOT_DONE)


class _Chat:
    def __init__(self, client: "Client", group: str) -> None:
        self._client = client
        self._group = group
        self._terminal = Terminal()
        self._answered = asyncio.Event()
        self._refused = 0

    async def run(self) -> int:
        """Until the end of input; how many messages have not been confirmed by then."""
        page = await self._client.history(self._group, limit=SHOWN_AT_START)
        for entry in page.entries:
            self._terminal.show(as_text(entry))
        self._client.on_answer = self._on_answer
        self._client.on_event = self._on_event
        listening = asyncio.create_task(self._listen(page.entries[-1].seq if page.entries else 0))
        talking = asyncio.create_task(self._talk())
        try:
            done, _ = await asyncio.wait({listening, talking}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (listening, talking):
                task.cancel()
            await asyncio.gather(listening, talking, return_exceptions=True)
        return self._refused + len(self._client.pending())

    async def _listen(self, last: int) -> None:
        async for entry in self._client:
            if entry.group == self._group and entry.seq > last:
                self._terminal.show(as_text(entry))

    async def _talk(self) -> None:
        """Sends wait in the outbox where the server is away: the next line can be typed at once."""
        from folkmoot.client import ClientError

        async for text in self._terminal.lines():
            if text.strip():
                await self._until_pending(PENDING_MAX)
                try:
                    self._client.post(self._group, text)
                except ClientError as error:
                    self._not_sent(str(error))
        try:
            async with asyncio.timeout(ANSWERS_S_MAX):
                await self._until_pending(0)
        except TimeoutError:
            return

    async def _until_pending(self, count_max: int) -> None:
        while len(self._client.pending()) > count_max:
            self._answered.clear()
            await self._answered.wait()

    def _on_answer(self, answer: "Answered") -> None:
        self._answered.set()
        if answer.seq is None and answer.definite:
            self._not_sent(answer.detail or answer.code)

    def _on_event(self, event: "GroupEvent") -> None:
        text = event_text(event)
        if text and event.group == self._group:
            self._terminal.show(text)

    def _not_sent(self, why: str) -> None:
        self._refused += 1
        self._terminal.show(f"(not sent: {why})")
