"""Replaying chat logs through a server, over a real WebSocket a member, and judging what every member received."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.checker.chatlog import LOG, Line, read, speakers
from folkmoot.checker.child import ChildServer
from folkmoot.checker.history import Answered, Applied, Asked, Duty, History, Verdict, judge
from folkmoot.client import Client, SendRefused
from folkmoot.gateway.identity import mint
from folkmoot.model.body import TEXT_CHARS_MAX

TOKEN_LIFETIME_S: Final = 86_400
SETTLE_S_MAX: Final = 60.0
CONNECTS_AT_ONCE: Final = 32
RECONNECT_S_MAX: Final = 0.4
EMPTY: Final = "empty line"
"""The type of a message that stands for a line of nothing: a text has a character at least."""


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """`rate_per_s` 0: as fast as answers allow. `kill_every_s` 0: never; else the mean time from ready to a kill."""

    rate_per_s: float = 0.0
    kill_every_s: float = 0.0
    kills_min: int = 0
    seed: int = 0
    settle_s_max: float = SETTLE_S_MAX


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What went through, and the verdict on it."""

    files: int
    lines: int
    messages: int
    members: int
    entries: int
    deliveries: int
    kills: int
    reconnects: int
    seconds: float
    verdict: Verdict

    @property
    def clean(self) -> bool:
        return self.verdict.clean


class Progress(msgspec.Struct, frozen=True):
    """One step: which file, and how many of its lines have been answered."""

    file: str
    done: int
    total: int
    kills: int


