"""Replaying chat logs through a server, over a real WebSocket a member, and judging what every member received."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.checker.chatlog import Line, read, speakers
from folkmoot.checker.child import ChildServer
from folkmoot.checker.history import Verdict, merged
from folkmoot.checker.room import Room
from folkmoot.client import Client
from folkmoot.gateway.identity import mint
from folkmoot.gateway.listener import raise_open_files

TOKEN_LIFETIME_S: Final = 86_400
CONNECT_S_MAX: Final = 60.0
SETTLE_S_MAX: Final = 60.0
RECONNECT_S_MAX: Final = 0.4


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """`rate_per_s` 0: as fast as answers allow. `kill_every_s` 0: never; else the mean time from ready to a kill.

    `settle_s_max`: how long members may take to have the last entry; after it the verdict says what they lack.
    """

    rate_per_s: float = 0.0
    kill_every_s: float = 0.0
    kills_min: int = 0
    seed: int = 0
    settle_s_max: float = SETTLE_S_MAX


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What went through, and the verdict on it. `sending_seconds` is without connecting, settling and judging."""

    files: int
    lines: int
    messages: int
    members: int
    entries: int
    refused: int
    deliveries: int
    kills: int
    reconnects: int
    seconds: float
    sending_seconds: float
    verdict: Verdict

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong, and the verdict is on something: where every send was refused it says nothing."""
        return self.verdict.clean and (self.entries > 0 or not self.refused)

    @property
    def sends_per_s(self) -> float:
        return self.entries / self.sending_seconds if self.sending_seconds else 0.0


class Progress(msgspec.Struct, frozen=True):
    """One step: which file, and how many of its lines have been answered."""

    file: str
    done: int
    total: int
    kills: int


class Replay:
    """Files, one after another, each in a group of its own; again from the first until there were enough kills.

    Over several doors (`url`) of one cluster, members are dealt in turn.
    """

    def __init__(
        self,
        files: Sequence[Path],
        settings: ReplaySettings,
        *,
        url: str | Sequence[str],
        secret: bytes,
        child: ChildServer | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        if settings.kill_every_s and child is None:
            raise ValueError("only a server of its own can be killed")
        if settings.kills_min and not settings.kill_every_s and child is None:
            raise ValueError("without kills there will never be enough of them")
        self._files = files
        self._settings = settings
        self._urls = (url,) if isinstance(url, str) else tuple(url)
        self._secret = secret
        self._child = child
        self._on_progress = on_progress
        self._random = random.Random(settings.seed)
        self._verdicts: list[Verdict] = []
        self._lines = self._messages = self._members = self._entries = self._refused = self._reconnects = 0
        self._sending_s = 0.0

    async def run(self) -> ReplayReport:
        """Replay everything and judge. Raises ChildFailed, or what the SDK raises where the server will not have us."""
        raise_open_files()
        began_s = time.monotonic()
        killer = asyncio.create_task(self._kill_again_and_again()) if self._settings.kill_every_s else None
        try:
            while not self._verdicts or self._kills < self._settings.kills_min:
                for path in self._files:
                    await self._guarded(self._replay_file(path), killer)
        finally:
            if killer is not None:
                killer.cancel()
                await asyncio.gather(killer, return_exceptions=True)
        verdict = merged(self._verdicts)
        return ReplayReport(
            files=len(self._verdicts),
            lines=self._lines,
            messages=self._messages,
            members=self._members,
            entries=self._entries,
            refused=self._refused,
            deliveries=verdict.deliveries,
            kills=self._kills,
            reconnects=self._reconnects,
            seconds=time.monotonic() - began_s,
            sending_seconds=self._sending_s,
            verdict=verdict,
        )

    @property
    def _kills(self) -> int:
        return 0 if self._child is None else self._child.kills

    async def _guarded(self, work: Awaitable[None], killer: "asyncio.Task[None] | None") -> None:
        """Do `work`, unless the killer fails: then nobody would start the server again."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, killer} if killer is not None else {task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if killer is not None and killer.done():
            killer.result()
        task.result()

    async def _replay_file(self, path: Path) -> None:
        lines = await asyncio.to_thread(read, path)
        names = speakers(lines)
        doors = itertools.cycle(self._urls)
        room = Room({name: self._client(name, url) for name, url in zip(names, doors, strict=False)})
        try:
            await room.open(f"{path.stem} {len(self._verdicts)}", self._random.randbytes(8).hex())
            began_s = time.monotonic()
            await self._say_all(path, lines, room)
            self._sending_s += time.monotonic() - began_s
            await room.settle(self._settings.settle_s_max)
        finally:
            self._reconnects += await room.close()
        # Judged and let go: what a member received of one file is tens of megabytes.
        self._verdicts.append(room.judge())
        self._lines += len(lines)
        self._messages += sum(line.is_message for line in lines)
        self._members += len(names)
        self._entries += room.said
        self._refused += room.refused

    async def _say_all(self, path: Path, lines: list[Line], room: Room) -> None:
        interval_s = 1 / self._settings.rate_per_s if self._settings.rate_per_s else 0.0
        next_s = time.monotonic()
        for number, line in enumerate(lines):
            if interval_s:
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))
                next_s += interval_s
            await room.say(line.speaker, line.text, f"line-{number}")
            self._on_progress(Progress(path.name, number + 1, len(lines), self._kills))

    def _client(self, name: str, url: str) -> Client:
        token = mint(self._secret, name, lifetime_s=TOKEN_LIFETIME_S, now_ms=time.time_ns() // 1_000_000)
        # Everyone comes back at once: how the server bears that is part of what is tried.
        return Client(url, token, fresh="join", reconnect_s_max=RECONNECT_S_MAX, connect_s_max=CONNECT_S_MAX)

    async def _kill_again_and_again(self) -> None:
        child = self._child
        assert child is not None
        while True:
            await asyncio.sleep(self._settings.kill_every_s * self._random.uniform(0.5, 1.5))
            await child.kill()
            await child.start()
