"""The store on Cassandra: `ports.store.Store` over logs, outcomes, projections and pointers."""

import asyncio
from collections.abc import Iterable, Sequence

from folkmoot.backends.cassandra.accounts import CassandraAccounts
from folkmoot.backends.cassandra.append import Appends
from folkmoot.backends.cassandra.driver import IN_FLIGHT_MAX, CassandraSettings, Driver, connect
from folkmoot.backends.cassandra.log import Log
from folkmoot.backends.cassandra.migrate import Schema, read_schema
from folkmoot.backends.cassandra.outcomes import Outcomes
from folkmoot.backends.cassandra.pointers import Pointers
from folkmoot.backends.cassandra.projections import Projections
from folkmoot.backends.cassandra.rows import SEQ_END, bounded
from folkmoot.backends.cassandra.transfer import CassandraTransfer
from folkmoot.model.entry import Entry, genesis
from folkmoot.model.group import GroupState, Head
from folkmoot.model.histogram import Histogram
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, Span
from folkmoot.model.send import Outcome, SendKey
from folkmoot.ports.store import GroupView, Mark, MovedPointer, Write


class CassandraStore:
    """`ports.store.Store` in a keyspace, with the `accounts` in it. Made with `open`; any number of processes may."""

    def __init__(self, driver: Driver, schema: Schema) -> None:
        self._driver = driver
        self._schema = schema
        size, epoch = schema.bucket_size, schema.epoch
        self._log = Log(driver, size)
        self._outcomes = Outcomes(driver, self._log, size)
        self._pointers = Pointers(driver, self._log, epoch)
        self._projections = Projections(driver, self._log, self._pointers, epoch=epoch, bucket_size=size)
        self._appends = Appends(
            driver, self._log, self._outcomes, self._projections, self._pointers, epoch=epoch, bucket_size=size
        )
        self.accounts = CassandraAccounts(driver)
        self.transfer = CassandraTransfer(driver, epoch)

    @classmethod
    async def open(cls, settings: CassandraSettings, *, to_copy: bool = False) -> "CassandraStore":
        """The store in a keyspace that `migrate` made.

        Raises SettingWrong or SchemaUnknown, whose text names the setting, and StoreAway where no node answers;
        StoreSealed where it must not be served, unless it is opened only `to_copy`.
        """
        driver = await connect(settings, keyspace=settings.keyspace)
        try:
            store = cls(driver, await read_schema(driver, settings))
            if not to_copy:
                (await store.transfer.custody()).check_served()
        except BaseException:
            await driver.close()
            raise
        return store

    @property
    def home(self) -> str:
        """Which store it is, in words: the same for every process on this keyspace, another for any other."""
        schema = self._schema
        return f"keyspace {self._driver.keyspace} of data centre {schema.datacenter} ({schema.store})"

    async def epoch(self) -> int:
        self._driver.check()
        return self._schema.epoch

    async def state(self, group: GroupId) -> GroupState:
        return await self._projections.state(group)

    async def head(self, group: GroupId) -> Head | None:
        return (await self.heads((group,))).get(group)

    async def heads(self, groups: Sequence[GroupId]) -> dict[GroupId, Head]:
        places = await asyncio.gather(*(self._log.place(group) for group in groups))
        size = self._schema.bucket_size
        return {
            group: place.row.head(size)
            for group, place in zip(groups, places, strict=True)
            if place is not None and place.row.seq
        }

    async def last_times(self, groups: Sequence[GroupId]) -> dict[GroupId, int]:
        places = await asyncio.gather(*(self._log.place(group) for group in groups))
        return {
            group: place.row.time_ms
            for group, place in zip(groups, places, strict=True)
            if place is not None and place.row.seq
        }

    async def view(self, group: GroupId, user: UserId) -> GroupView | None:
        return await self._projections.view(group, user)

    async def append(self, write: Write) -> Head:
        return await self._appends.append(write)

    async def outcomes(self, group: GroupId, keys: Iterable[SendKey]) -> dict[SendKey, Outcome]:
        return await self._outcomes.find(group, list(keys))

    async def mark(self, group: GroupId, seq: int) -> Mark | None:
        if not 0 <= seq < SEQ_END:
            return None
        entry = await self._log.entry(group, max(seq, 1))
        if entry is None:
            return None
        return Mark(entry.epoch, entry.hash, entry.messages) if seq else Mark(entry.epoch, genesis(group), 0)

    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        last = SEQ_END if span.last is None else min(span.last, SEQ_END)
        return await self._log.forward(group, bounded(span.first), last, max(1, entries_max), bytes_max)

    async def read_back(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        place = await self._log.place(group)
        if place is None:
            return []
        last = place.row.seq if span.last is None else min(span.last, place.row.seq)
        return await self._log.back(group, max(1, span.first), last, max(1, entries_max), bytes_max)

    async def groups_of(self, user: UserId, *, after: GroupId, rows_max: int) -> list[GroupId]:
        return await self._projections.groups_of(user, after=after, rows_max=rows_max)

    async def members(self, group: GroupId, *, after: UserId, rows_max: int) -> list[tuple[UserId, Membership]]:
        return await self._projections.members(group, after=after, rows_max=rows_max)

    async def move_pointers(self, pointers: Sequence[MovedPointer]) -> None:
        await self._pointers.move(pointers)

    async def close(self) -> None:
        await self._appends.close()
        await self._driver.close()

    def statistics(self) -> dict[str, int]:
        return {
            "requests": self._driver.requests,
            "waiting": self._driver.waiting,
            "in_flight_max": IN_FLIGHT_MAX,
            "reads_shared": self._driver.shared,
            "refused": self._driver.refused,
            "unknown": self._driver.unknown,
            "settled": self._appends.settled,
            "buckets_opened": self._appends.opened,
            "projections_behind": self._appends.behind,
            "projections_brought_on": self._projections.brought_on,
            "gaps_repaired": self._log.repaired,
        }

    def histograms(self) -> dict[str, Histogram]:
        return {}
