"""A copy that is stopped anywhere goes on; what is not alike, damaged or in use is refused, and nothing is sealed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.memory.transfer import MemoryTransfer
from folkmoot.model.send import SKIP
from folkmoot.node.copy import TRIES_MAX, Copied, CopyFailed, Side, copy_store
from folkmoot.ports.accounts import ApiKey, Profile
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import Conflict, MovedPointer, StoreAway, StoreUnknown, Write
from folkmoot.ports.transfer import Custody
from folkmoot.testing.store_suite import OTHER, OWNER, Author


class Killed(Exception):
    """The process ends here."""


class Hurried(SystemClock):
    """Waits for nothing, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.waits = 0

    async def sleep(self, seconds: float) -> None:
        self.waits += 1


def side(name: str, disk: Disk) -> Side:
    return Side(name, MemoryStore(disk, bucket_size=8), MemoryAccounts(disk), MemoryTransfer(disk))


async def filled() -> Disk:
    disk = Disk(epoch=5)
    store = MemoryStore(disk)
    for name in ("one", "two"):
        author = Author(store, name)
        await author.make(OTHER)
        await author.say(*(f"m{n}" for n in range(30)))
        await author.ask(author.a_send("no", kind=SKIP, body={}))
        await store.move_pointers([MovedPointer(author.group, OTHER, 5, 4)])
    accounts = MemoryAccounts(disk)
    await accounts.put_profile(Profile(user=OTHER, name="Other", changed_ms=3))
    await accounts.sign_out(OWNER, "phone", at_ms=4)
    await accounts.put_key(
        ApiKey(id="k", name="n", secret_hash=b"h", scopes=(), requests_per_s=1, created_ms=1, revoked_ms=None)
    )
    return disk


async def copied(source: Disk, target: Disk, clock: SystemClock | None = None) -> Copied:
    sides = side("here", source), side("there", target)
    return await copy_store(*sides, clock or Hurried(), new_copy="c1")


class Failing:
    """An object whose calls are counted, and raise from the call `at` on."""

    def __init__(self, inner: Any, calls: list[int], error: Callable[[], Exception], at: int, times: int) -> None:
        self._inner, self._calls, self._error, self._at, self._times = inner, calls, error, at, times

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        async def counted(*given: Any, **named: Any) -> Any:
            self._calls[0] += 1
            if self._at <= self._calls[0] < self._at + self._times:
                raise self._error()
            return await call(*given, **named)

        return counted


def failing(whole: Side, at: int, error: Callable[[], Exception] = Killed, times: int = 1_000_000) -> Side:
    calls = [0]
    parts = [Failing(part, calls, error, at, times) for part in (whole.store, whole.accounts, whole.transfer)]
    return Side(whole.name, *parts)


@pytest.mark.parametrize("which", ["source", "target"])
def test_killed_at_any_call_it_goes_on_and_never_are_both_served(which: str) -> None:
    async def run() -> None:
        whole = await copied(await filled(), Disk())
        at = 0
        while True:
            at += 1
            source, target = await filled(), Disk()
            here, there = side("here", source), side("there", target)
            here, there = (failing(here, at), there) if which == "source" else (here, failing(there, at))
            try:
                await copy_store(here, there, Hurried(), new_copy="c0")
                break
            except Killed:
                served = [source.custody.part in ("none", "source"), target.custody.part == "none"]
                # An empty target is nobody's second log.
                assert served != [True, True] or not target.records
                if source.custody.part != "sealed" or target.custody.part == "target":
                    assert await copied(source, target) == whole
            assert (source.custody.part, target.custody.part) == ("sealed", "none")
        assert at > 30

    asyncio.run(run())


@pytest.mark.parametrize("error", [StoreUnknown, lambda: Conflict("g")])
def test_a_target_that_does_not_answer_is_asked_again_from_where_it_stands(error: Callable[[], Exception]) -> None:
    async def run() -> None:
        whole = await copied(await filled(), Disk())

        class Lossy(MemoryStore):
            """Every third write happens and is not answered."""

            writes = 0

            async def append(self, write: Write) -> Any:
                head = await super().append(write)
                self.writes += 1
                if self.writes % 3 == 0:
                    raise error()
                return head

        disk, clock = Disk(), Hurried()
        there = Side("there", Lossy(disk, bucket_size=8), MemoryAccounts(disk), MemoryTransfer(disk))
        assert await copy_store(side("here", await filled()), there, clock, new_copy="c1") == whole
        assert clock.waits > 2

    asyncio.run(run())


def test_one_that_never_answers_or_is_away_ends_it_with_a_word_and_nothing_is_sealed() -> None:
    async def run() -> None:
        class Mute(MemoryStore):
            async def append(self, write: Write) -> Any:
                raise StoreUnknown("timed out")

        source, disk, clock = await filled(), Disk(), Hurried()
        there = Side("there", Mute(disk), MemoryAccounts(disk), MemoryTransfer(disk))
        with pytest.raises(CopyFailed, match="does not take it: timed out"):
            await copy_store(side("here", source), there, clock, new_copy="c1")
        assert clock.waits == 2 * (TRIES_MAX - 1)
        assert source.custody.part == "source"
        away = failing(side("there", Disk()), 3, lambda: StoreAway("closed"))
        with pytest.raises(CopyFailed, match=r"cannot be used: closed; run the same command again"):
            await copy_store(side("here", source), away, clock, new_copy="c1")

    asyncio.run(run())


