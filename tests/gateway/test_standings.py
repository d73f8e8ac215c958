"""What is known of users and keys: kept for a while, dropped when it moves, and never older than the last word."""

import asyncio

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.gateway.standings import AGE_S_MAX, Kept, Standings
from folkmoot.ports.accounts import ApiKey
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.subjects import StandingMoved


class HandClock(SystemClock):
    def __init__(self) -> None:
        self.s = 5.0

    def monotonic_s(self) -> float:
        return self.s


class Source:
    """Values by name, which can be held back; it counts how often it was read."""

    def __init__(self) -> None:
        self.values: dict[str, str | None] = {}
        self.reads: list[str] = []
        self.begun = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, name: str) -> str | None:
        value = self.values.get(name)
        self.reads.append(name)
        self.begun.release()
        await self.gate.wait()
        return value


def kept(source: Source, clock: HandClock | None = None, rows_max: int = 3) -> Kept[str | None]:
    return Kept(source.read, clock or HandClock(), rows_max=rows_max)


def test_a_value_is_read_once_while_it_is_young() -> None:
    async def run() -> None:
        source, clock = Source(), HandClock()
        source.values["a"] = "1"
        known = kept(source, clock)
        assert [await known.of("a"), await known.of("a")] == ["1", "1"]
        assert source.reads == ["a"]
        clock.s += AGE_S_MAX
        assert await known.of("a") == "1"
        assert source.reads == ["a", "a"]

    asyncio.run(run())


def test_what_moved_is_read_again() -> None:
    async def run() -> None:
        source = Source()
        source.values["a"] = source.values["b"] = "1"
        known = kept(source)
        await known.of("a")
        await known.of("b")
        source.values["a"] = "2"
        known.drop("a")
        assert [await known.of("a"), await known.of("b")] == ["2", "1"]
        assert source.reads == ["a", "b", "a"]
        known.drop_all()
        await known.of("b")
        assert source.reads[3:] == ["b"]

    asyncio.run(run())


def test_what_moves_while_it_is_read_is_read_again_before_it_is_believed() -> None:
    async def run() -> None:
        source = Source()
        source.values["a"] = "old"
        known = kept(source)
        source.gate.clear()
        waiting = [asyncio.create_task(known.of("a")) for _ in range(2)]
        for _ in waiting:
            await source.begun.acquire()
        source.values["a"] = "new"
        known.drop_all()
        source.gate.set()
        assert await asyncio.gather(*waiting) == ["new", "new"]
        assert await known.of("a") == "new"

    asyncio.run(run())


def test_what_moves_between_the_read_and_who_waits_for_it_is_read_again() -> None:
    async def run() -> None:
        source = Source()
        source.values["a"] = "old"
        known = kept(source)
        source.gate.clear()
        waiting = asyncio.create_task(known.of("a"))
        await source.begun.acquire()
        source.values["a"] = "new"
        source.gate.set()  # Its waiter is woken in the next step of the loop, and not before this one ends.
        known.drop("a")
        assert await waiting == "new"

    asyncio.run(run())


def test_the_least_used_goes_first_and_what_is_not_there_takes_no_place() -> None:
    async def run() -> None:
        source = Source()
        known = kept(source)
        source.values |= {"a": "1", "b": "1", "c": "1", "d": "1"}
        for name in ("a", "b", "c", "a", "d", "nobody", "nobody"):
            await known.of(name)
        source.reads.clear()
        for name in ("a", "c", "d"):
            await known.of(name)
        assert source.reads == []
        await known.of("b")
        assert source.reads == ["b"]
        # Who comes to be is seen at once.
        source.values["nobody"] = "someone"
        assert await known.of("nobody") == "someone"

    asyncio.run(run())


def test_a_word_of_the_bus_drops_the_user_or_the_key_it_names() -> None:
    async def run() -> None:
        accounts = MemoryAccounts(Disk())
        standings = Standings(accounts, HandClock())
        key = ApiKey(id="k", name="n", secret_hash=b"h", scopes=("read",), requests_per_s=1.0, created_ms=0)
        await accounts.put_key(key)
        assert (await standings.of("user-1")).active
        assert await standings.key("k") == key
        await accounts.set_active("user-1", False, at_ms=5)
        await accounts.revoke_key("k", at_ms=5)
        assert (await standings.of("user-1")).active
        standings.moved(StandingMoved(user="user-1"))
        assert not (await standings.of("user-1")).active
        assert await standings.key("k") == key
        standings.moved(StandingMoved(key="k"))
        revoked = await standings.key("k")
        assert revoked is not None
        assert revoked.revoked_ms == 5
        await accounts.set_active("user-1", True, at_ms=6)
        standings.all_moved()
        assert (await standings.of("user-1")).active

    asyncio.run(run())
