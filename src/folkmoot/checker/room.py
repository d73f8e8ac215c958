"""A room: one group and a client for each of its members, and the history of what they asked, were told and applied."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from folkmoot.checker.chatlog import LOG
from folkmoot.checker.history import Answered, Applied, Asked, Duty, History, Verdict, judge
from folkmoot.client import Client, SendRefused
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds

CONNECTS_AT_ONCE: Final = 32
ANSWER_S_MAX: Final = 60.0
"""A send without an answer for this long ends the replay: a server that is only killed is back in a second or two."""

NAMES_PER_ENTRY_MAX: Final = 500
NAMES_BYTES_MAX: Final = 24_576
"""More members are added by further entries: each fits a frame whatever the names."""

EMPTY: Final = "empty line"
"""The type of a message that stands for a line of nothing: a text has a character at least."""


class Room:
    """Members by name, each with a client that is not connected yet; `log` makes the group."""

    def __init__(self, clients: dict[str, Client]) -> None:
        self.said = self.refused = 0
        self.history = History()
        self._clients = clients
        self._received = dict.fromkeys(clients, 0)
        self._last_seq = 0
        self._moved = asyncio.Event()
        self._failure: BaseException | None = None
        self._listeners: list[asyncio.Task[None]] = []
        self._contents: dict[bytes, bytes] = {}
        self._group = ""

    async def open(self, name: str, send_id: str) -> None:
        """Connect everyone, make the group with all of them, and return once each has heard of it."""
        gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

        async def connect(client: Client) -> None:
            async with gate:
                await client.connect()

        await asyncio.gather(*(connect(client) for client in self._clients.values()))
        first, *others = name_chunks([user for user in self._clients if user != LOG])
        maker = self._clients[LOG]
        async with asyncio.timeout(ANSWER_S_MAX):
            self._group = await maker.create_group(name, members=first, send_id=send_id)
        self._is_known(LOG, send_id, kinds.CREATED, bodies.Created(name=name, members=tuple(first)), 1)
        self._begin_duty([LOG, *first], 1)
        for number, users in enumerate(others):
            added_id = f"{send_id}-{number}"
            async with asyncio.timeout(ANSWER_S_MAX):
                seq = await maker.add(self._group, users, send_id=added_id)
            self._is_known(LOG, added_id, kinds.ADDED, bodies.Added(users=tuple(users)), seq)
            self._begin_duty(users, seq)
        # A send carries the number of the join, so every speaker has to have heard of it.
        await self.settle(ANSWER_S_MAX)

    async def say(self, user: str, text: str, send_id: str) -> None:
        """Send a line as `user`, and return once it is answered for good: in pieces where it is too long for one."""
        for number, piece in enumerate(pieces(text)):
            await self._say(user, piece, f"{send_id}-{number}" if number else send_id)

    async def settle(self, seconds_max: float) -> None:
        """Return once everyone has the last entry, or after `seconds_max`: the verdict then says who lacks what.

        Raises what ended a member's client.
        """
        try:
            async with asyncio.timeout(seconds_max):
                while any(seq < self._last_seq for seq in self._received.values()):
                    if self._failure is not None:
                        raise self._failure
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return

    def judge(self) -> Verdict:
        return judge(self.history)

    async def close(self) -> int:
        """Take leave; how often clients had to connect again."""
        reconnects = sum(client.statistics().reconnects for client in self._clients.values() if client.user)
        for listener in self._listeners:
            listener.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self._clients.values()))
        return reconnects

    async def _say(self, user: str, text: str, send_id: str) -> None:
        body = bodies.Message(text=text, type="" if text else EMPTY)
        self._asks(user, send_id, kinds.MESSAGE, body)
        client = self._clients[user]
        try:
            seq = await client.send(self._group, text, type=body.type, send_id=send_id, timeout_s=ANSWER_S_MAX)
        except SendRefused:
            self.refused += 1
            self.history.answered.append(Answered(user, send_id, self._group, None))
            return
        self.said += 1
        self._last_seq = max(self._last_seq, seq)
        self.history.answered.append(Answered(user, send_id, self._group, seq))

    def _asks(self, user: str, send_id: str, kind: str, body: bodies.Body) -> None:
        self.history.asked.append(Asked(user, send_id, self._group, bodies.canonical(body), kind))

    def _is_known(self, user: str, send_id: str, kind: str, body: bodies.Body, seq: int) -> None:
        self._asks(user, send_id, kind, body)
        self._last_seq = seq
        self.history.answered.append(Answered(user, send_id, self._group, seq))

    def _begin_duty(self, users: Sequence[str], join: int) -> None:
        for user in users:
            self.history.duties.append(Duty(user, self._group, join))
            self._listeners.append(asyncio.create_task(self._listen(user, self._clients[user])))

    async def _listen(self, user: str, client: Client) -> None:
        applied, contents, group = self.history.applied, self._contents, self._group
        try:
            async for batch in client.batches():
                for entry in batch.entries:
                    if entry.group == group:
                        raw = bytes(entry.raw)
                        # One copy of a body for all members, not one each.
                        content = contents.setdefault(raw, raw)
                        applied.append(
                            Applied(user, group, entry.seq, entry.sender, entry.send_id, content, entry.kind)
                        )
                        self._received[user] = entry.seq
                self._moved.set()
        except Exception as error:
            self._failure = error
            self._moved.set()


def pieces(text: str) -> list[str]:
    """A line as messages: itself, or where it is longer than a message may be, in pieces."""
    step = bodies.TEXT_CHARS_MAX
    return [text[at : at + step] for at in range(0, len(text), step)] or [""]


def name_chunks(users: Sequence[str]) -> Iterator[list[str]]:
    """Users in as many lists as entries are needed to make all of them members; one at least."""
    chunk: list[str] = []
    size_bytes = 0
    for user in users:
        user_bytes = len(bodies.canonical(bodies.Removed(user=user)))
        if chunk and (len(chunk) == NAMES_PER_ENTRY_MAX or size_bytes + user_bytes > NAMES_BYTES_MAX):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(user)
        size_bytes += user_bytes
    yield chunk
