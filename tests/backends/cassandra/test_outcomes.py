"""A look-up of a send is three point reads whatever the length of the log, and the index behind it is complete."""

import asyncio
from collections.abc import Callable

import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings, connect
from folkmoot.model.send import SKIP, Appended, Refused
from folkmoot.ports.store import Conflict
from folkmoot.testing.cassandra_harness import CassandraHarness
from folkmoot.testing.store_suite import OWNER, Author

pytestmark = pytest.mark.cassandra

Keyspace = Callable[[int], CassandraSettings]


async def _long(harness: CassandraHarness, entries: int) -> Author:
    author = Author(await harness.open())
    await author.make()
    await author.say("oldest")
    await author.ask(author.a_send("refused", kind=SKIP))
    while author.state.head.seq < entries:
        await author.say(*(f"{author.state.head.seq}.{k}" for k in range(5)))
    return author


def test_the_oldest_outcome_costs_the_same_at_any_length(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = await _long(harness, 30)
        costs = []
        for upto in (30, 120):
            while author.state.head.seq < upto:
                await author.say(*(f"{author.state.head.seq}.{k}" for k in range(5)))
            store = await harness.open_store()
            await store.head(author.group)
            await store.outcomes(author.group, [(OWNER, "warm")])
            before = store.statistics()["requests"]
            found = await store.outcomes(author.group, [(OWNER, "oldest")])
            assert isinstance(found[(OWNER, "oldest")], Appended)
            # This bucket, the one before, the index; and the entry itself, for its digest.
            costs.append(store.statistics()["requests"] - before)
        assert costs == [4, 4]
        await harness.close()

    asyncio.run(run())


def test_the_index_is_complete_before_the_second_bucket_after_is_open(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = await _long(harness, 40)
        # Five buckets are open, 0 to 4 or 5: those up to the third last are in the index, though nobody waited for it.
        newest = author.state.head.seq // 8
        driver = await connect(harness.settings, keyspace=harness.settings.keyspace)
        for bucket in range(newest - 1):
            rows = await driver.read(
                "SELECT key, at_seq, code FROM log WHERE group_id = ? AND bucket = ? AND slot = 0",
                (author.group, bucket),
            )
            assert len(rows) >= 7
            for key, at_seq, code in rows:
                found = await driver.read(
                    "SELECT at_seq, code FROM outcomes WHERE group_id = ? AND key = ?", (author.group, key)
                )
                assert found == [(at_seq, code)]
        await driver.close()
        await harness.close()

    asyncio.run(run())


def test_an_outcome_in_any_bucket_is_kept(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = await _long(harness, 40)
        log = await author.log()
        author.store = await harness.open()
        for send_id in ["refused", *(entry.send_id for entry in log[1:])]:
            with pytest.raises(Conflict):
                await author.store.append(author.write(author.a_send(send_id, body={"text": "again"})))
        found = await author.store.outcomes(author.group, [(OWNER, e.send_id) for e in log] + [(OWNER, "refused")])
        assert found.pop((OWNER, "refused")) == Refused("skipped")
        assert found == {(OWNER, e.send_id): Appended(e.seq, e.kind, e.digest, e.salt) for e in log}
        await harness.close()

    asyncio.run(run())


def test_somebody_elses_last_write_is_seen_by_who_wrote_before(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        author = await _long(harness, 3)
        rival = Author(await harness.open())
        await rival.refresh()
        for n in range(20):
            writer, other = (author, rival) if n % 2 else (rival, author)
            await writer.refresh()
            await writer.say(f"by{n}")
            found = await other.store.outcomes(author.group, [(OWNER, f"by{n}"), (OWNER, f"by{n + 1}")])
            assert list(found) == [(OWNER, f"by{n}")]
        await harness.close()

    asyncio.run(run())
