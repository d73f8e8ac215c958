"""Of three copies any two have what was answered; what was decided happens; a lot is drawn by what is said."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from folkmoot.backends.cassandra.driver import Statement
from folkmoot.ports.store import StoreAway, StoreUnknown
from folkmoot.testing.cassandra_replicas import PAIRS, Rates, Replicas, ReplicasDriver
from folkmoot.testing.virtual_loop import VirtualLoop

HEAD = "SELECT writes FROM log WHERE group_id = 'g' AND bucket = 0 AND slot = -2"
BOTH = "SELECT slot FROM log WHERE group_id = 'g' AND bucket = 0 AND slot >= ?"
OPEN = "INSERT INTO log (group_id, bucket, slot, key, writes) VALUES ('g', 0, -2, '', ?) IF NOT EXISTS"
MOVE = "UPDATE log SET writes = ? WHERE group_id = 'g' AND bucket = 0 AND slot = -2 AND key = '' IF writes = ?"
ENTRY = "INSERT INTO log (group_id, bucket, slot, key) VALUES ('g', 0, ?, '')"
META = "INSERT INTO meta (name, value) VALUES ('a', ?)"
VALUE = "SELECT value FROM meta WHERE name = 'a'"
ALL = (0, 1, 2)


def replicas() -> Replicas:
    made = Replicas(VirtualLoop(1), 1)
    made.decide([(OPEN, (0,))], PAIRS[0], ALL)
    return made


def append(n: int) -> list[Statement]:
    return [(MOVE, (n, n - 1)), (ENTRY, (n,))]


def test_what_is_decided_happens_though_no_copy_has_it_yet() -> None:
    one = replicas()
    assert one.decide(append(1), (0, 1), ()) == [(True,)]
    assert one.read(HEAD, (), (0, 1), serial=False) == [(0,)]
    assert one.read(HEAD, (), (1, 2), serial=True) == [(1,)]
    assert [one.read(BOTH, (0,), pair, serial=False) for pair in PAIRS] == [[(1,)]] * 3
    # The next decision sees to it too, and is one on what it left.
    assert one.decide(append(2), (0, 1), ()) == [(True,)]
    assert one.decide(append(2), (1, 2), ALL)[0][0] is False
    assert one.read(BOTH, (-2,), (0, 1), serial=False) == [(-2,), (1,), (2,)]


def test_a_read_repairs_what_it_looked_at_and_nothing_else() -> None:
    one = replicas()
    one.decide(append(1), (0, 1), (0,))
    assert one.read(HEAD, (), (1, 2), serial=False) == [(0,)]
    assert one.read(HEAD, (), (0, 1), serial=False) == [(1,)]
    assert one.read(BOTH, (-2,), (1, 2), serial=False) == [(-2,)]
    assert one.read(HEAD, (), (1, 2), serial=False) == [(1,)]
    assert one.read(BOTH, (-2,), (1, 2), serial=True) == [(-2,), (1,)]


def run(rates: Rates, work: Callable[[Replicas, ReplicasDriver], Coroutine[Any, Any, None]], seed: int = 1) -> Replicas:
    loop = VirtualLoop(seed)
    one = Replicas(loop, seed)
    one.rates = rates
    process = loop.process("router")
    loop.run(work(one, ReplicasDriver(one, process, "router")))
    return one


@pytest.mark.parametrize("seed", range(5))
def test_what_was_answered_is_read_whichever_copies_have_it(seed: int) -> None:
    async def work(_: Replicas, driver: ReplicasDriver) -> None:
        assert (await driver.decide((OPEN, (0,))))[0]
        for n in range(1, 9):
            assert (await driver.decide(*append(n)))[0]
            await driver.write(META, (str(n),))
            assert await driver.read(HEAD, ()) == [(n,)]
            assert await driver.read(VALUE, ()) == [(str(n),)]
        assert not (await driver.decide(*append(5)))[0]
        assert await driver.run("SELECT name FROM meta") == [("a",)]

    run(Rates(slow=0.3), work, seed)


@pytest.mark.parametrize(
    ("rates", "kind", "now", "later"),
    [
        (Rates(away=1.0), StoreAway, 0, 0),
        (Rates(lost=1.0), StoreUnknown, 0, 0),
        (Rates(late=1.0), StoreUnknown, 0, 1),
        (Rates(unheard=1.0), StoreUnknown, 1, 1),
    ],
)
def test_a_decision_is_struck_in_four_ways(rates: Rates, kind: type[Exception], now: int, later: int) -> None:
    async def work(one: Replicas, driver: ReplicasDriver) -> None:
        one.rates = Rates()
        await driver.decide((OPEN, (0,)))
        one.rates = rates
        with pytest.raises(kind):
            await driver.decide(*append(1))
        one.rates = Rates()
        assert await driver.read(HEAD, (), serial=True) == [(now,)]
        await asyncio.sleep(5.0)
        assert await driver.read(HEAD, (), serial=True) == [(later,)]

    assert sum(run(rates, work).struck.values()) == 1


def test_a_read_that_is_refused_and_a_session_that_is_closed_are_away() -> None:
    async def work(_: Replicas, driver: ReplicasDriver) -> None:
        with pytest.raises(StoreAway):
            await driver.read(HEAD, ())
        await driver.close()
        for asked in (driver.read(HEAD, ()), driver.write(META, ("a",)), driver.decide((OPEN, (0,)))):
            with pytest.raises(StoreAway, match="closed"):
                await asked

    run(Rates(away=1.0), work)


def test_what_is_late_has_the_timestamp_of_when_it_was_said() -> None:
    async def work(one: Replicas, driver: ReplicasDriver) -> None:
        one.rates = Rates(late=5.0)
        with pytest.raises(StoreUnknown):
            await driver.write(META, ("late",))
        one.rates = Rates()
        await driver.write(META, ("newer",))
        await asyncio.sleep(5.0)
        assert await driver.read(VALUE, ()) == [("newer",)]
        assert one.struck == {"late": 1}

    run(Rates(), work)


def test_what_cannot_be_understood_is_raised_where_it_was_asked() -> None:
    async def work(_: Replicas, driver: ReplicasDriver) -> None:
        with pytest.raises(Exception, match="no such column"):
            await driver.read("SELECT other FROM meta", ())

    run(Rates(), work)


def test_a_lot_does_not_hang_on_the_order_in_which_things_are_said() -> None:
    def told(values: Sequence[Any]) -> list[float]:
        one = replicas()
        drawn = {value: one.draws("router", value).draw() for value in values}
        drawn |= {f"{value} again": one.draws("router", value).draw() for value in values}
        return [drawn[name] for name in sorted(drawn)]

    assert told("abc") == told("cab")
    assert len(set(told("abc"))) == 6
