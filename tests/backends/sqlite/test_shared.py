"""One file, several processes: read where it is not written, and what readers write carried out by the writer."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.sqlite.shared import WritesOfOthers, open_shared
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.model.membership import Span
from folkmoot.ports.accounts import ApiKey, Profile
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import MovedPointer, StoreAway, StoreFull, StoreUnknown
from folkmoot.testing.store_suite import OTHER, OWNER, Author


class House:
    """A store, a reader of it, and the bus between them."""

    def __init__(self, bus: MemoryBus, store: SqliteStore, shared: SqliteStore) -> None:
        self.bus = bus
        self.store = store
        self.shared = shared
        self.writes = WritesOfOthers(bus, store)


def run(tmp_path: Path, test: Callable[[House], Awaitable[None]]) -> None:
    async def body() -> None:
        bus = MemoryBus()
        store = await SqliteStore.open(tmp_path / "folkmoot.db", clock=SystemClock())
        shared = await open_shared(tmp_path / "folkmoot.db", bus, clock=SystemClock())
        house = House(bus, store, shared)
        house.writes.start()
        try:
            async with asyncio.timeout(20):
                await test(house)
        finally:
            await house.writes.stop()
            await shared.close()
            await store.close()

    asyncio.run(body())


def test_what_the_writer_answered_is_read_at_once(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        author = Author(house.store)
        await author.make(OTHER)
        for number in range(20):
            await author.say(f"text {number}")
            head = await house.shared.head(author.group)
            assert head is not None
            assert head.seq == author.state.head.seq
        assert await house.shared.epoch() == await house.store.epoch()
        page = await house.shared.read(author.group, Span(1, None), entries_max=100, bytes_max=10**6)
        assert page == await author.log()

    run(tmp_path, test)


def test_pointers_and_accounts_are_written_by_the_writer(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        author = Author(house.store)
        await author.make(OTHER)
        await author.say("a")
        await house.shared.move_pointers([])
        await house.shared.move_pointers([MovedPointer(author.group, OTHER, 1, 2)] * 1_500)
        view = await house.store.view(author.group, OTHER)
        assert view is not None
        assert view.read == 2
        accounts = house.shared.accounts
        await accounts.put_profile(Profile(user=OWNER, name="One"))
        await accounts.set_active(OTHER, False, at_ms=5)
        await accounts.sign_out(OWNER, "phone", at_ms=7)
        key = ApiKey(id="k", name="n", secret_hash=b"h", scopes=("read",), requests_per_s=1.0, created_ms=1)
        await accounts.put_key(key)
        await accounts.revoke_key("k", at_ms=9)
        for reader in (house.store.accounts, accounts):
            assert (await reader.profiles([OWNER]))[OWNER].name == "One"
            assert not (await reader.standing(OTHER)).active
            assert (await reader.standing(OWNER)).devices_out == {"phone": 7}
            kept = await reader.key("k")
            assert kept is not None
            assert kept.revoked_ms == 9

    run(tmp_path, test)


def test_it_appends_nothing(tmp_path: Path) -> None:
    async def test(house: House) -> None:
        author = Author(house.store)
        await author.make()
        write = author.write(author.a_send("x", body={"text": "x"}))
        with pytest.raises(StoreAway, match="routes"):
            await house.shared.append(write)

    run(tmp_path, test)


@pytest.mark.parametrize("error", [StoreFull, StoreAway, StoreUnknown])
def test_the_writers_errors_come_back_as_they_are(tmp_path: Path, error: type[Exception]) -> None:
    async def test(house: House) -> None:
        async def fails(_: object) -> None:
            raise error("why")

        house.store.move_pointers = fails  # type: ignore[method-assign, assignment]
        with pytest.raises(error, match="why"):
            await house.shared.move_pointers([])

    run(tmp_path, test)


def test_without_an_answer_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("folkmoot.backends.sqlite.shared.WRITE_TIMEOUT_S", 0.05)

    async def test(house: House) -> None:
        await house.writes.stop()
        with pytest.raises(StoreUnknown, match="did not answer"):
            await house.shared.move_pointers([])

    run(tmp_path, test)


def test_a_file_that_is_not_there_yet_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="start that first"):
        asyncio.run(open_shared(tmp_path / "folkmoot.db", MemoryBus(), clock=SystemClock()))
    assert list(tmp_path.iterdir()) == []