class Replay:
    """Files, one after another, each in a group of its own; again from the first until there were enough kills."""

    def __init__(
        self,
        files: Sequence[Path],
        settings: ReplaySettings,
        *,
        url: str,
        secret: bytes,
        child: ChildServer | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._files = files
        self._settings = settings
        self._url = url
        self._secret = secret
        self._child = child
        self._on_progress = on_progress
        self._random = random.Random(settings.seed)
        self._history = History()
        self._lines = self._messages = self._members = self._entries = self._runs = self._reconnects = 0

    async def run(self) -> ReplayReport:
        """Replay everything and judge. Raises ChildFailed, or what the SDK raises where the server will not have us."""
        began_s = time.monotonic()
        killer = asyncio.create_task(self._kill_again_and_again()) if self._settings.kill_every_s else None
        try:
            while self._runs == 0 or self._kills < self._settings.kills_min:
                for path in self._files:
                    await self._guarded(self._replay_file(path), killer)
        finally:
            if killer is not None:
                killer.cancel()
                await asyncio.gather(killer, return_exceptions=True)
        return ReplayReport(
            files=self._runs,
            lines=self._lines,
            messages=self._messages,
            members=self._members,
            entries=self._entries,
            deliveries=len(self._history.applied),
            kills=self._kills,
            reconnects=self._reconnects,
            seconds=time.monotonic() - began_s,
            verdict=judge(self._history),
        )

    @property
    def _kills(self) -> int:
        return 0 if self._child is None else self._child.kills

    async def _guarded(self, work: Awaitable[None], killer: "asyncio.Task[None] | None") -> None:
        """Do `work`, unless the killer fails: then nobody would start the server again."""
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, killer} if killer is not None else {task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert killer is not None
            killer.result()
        task.result()

    async def _replay_file(self, path: Path) -> None:
        lines = await asyncio.to_thread(read, path)
        names = speakers(lines)
        room = _Room(self._history, [self._client(name) for name in names], names)
        try:
            await room.open(f"{path.stem} {self._runs}", self._random.randbytes(8).hex())
            await self._say_all(path, lines, room)
            await room.settle(self._settings.settle_s_max)
        finally:
            self._reconnects += await room.close()
        self._runs += 1
        self._lines += len(lines)
        self._messages += sum(line.is_message for line in lines)
        self._members += len(names)
        self._entries += room.acknowledged

    async def _say_all(self, path: Path, lines: list[Line], room: "_Room") -> None:
        interval_s = 1 / self._settings.rate_per_s if self._settings.rate_per_s else 0.0
        next_s = time.monotonic()
        for number, line in enumerate(lines):
            if interval_s:
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))
                next_s += interval_s
            for part, text in enumerate(parts(line.text)):
                await room.say(line.speaker, text, f"line-{number}-{part}")
            self._on_progress(Progress(path.name, number + 1, len(lines), self._kills))

    def _client(self, name: str) -> Client:
        token = mint(self._secret, name, lifetime_s=TOKEN_LIFETIME_S, now_ms=time.time_ns() // 1_000_000)
        # Everyone comes back at once: how the server bears that is part of what is tried.
        return Client(self._url, token, fresh="head", reconnect_s_max=RECONNECT_S_MAX, connect_s_max=60.0)

    async def _kill_again_and_again(self) -> None:
        child = self._child
        assert child is not None
        while True:
            await asyncio.sleep(self._settings.kill_every_s * self._random.uniform(0.5, 1.5))
            await child.kill()
            await child.start()


class _Room:
    """One group and a client for each of its members; what each receives goes into the history."""

    def __init__(self, history: History, clients: list[Client], names: list[str]) -> None:
        self.acknowledged = 0
        self._history = history
        self._clients = dict(zip(names, clients, strict=True))
        self._received = dict.fromkeys(names, 0)
        self._last_seq = 0
        self._moved = asyncio.Event()
        self._listeners: list[asyncio.Task[None]] = []
        self._group = ""

    async def open(self, name: str, send_id: str) -> None:
        """Connect everyone, and have `log` make the group with all of them."""
        gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

        async def connect(client: Client) -> None:
            async with gate:
                await client.connect()

        await asyncio.gather(*(connect(client) for client in self._clients.values()))
        others = [user for user in self._clients if user != LOG]
        self._group = await self._clients[LOG].create_group(name, members=others, send_id=send_id)
        for user, client in self._clients.items():
            self._history.duties.append(Duty(user, self._group, 1))
            self._listeners.append(asyncio.create_task(self._listen(user, client)))
        # A send carries the number of the join, so every speaker has to have heard of it.
        self._last_seq = 1
        await self.settle(SETTLE_S_MAX)

    async def say(self, user: str, text: str, send_id: str) -> None:
        """Send as `user`, and return once it is answered for good."""
        asked = Asked(user, send_id, self._group, text.encode())
        self._history.asked.append(asked)
        client = self._clients[user]
        try:
            if text:
                seq = await client.send(self._group, text, send_id=send_id)
            else:
                seq = await client.send(self._group, type=EMPTY, send_id=send_id)
        except SendRefused:
            self._history.answered.append(Answered(user, send_id, self._group, None))
            return
        self.acknowledged += 1
        self._last_seq = seq
        self._history.answered.append(Answered(user, send_id, self._group, seq))

    async def settle(self, seconds_max: float) -> None:
        """Return once everyone has the last entry, or after `seconds_max`: the verdict then says who lacks what."""
        try:
            async with asyncio.timeout(seconds_max):
                while any(seq < self._last_seq for seq in self._received.values()):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return

    async def close(self) -> int:
        """Take leave; how often clients had to connect again."""
        reconnects = sum(client.statistics().reconnects for client in self._clients.values() if client.user)
        for listener in self._listeners:
            listener.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self._clients.values()))
        return reconnects

    async def _listen(self, user: str, client: Client) -> None:
        applied = self._history.applied
        async for batch in client.batches():
            for entry in batch.entries:
                if entry.group != self._group:
                    continue
                self._received[user] = entry.seq
                if entry.kind == "message":
                    applied.append(
                        Applied(user, entry.group, entry.seq, entry.sender, entry.send_id, entry.text.encode())
                    )
            self._moved.set()


def parts(text: str) -> list[str]:
    """A line as messages: itself, or where it is longer than a message may be, in pieces."""
    return [text[at : at + TEXT_CHARS_MAX] for at in range(0, len(text), TEXT_CHARS_MAX)] or [""]
