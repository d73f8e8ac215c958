"""An append whose answer is lost is settled and never doubled, and one that changes nothing says so."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from folkmoot.backends.cassandra import append as append_module
from folkmoot.backends.cassandra.driver import CassandraSettings, Driver, Row, Statement, connect
from folkmoot.backends.cassandra.migrate import read_schema
from folkmoot.backends.cassandra.rows import OPEN_BUCKET
from folkmoot.backends.cassandra.store import CassandraStore
from folkmoot.model.send import SKIP
from folkmoot.ports.store import Conflict, StoreAway, StoreUnknown
from folkmoot.testing.cassandra_harness import CassandraHarness
from folkmoot.testing.store_suite import OTHER, OWNER, Author

pytestmark = pytest.mark.cassandra

Keyspace = Callable[[int], CassandraSettings]


class LossyDriver(Driver):
    """The next conditional writes go as `losses` says: `done` and not answered, or `late`: not begun until told."""

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner._session, inner.keyspace, inner._cluster)
        self.losses: list[str] = []
        self.late: list[Callable[[], Awaitable[object]]] = []
        self.before: Callable[[], Awaitable[object]] | None = None
        self.opening_too = False

    async def decide(self, *statements: Statement) -> tuple[bool, list[Row]]:
        if not self.losses or (statements[0][0] == OPEN_BUCKET and not self.opening_too):
            return await super().decide(*statements)
        loss = self.losses.pop(0)
        if loss == "away":
            raise StoreAway("no node")
        if loss == "done":
            await super().decide(*statements)
        if loss == "late":
            self.late.append(lambda: super(LossyDriver, self).decide(*statements))
        if self.before is not None:
            act, self.before = self.before, None
            await act()
        raise StoreUnknown(loss)


class Stage:
    """An author on a store whose driver loses answers, and a rival on a sound one."""

    def __init__(self, settings: CassandraSettings) -> None:
        self.harness = CassandraHarness(settings)

    async def __aenter__(self) -> "Stage":
        settings = self.harness.settings
        self.driver = LossyDriver(await connect(settings, keyspace=settings.keyspace))
        self.store = CassandraStore(self.driver, await read_schema(self.driver, settings))
        self.author = Author(self.store)
        await self.author.make()
        self.rival = Author(await self.harness.open())
        await self.rival.refresh()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()
        await self.harness.close()

    async def log(self) -> list[str]:
        self.rival.store = await self.harness.open()
        return [entry.send_id for entry in await self.rival.log()]


def test_what_happened_is_proved_by_a_read_and_answered(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def run() -> None:
        async with Stage(settings) as stage:
            stage.driver.losses = ["done"]
            head = await stage.author.say("a")
            assert (head.seq, head.writes) == (2, 2)
            stage.driver.losses = ["done"]
            assert (await stage.author.ask(stage.author.a_send("no", kind=SKIP))).writes == 3
            await stage.author.say("b")
            assert await stage.log() == ["make", "a", "b"]
            assert stage.store.statistics()["settled"] == 2

    asyncio.run(run())


def test_what_may_yet_happen_is_settled_by_trying_again_and_comes_once(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def run() -> None:
        async with Stage(settings) as stage:
            stage.driver.losses = ["late", "late"]
            assert (await stage.author.say("a")).seq == 2
            for late in stage.driver.late:
                await late()
            await stage.author.say("b")
            assert await stage.log() == ["make", "a", "b"]

    asyncio.run(run())


def test_who_was_overtaken_is_told_a_conflict_and_never_comes_after(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def run() -> None:
        async with Stage(settings) as stage:
            stage.driver.losses = ["late"]
            stage.driver.before = lambda: stage.rival.say("theirs")
            with pytest.raises(Conflict):
                await stage.author.say("a")
            for late in stage.driver.late:
                await late()
            assert await stage.log() == ["make", "theirs"]
            await stage.author.refresh()
            await stage.author.say("a")
            assert await stage.log() == ["make", "theirs", "a"]

    asyncio.run(run())


def test_the_same_send_stored_by_another_is_not_taken_for_ones_own(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def run() -> None:
        async with Stage(settings) as stage:
            stage.rival._salts = 99
            stage.driver.losses = ["late"]
            stage.driver.before = lambda: stage.rival.say("a")
            with pytest.raises(Conflict):
                await stage.author.say("a")
            assert await stage.log() == ["make", "a"]

    asyncio.run(run())


def test_a_refusal_that_another_stored_along_with_an_entry_is_not_taken_for_ones_own(keyspace: Keyspace) -> None:
    """Its head would be one that never was, and the next append on that would replace the other's entry."""
    settings = keyspace(8)

    async def run() -> None:
        async with Stage(settings) as stage:
            author, rival = stage.author, stage.rival
            refused = author.a_send("no", kind=SKIP)
            stage.driver.losses = ["late"]
            stage.driver.before = lambda: rival.ask(refused, rival.a_send("theirs", body={"text": "theirs"}))
            with pytest.raises(Conflict):
                await author.ask(refused)
            await author.refresh()
            await author.say("mine")
            assert await stage.log() == ["make", "theirs", "mine"]

    asyncio.run(run())


