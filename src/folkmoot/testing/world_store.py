"""The simulated store: one database for all, on a line on which calls are late, lost, refused or unheard of."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.model.entry import Entry
from folkmoot.model.group import GroupState, Head
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, Span
from folkmoot.model.send import Outcome, SendKey
from folkmoot.ports.store import GroupView, Mark, MovedPointer, StoreAway, StoreUnknown, Write
from folkmoot.testing.virtual_loop import Process, VirtualLoop, settle
from folkmoot.testing.weather import DELAYED_S, SLOW_S, Weather

T = TypeVar("T")

TIMEOUT_S = 0.5
"""Of a call of which nothing is heard."""


class Database:
    """What is durable, whoever is killed. `life` changes when an earlier state is put in its place."""

    def __init__(self, loop: VirtualLoop, weather: Weather, *, bucket_size: int) -> None:
        self.loop = loop
        self.weather = weather
        self.process = loop.process("store")
        self.disk = Disk()
        self.life = 0
        self.on_write: Callable[[Write], None] | None = None
        self._bucket_size = bucket_size
        self.store = MemoryStore(self.disk, bucket_size=bucket_size)

    def backup(self) -> Disk:
        return self.disk.copied()

    def restore(self, backup: Disk, *, raised: bool) -> None:
        """Put an earlier state in place: under a raised epoch, or as who copies an old file back does, under none."""
        disk = backup.copied()
        disk.epoch = self.disk.epoch + raised
        self.disk = disk
        self.store = MemoryStore(disk, bucket_size=self._bucket_size)
        self.life += 1

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a call of the memory store, which never waits."""
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise AssertionError("the memory store waited")


class WorldStore:
    """The store as one process reaches it."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process

    async def epoch(self) -> int:
        return await self._read(lambda store: store.epoch())

    async def state(self, group: GroupId) -> GroupState:
        return await self._read(lambda store: store.state(group))

    async def head(self, group: GroupId) -> Head | None:
        return await self._read(lambda store: store.head(group))

    async def heads(self, groups: Sequence[GroupId]) -> dict[GroupId, Head]:
        return await self._read(lambda store: store.heads(groups))

    async def last_times(self, groups: Sequence[GroupId]) -> dict[GroupId, int]:
        return await self._read(lambda store: store.last_times(groups))

    async def view(self, group: GroupId, user: UserId) -> GroupView | None:
        return await self._read(lambda store: store.view(group, user))

    async def outcomes(self, group: GroupId, keys: Iterable[SendKey]) -> dict[SendKey, Outcome]:
        known = sorted(keys)
        return await self._read(lambda store: store.outcomes(group, known))

    async def mark(self, group: GroupId, seq: int) -> Mark | None:
        return await self._read(lambda store: store.mark(group, seq))

    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        return await self._read(
            lambda store: store.read(group, span, entries_max=min(entries_max, PAGE_ENTRIES), bytes_max=bytes_max)
        )

    async def read_back(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        return await self._read(
            lambda store: store.read_back(group, span, entries_max=min(entries_max, PAGE_ENTRIES), bytes_max=bytes_max)
        )

    async def groups_of(self, user: UserId, *, after: GroupId, rows_max: int) -> list[GroupId]:
        return await self._read(lambda store: store.groups_of(user, after=after, rows_max=rows_max))

    async def members(self, group: GroupId, *, after: UserId, rows_max: int) -> list[tuple[UserId, Membership]]:
        return await self._read(lambda store: store.members(group, after=after, rows_max=rows_max))

    async def append(self, write: Write) -> Head:
        async def work(store: MemoryStore) -> Head:
            head = await store.append(write)
            if self._database.on_write is not None:
                self._database.on_write(write)
            return head

        return await self._write(work)

    async def move_pointers(self, pointers: Sequence[MovedPointer]) -> None:
        await self._write(lambda store: store.move_pointers(pointers))

    async def close(self) -> None: ...

    async def _read(self, work: Callable[[MemoryStore], Coroutine[Any, Any, T]]) -> T:
        weather = self._database.weather
        if weather.is_store_away(self._process.name) or weather.strikes("refuse"):
            await asyncio.sleep(weather.latency_s())
            raise StoreAway("simulated")
        if weather.strikes("time out reading"):
            await asyncio.sleep(TIMEOUT_S)
            raise StoreAway("simulated")
        return await self._call(work, there_s=self._delay_s(), heard=True, lost=StoreAway)

    async def _write(self, work: Callable[[MemoryStore], Coroutine[Any, Any, T]]) -> T:
        """A conditional write. Of one that is not heard of: it never came there, it happened, or it will, later."""
        weather = self._database.weather
        if weather.is_store_away(self._process.name) or weather.strikes("refuse"):
            await asyncio.sleep(weather.latency_s())
            raise StoreAway("simulated")
        if weather.strikes("write lost"):
            await asyncio.sleep(TIMEOUT_S)
            raise StoreUnknown("simulated")
        if weather.strikes("write late"):
            return await self._call(
                work, there_s=weather.between_s(DELAYED_S) + TIMEOUT_S, heard=False, lost=StoreUnknown
            )
        heard = not weather.strikes("write unheard")
        return await self._call(work, there_s=self._delay_s(), heard=heard, lost=StoreUnknown)

    def _delay_s(self) -> float:
        weather = self._database.weather
        return weather.between_s(SLOW_S) if weather.strikes("slow") else weather.latency_s()

    async def _call(
        self,
        work: Callable[[MemoryStore], Coroutine[Any, Any, T]],
        *,
        there_s: float,
        heard: bool,
        lost: type[Exception],
    ) -> T:
        database, loop = self._database, self._database.loop
        answer: asyncio.Future[T] = loop.create_future()
        life, back_s = database.life, database.weather.latency_s()

        def arrive() -> None:
            result: T | None = None
            error: Exception | None = None
            if database.life != life:
                # What was on its way to a store that has been replaced comes nowhere.
                error = lost("the store was replaced")
            else:
                try:
                    result = database.now(work(database.store))
                except Exception as raised:
                    error = raised
            if heard:
                loop.call_later(back_s, settle, answer, result, error, context=self._process.context)

        # On the line it belongs to nobody: it arrives though the process that sent it is killed.
        loop.call_later(there_s, arrive, context=database.process.context)
        if not heard:
            await asyncio.sleep(TIMEOUT_S)
            raise lost("simulated")
        return await answer


PAGE_ENTRIES = 3
"""The store ends pages early, as a store may: so the seams between pages are everywhere."""
