"""The tables in memory answer as a real Cassandra does: each of these is asked of both, where one of those is there."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import pytest

from folkmoot.backends.cassandra.driver import Driver, connect
from folkmoot.ports.store import StoreAway
from folkmoot.testing.cassandra_tables import Tables, TablesDriver
from folkmoot.testing.cql import CqlUnknown

Test: TypeAlias = Callable[[Driver], Awaitable[None]]
OnBoth: TypeAlias = Callable[[Test], None]

ROW = "SELECT slot, key, at_seq, code FROM log WHERE group_id = 'g' AND bucket = 0"
EVERYTHING = "SELECT * FROM log WHERE group_id = 'g' AND bucket = 0"
PUT = "INSERT INTO log (group_id, bucket, slot, key, at_seq) VALUES ('g', 0, ?, ?, ?)"
GROUP = "SELECT bucket, name FROM groups WHERE group_id = 'g'"
SET_NAME = "UPDATE groups USING TIMESTAMP ? SET name = ? WHERE group_id = 'g'"
SET_BUCKET = "UPDATE groups USING TIMESTAMP ? SET bucket = ? WHERE group_id = 'g'"
DROP = "DELETE FROM groups USING TIMESTAMP ? WHERE group_id = 'g'"
MAKE = "INSERT INTO groups (group_id) VALUES ('g') USING TIMESTAMP ?"


@pytest.fixture(params=["in memory", pytest.param("real", marks=pytest.mark.cassandra)])
def on_both(request: pytest.FixtureRequest) -> OnBoth:
    """Runs a test on tables in memory, and on those of a real Cassandra."""
    settings = None if request.param == "in memory" else request.getfixturevalue("keyspace")(8)

    def run(test: Test) -> None:
        async def body() -> None:
            if settings is None:
                driver: Driver = TablesDriver(Tables())
            else:
                driver = await connect(settings, keyspace=settings.keyspace)
            try:
                await test(driver)
            finally:
                await driver.close()

        asyncio.run(body())

    return run


def test_of_each_cell_the_last_write_counts_whenever_it_comes(on_both: OnBoth) -> None:
    async def test(driver: Driver) -> None:
        assert await driver.read(GROUP, ()) == []
        await driver.write(SET_NAME, (5, "five"))
        await driver.write(SET_BUCKET, (3, 3))
        await driver.write(SET_NAME, (4, "four"))
        await driver.write(SET_BUCKET, (7, 7))
        assert await driver.read(GROUP, ()) == [(7, "five")]
        # Of two at once the larger, and nothing at all before any.
        await driver.write(SET_NAME, (5, "eleven"))
        assert await driver.read(GROUP, ()) == [(7, "five")]
        await driver.write(SET_NAME, (5, "six"))
        await driver.write(SET_BUCKET, (7, 10))
        assert await driver.read(GROUP, ()) == [(10, "six")]
        await driver.write(SET_NAME, (5, None))
        await driver.write(SET_NAME, (5, "zzz"))
        assert await driver.read(GROUP, ()) == [(10, None)]

    on_both(test)


def test_a_row_is_there_by_a_cell_or_by_having_been_inserted(on_both: OnBoth) -> None:
    async def test(driver: Driver) -> None:
        await driver.write(SET_NAME, (5, "there"))
        await driver.write(SET_NAME, (6, None))
        assert await driver.read(GROUP, ()) == []
        await driver.write(MAKE, (3,))
        assert await driver.read(GROUP, ()) == [(None, None)]
        await driver.write(DROP, (3,))
        assert await driver.read(GROUP, ()) == []
        await driver.write(SET_BUCKET, (3, 1))
        await driver.write(MAKE, (2,))
        assert await driver.read(GROUP, ()) == []
        await driver.write(SET_BUCKET, (4, 1))
        assert await driver.read(GROUP, ()) == [(1, None)]

    on_both(test)


def test_rows_come_in_the_order_of_their_keys_within_their_bounds(on_both: OnBoth) -> None:
    async def test(driver: Driver) -> None:
        keys = [(2, ""), (0, "b"), (-1, "a"), (0, "a"), (0, "Z"), (0, "é"), (0, "\uffee"), (0, "😀"), (10, "")]
        await driver.write_all([(PUT, (*key, n)) for n, key in enumerate(keys)])
        in_order = sorted(keys)
        assert [row[:2] for row in await driver.read(ROW, ())] == in_order
        assert [row[:2] for row in await driver.read(f"{ROW} LIMIT ?", (3,))] == in_order[:3]
        assert [row[1] for row in await driver.read(f"{ROW} AND slot = 0 AND key > ?", ("a",))] == [
            "b", "é", "\uffee", "😀",
        ]  # fmt: skip
        found = await driver.read(f"{ROW} AND slot >= ? AND slot <= ? LIMIT ?", (-5, 2, 100))
        assert [row[:2] for row in found] == in_order[:-1]
        found = await driver.read(f"{ROW} AND (slot, key) IN ?", ([(10, ""), (0, "a"), (0, "none"), (0, "a")],))
        assert found == [(0, "a", 3, None), (10, "", 8, None)]
        assert await driver.read(ROW.replace("bucket = 0", "bucket = 1"), ()) == []

    on_both(test)


def test_all_partitions_come_once_page_by_page(on_both: OnBoth) -> None:
    async def test(driver: Driver) -> None:
        put = "INSERT INTO log (group_id, bucket, slot, key) VALUES (?, ?, ?, '')"
        partitions = [(f"g{n}", bucket) for n in range(7) for bucket in range(3)]
        await driver.write_all([(put, (*partition, slot)) for partition in partitions for slot in (1, 2)])
        first = "SELECT DISTINCT group_id, bucket FROM log"
        rows = found = await driver.read(f"{first} LIMIT ?", (4,))
        while len(rows) == 4:
            rows = await driver.read(f"{first} WHERE token(group_id, bucket) > token(?, ?) LIMIT ?", (*rows[-1], 4))
            found = found + rows
        assert sorted(found) == partitions
        assert len(await driver.run("SELECT * FROM log LIMIT 1")) == 1
        assert len((await driver.run("SELECT * FROM log LIMIT 1"))[0]) == 19

    on_both(test)


def test_a_conditional_batch_happens_whole_or_not_at_all(on_both: OnBoth) -> None:
    async def test(driver: Driver) -> None:
        where = "WHERE group_id = 'g' AND bucket = 0 AND slot = -2 AND key = ''"
        move = f"UPDATE log SET writes = ?, hash = ? {where} IF writes = ? AND hash = ?"
        opening = (
            "INSERT INTO log (group_id, bucket, slot, key, writes, hash) VALUES ('g', 0, -2, '', ?, ?) IF NOT EXISTS"
        )
        once = f"{PUT} IF NOT EXISTS"

        async def held() -> list[tuple[Any, ...]]:
            return await driver.read(f"{ROW} AND slot >= ?".replace("code", "writes"), (-2,))

        applied, rows = await driver.decide((move, (1, b"1", 0, b"0")))
        assert (applied, rows[0][0]) == (False, False)
        assert await held() == []
        assert (await driver.decide((opening, (0, b"0"))))[0]
        applied, rows = await driver.decide((opening, (5, b"5")))
        assert not applied
        assert {"g", 0, -2, "", b"0"} <= set(rows[0][1:])
        assert (await driver.decide((move, (1, b"1", 0, b"0")), (once, (0, "a", 7)), (PUT, (1, "", 1))))[0]
        assert await held() == [(-2, "", None, 1), (0, "a", 7, None), (1, "", 1, None)]
        for statements in (
            [(move, (2, b"2", 1, b"0")), (PUT, (2, "", 2))],
            [(move, (2, b"2", 1, b"1")), (once, (0, "b", 8)), (once, (0, "a", 9)), (PUT, (2, "", 2))],
        ):
            applied, rows = await driver.decide(*statements)
            assert (applied, rows[0][0]) == (False, False)
            assert await held() == [(-2, "", None, 1), (0, "a", 7, None), (1, "", 1, None)]
        assert (await driver.decide((move, (2, b"2", 1, b"1")), (PUT, (1, "", 5))))[0]
        assert await held() == [(-2, "", None, 2), (0, "a", 7, None), (1, "", 5, None)]
        assert await driver.read(f"{ROW} AND slot = 0", (), serial=True) == [(0, "a", 7, None)]

    on_both(test)


def test_whether_a_row_exists_is_a_condition_too(on_both: OnBoth) -> None:
    async def test(driver: Driver) -> None:
        new = ("INSERT INTO users (user, version) VALUES ('u', ?) IF NOT EXISTS", (1,))
        gone = ("DELETE FROM users WHERE user = 'u' IF EXISTS", ())
        assert [(await driver.decide(one))[0] for one in (gone, new, new, gone, gone, new)] == [
            False, True, False, True, False, True,
        ]  # fmt: skip

    on_both(test)


@pytest.mark.cassandra
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_asked_both_answer_the_same(seed: int, keyspace: Callable[[int], Any]) -> None:
    """Statements as they come: writes of few keys, under few timestamps, and after each what there is."""
    settings, draw = keyspace(8), random.Random(seed)

    async def run() -> None:
        real, ours = await connect(settings, keyspace=settings.keyspace), TablesDriver(Tables())
        try:
            for _ in range(150):
                for statement in (_drawn_change(draw), _drawn_decision(draw)):
                    asked = [await _asked(driver, *statement) for driver in (real, ours)]
                    assert asked[0] == asked[1], statement
        finally:
            # Tables that look empty are not emptied for the next test, and tombstones are not seen.
            await real.write(SET_BUCKET, (9, 9))
            await real.close()

    asyncio.run(run())


async def _asked(driver: Driver, cql: str, values: Sequence[Any], conditional: bool) -> tuple[bool, Any, Any]:
    applied = True
    if conditional:
        applied, _ = await driver.decide((cql, values))
    else:
        await driver.write(cql, values)
    return applied, await driver.read(GROUP, ()), await driver.read(EVERYTHING, ())


def _drawn_change(draw: random.Random) -> tuple[str, Sequence[Any], bool]:
    at = draw.randrange(1, 6)
    return draw.choice(
        [
            (SET_NAME, (at, draw.choice([None, "a", "b"])), False),
            (SET_BUCKET, (at, draw.choice([None, 1, 2])), False),
            (DROP, (at,), False),
            (MAKE, (at,), False),
        ]
    )


def _drawn_decision(draw: random.Random) -> tuple[str, Sequence[Any], bool]:
    slot, key, number = draw.randrange(2), draw.choice("ab"), draw.choice([None, 1, 2])
    row = "WHERE group_id = 'g' AND bucket = 0 AND slot = ? AND key = ?"
    return draw.choice(
        [
            (f"{PUT} IF NOT EXISTS", (slot, key, number), True),
            (f"UPDATE log SET at_seq = ?, code = ? {row} IF at_seq = ?", (number, key, slot, key, 1), True),
            (f"DELETE FROM log {row} IF EXISTS", (slot, key), True),
        ]
    )


@pytest.mark.parametrize(
    ("cql", "values"),
    [
        ("INSERT INTO nothing (a) VALUES (?)", ("a",)),
        ("INSERT INTO meta (name, other) VALUES ('a', ?)", ("a",)),
        ("INSERT INTO meta (value) VALUES (?)", ("a",)),
        ("INSERT INTO meta (name, value) VALUES (?, ?)", (None, "a")),
        ("INSERT INTO meta (name, value) VALUES (?, ?)", ("a", 1)),
        ("INSERT INTO meta (name, value) VALUES (?, ?)", ("a",)),
        ("INSERT INTO groups (group_id, bucket) VALUES ('g', ?)", (2**63,)),
        ("INSERT INTO groups (group_id, bucket) VALUES ('g', ?)", (True,)),
        ("INSERT INTO meta (name) VALUES ('a') IF NOT EXISTS", ()),
        ("DELETE FROM log WHERE group_id = 'g' AND bucket = 0", ()),
        ("UPDATE log SET code = ? WHERE group_id = 'g'", ("a",)),
        ("SELECT value FROM meta", ()),
    ],
)
def test_a_write_that_cassandra_would_not_take_is_raised(cql: str, values: Sequence[Any]) -> None:
    with pytest.raises(CqlUnknown):
        asyncio.run(TablesDriver(Tables()).write(cql, values))


@pytest.mark.parametrize(
    ("cql", "values"),
    [
        ("SELECT other FROM meta", ()),
        ("SELECT value FROM meta WHERE value = ?", ("a",)),
        (f"{ROW} AND key = ?", ("a",)),
        (f"{ROW} AND slot > ? AND key = ?", (1, "a")),
        (f"{ROW} AND at_seq = ?", (1,)),
        (f"{ROW} AND slot = ?", ("a",)),
        ("SELECT slot FROM log WHERE group_id = ?", ("g",)),
        ("SELECT slot FROM log WHERE group_id = ? AND bucket > ?", ("g", 1)),
        ("SELECT slot FROM log WHERE token(bucket, group_id) > token(?, ?)", (1, "g")),
        ("SELECT DISTINCT slot FROM log", ()),
        ("INSERT INTO meta (name) VALUES ('a')", ()),
    ],
)
def test_a_question_that_cassandra_would_not_take_is_raised(cql: str, values: Sequence[Any]) -> None:
    with pytest.raises(CqlUnknown):
        asyncio.run(TablesDriver(Tables()).read(cql, values))


@pytest.mark.parametrize(
    "statements",
    [
        [(PUT, (1, "", 1))],
        [(f"{PUT} IF NOT EXISTS", (1, "", 1)), ("INSERT INTO meta (name) VALUES ('a')", ())],
        [(f"{PUT} IF NOT EXISTS", (1, "", 1)), (PUT.replace("'g', 0", "'g', 1"), (1, "", 1))],
        [(f"{PUT} IF NOT EXISTS USING TIMESTAMP 5", (1, "", 1))],
        [(f"{PUT} IF NOT EXISTS", (1, "", 1)), (f"{PUT} USING TIMESTAMP 5", (2, "", 1))],
        [("UPDATE meta SET value = 'a' WHERE name = 'a' IF name = 'a'", ())],
    ],
)
def test_a_decision_that_cassandra_would_not_take_is_raised(statements: list[tuple[str, Sequence[Any]]]) -> None:
    with pytest.raises(CqlUnknown):
        asyncio.run(TablesDriver(Tables()).decide(*statements))


def test_a_table_can_be_made_and_written_without_preparing_anything() -> None:
    async def run() -> None:
        driver = TablesDriver(Tables())
        for _ in range(2):
            await driver.run("CREATE TABLE IF NOT EXISTS mine (a int PRIMARY KEY, b text)")
        assert await driver.run("INSERT INTO mine (a, b) VALUES (1, 'one')") == []
        assert await driver.run("UPDATE mine SET b = 'two' WHERE a = 1 IF b = 'none'") == [(False, 1, "one")]
        assert await driver.run("SELECT * FROM mine") == [(1, "one")]

    asyncio.run(run())


def test_identical_reads_share_one_and_a_closed_session_says_so() -> None:
    async def run() -> None:
        driver = TablesDriver(Tables())
        await asyncio.gather(*(driver.read(GROUP, ()) for _ in range(9)))
        assert (driver.requests, driver.shared) == (2, 7)
        await driver.close()
        for asked in (driver.read(GROUP, ()), driver.write(DROP, (1,)), driver.decide((MAKE, (1,))), driver.run(GROUP)):
            with pytest.raises(StoreAway, match="closed"):
                await asked

    asyncio.run(run())