def test_what_nobody_ever_answers_stays_unknown(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def run() -> None:
        async with Stage(settings) as stage:
            stage.driver.losses = ["late"] * append_module.TRIES_MAX
            with pytest.raises(StoreUnknown):
                await stage.author.say("a")
            stage.driver.losses = ["late", "away"]
            with pytest.raises(StoreUnknown):
                await stage.author.say("a")
            stage.driver.losses = ["away"]
            with pytest.raises(StoreAway):
                await stage.author.say("a")
            await stage.author.refresh()
            await stage.author.say("a")
            assert await stage.log() == ["make", "a"]

    asyncio.run(run())


def test_a_bucket_that_could_not_be_opened_is_opened_by_whoever_comes_next(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def run() -> None:
        async with Stage(settings) as stage:
            await stage.author.say(*"bcdefg")
            stage.driver.losses, stage.driver.opening_too = ["done"], True
            with pytest.raises(StoreAway):
                await stage.author.say("h")
            await stage.rival.refresh()
            await stage.rival.say("i")
            await stage.author.refresh()
            assert (await stage.author.say("h")).seq == 9
            assert await stage.log() == ["make", *"bcdefg", "i", "h"]

    asyncio.run(run())


def test_a_batch_over_the_end_of_a_bucket_is_not_taken(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def run() -> None:
        async with Stage(settings) as stage:
            wide = msgspec.structs.replace(stage.author.state.head, room=100)
            stage.author.state = msgspec.structs.replace(stage.author.state, head=wide)
            write = stage.author.write(*(stage.author.a_send(f"{n}", body={"text": "x"}) for n in range(9)))
            with pytest.raises(ValueError, match="more than one bucket"):
                await stage.store.append(write)
            assert await stage.log() == ["make"]

    asyncio.run(run())


def test_many_routers_at_once_over_many_buckets_make_one_log(keyspace: Keyspace) -> None:
    settings = keyspace(8)

    async def work(author: Author, name: str) -> None:
        for n in range(12):
            while True:
                await author.refresh()
                try:
                    await author.say(f"{name}{n}")
                    break
                except Conflict:
                    continue

    async def run() -> None:
        async with Stage(settings) as stage:
            third = Author(await stage.harness.open())
            await asyncio.gather(work(stage.author, "a"), work(stage.rival, "b"), work(third, "c"))
            log = await stage.log()
            assert sorted(log[1:]) == sorted(f"{name}{n}" for name in "abc" for n in range(12))
            for name in "abc":
                assert [s for s in log if s[0] == name] == [f"{name}{n}" for n in range(12)]

    asyncio.run(run())


def test_a_message_as_large_as_one_may_be_is_taken(keyspace: Keyspace) -> None:
    settings = keyspace(1_000)

    async def run() -> None:
        async with Stage(settings) as stage:
            await stage.author.say(*(f"{n}" for n in range(60)), size=4_000)
            assert len(await stage.log()) == 61
            view = await stage.store.view(stage.author.group, OWNER)
            assert view is not None
            assert view.read == 61
            assert await stage.store.view(stage.author.group, OTHER) is not None

    asyncio.run(run())