def test_what_was_copied_is_sealed_and_goes_to_nobody_else() -> None:
    async def run() -> None:
        source, target = await filled(), Disk()
        await copied(source, target)
        with pytest.raises(CopyFailed, match="here was copied to there before"):
            await copied(source, Disk())
        with pytest.raises(CopyFailed, match="here was copied to there before"):
            await copied(source, target)

    asyncio.run(run())


def test_a_target_that_has_other_data_and_a_source_that_is_not_whole_are_refused() -> None:
    async def run() -> None:
        source, other = await filled(), await filled()
        records = list(other.records)
        with pytest.raises(CopyFailed, match="there cannot be copied into"):
            await copied(source, other)
        assert (other.records, other.custody) == (records, Custody())
        half = Disk()
        await MemoryTransfer(half).claim(Custody(part="target", copy="c9", other="elsewhere"), 5)
        with pytest.raises(CopyFailed, match="here is itself not whole: the copy from elsewhere"):
            await copied(half, Disk())
        with pytest.raises(CopyFailed, match="there cannot be copied into"):
            await copied(source, half)

    asyncio.run(run())


def test_messages_that_came_between_two_tries_come_along() -> None:
    async def run() -> None:
        source, target = await filled(), Disk()
        sides = side("here", source), failing(side("there", target), 30)
        with pytest.raises(Killed):
            await copy_store(*sides, Hurried(), new_copy="c1")
        assert source.custody.part == "source"
        author = Author(MemoryStore(source), "one")
        await author.refresh()
        await author.say("later")
        assert (await copied(source, target)).entries == 63

    asyncio.run(run())


def test_a_log_that_does_not_chain_is_refused_by_its_number() -> None:
    async def run() -> None:
        source = await filled()
        for at, record in enumerate(source.records):
            if isinstance(record, Write) and len(record.entries) > 5:
                entries = list(record.entries)
                entries[3] = msgspec.structs.replace(entries[3], time_ms=77)
                source.records[at] = msgspec.structs.replace(record, entries=entries)
                break
        with pytest.raises(CopyFailed, match=r"entry 5 is not there or does not chain; folkmoot doctor --deep"):
            await copied(source, Disk())
        assert source.custody.part == "source"

    asyncio.run(run())


Spoil = Callable[[Side], Awaitable[None]]


async def _more_entries(there: Side) -> None:
    author = Author(there.store, "one")
    await author.refresh()
    await author.say("foreign")


async def _another_group(there: Side) -> None:
    await Author(there.store, "foreign").make()


async def _another_refusal(there: Side) -> None:
    author = Author(there.store, "one")
    await author.refresh()
    await author.ask(author.a_send("foreign", kind=SKIP, body={}))


async def _another_pointer(there: Side) -> None:
    await there.store.move_pointers([MovedPointer(Author(there.store, "one").group, "user-9", 5, 2)])


async def _a_pointer_further(there: Side) -> None:
    await there.store.move_pointers([MovedPointer(Author(there.store, "one").group, OTHER, 5, 9)])


async def _another_profile(there: Side) -> None:
    await there.accounts.put_profile(Profile(user=OTHER, name="Else", changed_ms=30))


async def _another_user(there: Side) -> None:
    await there.accounts.set_active("user-9", False, at_ms=1)


async def _another_standing(there: Side) -> None:
    await there.accounts.set_active(OWNER, False, at_ms=1)


async def _a_revoked_key(there: Side) -> None:
    await there.accounts.revoke_key("k", at_ms=1)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_more_entries, "holds another log|head of the target|does not chain"),
        (_another_group, "3 groups, the source 2"),
        (_another_refusal, "3 refusals, the source 2"),
        (_another_pointer, "the target has user-9 at 2, the source at 0"),
        (_a_pointer_further, "the target has user-2 at 9, the source at 4"),
        (_another_profile, "profiles are not alike"),
        (_another_user, "3 users, the source 2"),
        (_another_standing, "whether user-1 may come in"),
        (_a_revoked_key, "the API key k"),
    ],
)
def test_whatever_is_not_alike_is_found_and_nothing_is_sealed(spoil: Spoil, why: str) -> None:
    async def run() -> None:
        source, target = await filled(), Disk()
        there = side("there", target)

        # All is copied, and the process ends before it is compared; then something else writes.
        def doing(what: str, _: int) -> None:
            if what == "comparing":
                raise Killed

        with pytest.raises(Killed):
            await copy_store(side("here", source), there, Hurried(), new_copy="c1", on_progress=doing)
        await spoil(side("there", target))
        with pytest.raises(CopyFailed, match=why):
            await copied(source, target)
        assert (source.custody.part, target.custody.part) == ("source", "target")

    asyncio.run(run())
