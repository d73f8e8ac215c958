"""A full disk, a disk that fails to sync, a power cut, and a process that is killed: what was answered stays."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.checker.logs import Unreadable, verify_store
from folkmoot.model.group import Head
from folkmoot.model.ids import GroupId
from folkmoot.model.send import SKIP, Appended, Refused, SendKey
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import MovedPointer, SchemaUnknown, StoreAway, StoreBroken, StoreFull, StoreUnknown
from folkmoot.testing.faulty_files import Cut, FaultyFiles, FaultyReserve
from folkmoot.testing.store_suite import OTHER, OWNER, Author


@contextlib.asynccontextmanager
async def opened(folder: Path, files: FaultyFiles | None = None, **options: Any) -> AsyncIterator[SqliteStore]:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    vfs = None if files is None else files.name
    options = dict[str, Any]({"clock": SystemClock(), "reserve_bytes": 0}) | options
    store = await SqliteStore.open(folder / "folkmoot.db", vfs=vfs, **options)
    try:
        yield store
    finally:
        await store.close()


async def is_whole(folder: Path) -> bool:
    """Whether nothing in the file contradicts itself."""
    try:
        report = await verify_store(folder / "folkmoot.db", [], lambda done, total: None)
    except Unreadable:
        return False
    return report.broken == []


class StillClock(SystemClock):
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


def test_a_full_disk_refuses_for_sure_goes_on_reading_and_recovers_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        files = FaultyFiles()
        async with opened(tmp_path, files) as store:
            authors = [Author(store, f"make{n}") for n in range(8)]
            for author in authors:
                await author.make()
                await author.say("before")
            files.full = True
            refused: list[tuple[Author, str]] = []

            async def fill(author: Author) -> None:
                for n in range(12):
                    try:
                        await author.say(f"full{n}", size=4_000)
                    except StoreFull:
                        refused.append((author, f"full{n}"))

            await asyncio.gather(*(fill(author) for author in authors))
            assert refused
            for author, send_id in refused:
                assert await store.outcomes(author.group, [(OWNER, send_id)]) == {}
            for author in authors:
                assert [entry.seq for entry in await author.log()] == list(range(1, author.state.head.seq + 1))
            with pytest.raises(StoreFull):
                await _point_everywhere(store, authors)
            files.full = False
            for author in authors:
                head = await author.say("after")
                assert (await author.log())[-1].send_id == "after"
                assert head == await store.head(author.group)
        assert await is_whole(tmp_path)

    asyncio.run(run())


async def _point_everywhere(store: SqliteStore, authors: list[Author]) -> None:
    for n in range(2_000):
        await store.move_pointers([MovedPointer(author.group, f"reader-{n}", 1, 1) for author in authors])


def test_a_log_that_cannot_be_copied_for_want_of_room_fails_no_commit(tmp_path: Path) -> None:
    async def run() -> None:
        files = FaultyFiles()
        async with opened(tmp_path, files, checkpoint_bytes=1) as store:
            author = Author(store)
            await author.make()
            with contextlib.suppress(StoreFull):
                # The log's file is there already and is written over: commits fit, the file they belong in is full.
                for n in range(200):
                    await author.say(f"a{n}", size=3_000)
                    files.full = n > 20
            assert store.statistics()["checkpoint_failures"] > 0
            assert await author.log() == await _read_elsewhere(tmp_path, author)
            files.full = False
            await author.say("after")
        assert await is_whole(tmp_path)

    asyncio.run(run())


async def _read_elsewhere(folder: Path, author: Author) -> object:
    from folkmoot.backends.sqlite.inspect import open_inspection

    with open_inspection(folder / "folkmoot.db") as seen:
        return [entry for entry, _ in seen.entries(author.group, 0, 10_000)]


def test_the_reserve_is_for_refusals_alone_and_is_set_aside_again(tmp_path: Path) -> None:
    async def run() -> None:
        files, clock = FaultyFiles(), StillClock()
        files.room_bytes = 600_000
        reserve = FaultyReserve(files, tmp_path / "reserve", 262_144)
        async with opened(tmp_path, files, clock=clock, reserve=reserve) as store:
            assert reserve.held
            author = Author(store)
            await author.make()
            await _filled(author)
            assert reserve.held  # An ordinary write does not get it.
            for n in range(300):
                await _refuse(author, f"no{n}")
            assert not reserve.held
            assert files.free_bytes() > 20_000
            with pytest.raises(StoreFull):  # Though it would fit: what is left is for refusals.
                await author.say("small")
            found = await store.outcomes(author.group, [(OWNER, f"no{n}") for n in range(300)])
            assert list(found.values()) == [Refused("skipped")] * 300
            files.room_bytes = 2_000_000
            with pytest.raises(StoreFull):
                await author.say("too soon to look again")
            clock.now_s += 1
            await author.say("room again")
            assert reserve.held
            assert not reserve.spent
        assert await is_whole(tmp_path)

    asyncio.run(run())


async def _refuse(author: Author, send_id: str) -> None:
    write = msgspec.structs.replace(author.write(author.a_send(send_id, kind=SKIP)), reserve=True)
    head = await author.store.append(write)
    author.state = msgspec.structs.replace(write.after, head=head)


@pytest.mark.parametrize("reads_first", [True, False])
@pytest.mark.parametrize("fault", ["syncs_fail", "writes_fail"])
def test_after_an_io_error_nobody_is_told_what_nobody_knows_and_then_what_is_there_counts(
    tmp_path: Path, fault: str, reads_first: bool
) -> None:
    async def run() -> None:
        files = FaultyFiles()
        async with opened(tmp_path, files) as store:
            author = Author(store)
            await author.make()
            await author.say("before")
            if reads_first:
                await author.refresh()  # A reader holds the file open all the while.
            # The first fails the commit, the others the opening again: it tries until it can.
            setattr(files, fault, 3)
            with pytest.raises(StoreUnknown):
                await author.say("unknown")
            seq = await _once_back(author)
            stored = {entry.send_id for entry in await author.log()}
            outcomes = await store.outcomes(author.group, [(OWNER, "unknown")])
            assert ((OWNER, "unknown") in outcomes) == ("unknown" in stored)
            assert {"make", "before"} <= stored
            assert seq == len(stored)
            await author.say("after")
            assert store.statistics()["reopened"] == 1
            assert store.statistics()["unknown"] == 1
        assert await is_whole(tmp_path)

    asyncio.run(run())


def test_what_waits_while_the_store_is_opened_again_is_turned_away_for_sure(tmp_path: Path) -> None:
    async def run() -> None:
        files = FaultyFiles()
        async with opened(tmp_path, files) as store:
            authors = [Author(store, f"make{n}") for n in range(5)]
            for author in authors:
                await author.make()
            files.syncs_fail = 10**9
            with pytest.raises(StoreUnknown):
                await authors[0].say("unknown")
            for author in authors[1:]:
                with pytest.raises(StoreAway):
                    await author.say("away")
                with pytest.raises(StoreAway):
                    await author.refresh()
            files.syncs_fail = 0
            await _once_back(authors[0])
            for author in authors[1:]:
                assert await store.outcomes(author.group, [(OWNER, "away")]) == {}
                await author.say("back")

    asyncio.run(run())


def test_a_write_of_nothing_says_whether_writes_go_and_notices_when_they_go_again(tmp_path: Path) -> None:
    async def run() -> None:
        files, clock = FaultyFiles(), StillClock()
        files.room_bytes = 600_000
        reserve = FaultyReserve(files, tmp_path / "reserve", 262_144)
        async with opened(tmp_path, files, clock=clock, reserve=reserve) as store:
            author = Author(store)
            await author.make()
            commits = store.statistics()["commits"]
            await store.move_pointers([])
            assert store.statistics()["commits"] == commits
            await _filled(author)
            await _refuse(author, "no")
            for n in range(300):
                await _refuse(author, f"no{n}")
            full = store.statistics()["full"]
            assert full > 0
            clock.now_s += 1
            with pytest.raises(StoreFull):
                await store.move_pointers([])
            files.room_bytes = 2_000_000
            clock.now_s += 1
            await store.move_pointers([])  # Nobody has to try a send first.
            await author.say("room again")
            files.syncs_fail = 10**9
            with pytest.raises(StoreUnknown):
                await author.say("unknown")
            with pytest.raises(StoreAway):
                await store.move_pointers([])

    asyncio.run(run())


def test_a_store_can_be_closed_while_it_cannot_be_opened_again(tmp_path: Path) -> None:
    async def run() -> None:
        files = FaultyFiles()
        async with opened(tmp_path, files) as store:
            author = Author(store)
            await author.make()
            files.syncs_fail = 10**9
            with pytest.raises(StoreUnknown):
                await author.say("unknown")
            await store.close()
            with pytest.raises(StoreAway):
                await author.say("closed")
        async with opened(tmp_path) as store:
            assert (await store.state(author.group)).head.seq in (1, 2)

    asyncio.run(run())


@pytest.mark.parametrize("syncs_fail", [1, 2, 3])
@pytest.mark.parametrize("reads_first", [True, False])
def test_what_is_shown_after_a_failed_sync_outlives_a_power_cut(
    tmp_path: Path, reads_first: bool, syncs_fail: int
) -> None:
    """Systems forget what a failed sync should have written, and call it synced the next time."""

    async def run() -> None:
        files = FaultyFiles()
        files.forgets = True
        async with opened(tmp_path / "run", files) as store:
            author, other = Author(store), Author(store, "other")
            for each in (author, other):
                await each.make()
                await each.say(*(f"before{n}" for n in range(20)), size=1_500)
            before = await _held(author)
        # The log is empty now. What is written to it first touches other pages than the lost write: no older frame
        # in it covers up what a newer one has half overwritten in the file.
        async with opened(tmp_path / "run", files) as store:
            author.store = other.store = store
            await other.say("one more")
            if reads_first:
                await author.refresh()
            files.syncs_fail = syncs_fail
            files.cut_chance = 1.0  # From here on, at every write.
            with pytest.raises(StoreUnknown):
                await author.say(*(f"unknown{n}" for n in range(20)), size=1_500)
            await _once_back(author)
            shown = await _held(author)
            files.cut_chance, files.syncs_fail = 0.0, 0
            assert await _survived(tmp_path / "worst", files.durable(), {author.group: shown})
            await author.say("after")
        for number, cut in enumerate(files.cuts):
            # Whether the lost write is there is open until it has been shown, once the store was back.
            assert await _survived(tmp_path / f"cut-{number}", cut.image, {author.group: before}), number

    asyncio.run(run())


async def _held(author: Author) -> list[tuple[int, bytes]]:
    return [(entry.seq, entry.hash) for entry in await author.log()]


def test_what_a_killed_process_left_is_on_the_disk_before_it_is_shown(tmp_path: Path) -> None:
    """A log that was written and not synced reads as committed. A power cut must not take back what was shown."""

    async def run() -> None:
        files = FaultyFiles()
        left: list[tuple[dict[str, bytes], dict[str, bytes]]] = []
        folder = tmp_path / "run"

        def killed(path: str) -> None:
            if path.endswith("-wal"):
                now = {name: (folder / name).read_bytes() for name in files.durable()}
                left.append((now, files.durable()))

        async with opened(folder, files) as store:
            author = Author(store)
            await author.make()
            files.on_sync = killed
            await author.say("written, not synced")
            files.on_sync = lambda path: None
        now, durable = left[-1]
        assert now != durable
        second = tmp_path / "second"
        _lay_out(second, now)
        again = FaultyFiles()
        again.adopt(second, durable)
        async with opened(second, again) as store:
            author.store = store
            shown = await _held(author)
            assert len(shown) == 2
            image = again.durable()
        assert await _survived(tmp_path / "third", image, {author.group: shown})

    asyncio.run(run())


async def _once_back(author: Author) -> int:
    """The head's number, as soon as the store answers again."""
    async with asyncio.timeout(10):
        while True:
            try:
                await author.refresh()
            except StoreAway:
                await asyncio.sleep(0)
            else:
                return author.state.head.seq


class Answered:
    """All that a run was answered, in order; a cut counts what there was by then."""

    def __init__(self) -> None:
        self.heads: list[tuple[GroupId, int, bytes]] = []
        self.outcomes: list[tuple[GroupId, SendKey, int | None]] = []
        self.pointers: list[tuple[GroupId, int]] = []

    def count(self) -> tuple[int, int, int]:
        return len(self.heads), len(self.outcomes), len(self.pointers)


async def _work(store: SqliteStore, answered: Answered, name: str, *, appends: int) -> None:
    author = Author(store, name)
    await author.make(OTHER)
    for n in range(appends):
        head = await author.say(f"{n}", f"{n}'", size=50 + 400 * (n % 7))
        answered.heads.append((author.group, head.seq, head.hash))
        answered.outcomes.append((author.group, (OWNER, f"{n}"), head.seq - 1))
        if n % 5 == 0:
            await author.ask(author.a_send(f"no{n}", kind=SKIP))
            answered.outcomes.append((author.group, (OWNER, f"no{n}"), None))
        if n % 7 == 0:
            await store.move_pointers([MovedPointer(author.group, OTHER, 1, head.seq)])
            answered.pointers.append((author.group, head.seq))


async def _lost_in_cuts(folder: Path, synchronous: str, *, seed: int) -> tuple[int, int]:
    """Play power cuts at random instants of a run: how many there were, and in how many an answer was gone."""
    files, answered = FaultyFiles(seed=seed), Answered()
    files.cut_chance, files.on_cut = 0.02, answered.count
    options: dict[str, Any] = {"synchronous": synchronous, "checkpoint_bytes": 40_000, "wal_bytes_max": 120_000}
    async with opened(folder / "run", files, **options) as store:
        await asyncio.gather(*(_work(store, answered, f"make{n}", appends=40) for n in range(4)))
        files.cut()
    files.cut()
    lost = 0
    for number, cut in enumerate(files.cuts):
        lost += not await _answers_survived(folder / f"cut-{number}", cut, answered)
    return len(files.cuts), lost


async def _answers_survived(folder: Path, cut: Cut, answered: Answered) -> bool:
    assert isinstance(cut.note, tuple)
    heads, outcomes, pointers = cut.note
    marks: dict[GroupId, list[tuple[int, bytes]]] = {}
    for group, seq, hash_at in answered.heads[:heads]:
        marks.setdefault(group, []).append((seq, hash_at))
    if not await _survived(folder, cut.image, marks):
        return False
    async with opened(folder) as store:
        for group, key, at in answered.outcomes[:outcomes]:
            outcome = (await store.outcomes(group, [key])).get(key)
            if (outcome.seq if isinstance(outcome, Appended) else outcome) != (at or Refused("skipped")):
                return False
        for group, seq in answered.pointers[:pointers]:
            view = await store.view(group, OTHER)
            if view is None or view.read < seq:
                return False
        if heads:
            author = Author(store)
            author.group = answered.heads[0][0]
            await author.refresh()
            await author.say("life goes on")
    return True


async def _survived(folder: Path, image: dict[str, bytes], marks: dict[GroupId, list[tuple[int, bytes]]]) -> bool:
    """Whether the files open, hold what was answered, and do not contradict themselves."""
    _lay_out(folder, image)
    try:
        async with opened(folder) as store:
            held = all([await _holds(store, group, of_group) for group, of_group in marks.items()])
    except (apsw.Error, OSError, SchemaUnknown, StoreBroken, StoreAway):
        return False
    return held and await is_whole(folder)


def _lay_out(folder: Path, image: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in image.items():
        (folder / name).write_bytes(content)


async def _holds(store: SqliteStore, group: GroupId, answered: list[tuple[int, bytes]]) -> bool:
    for seq, hash_at in answered:
        mark = await store.mark(group, seq)
        if mark is None or mark.hash != hash_at:
            return False
    return True


def test_a_power_cut_at_any_instant_takes_nothing_that_was_answered(tmp_path: Path) -> None:
    cuts, lost = asyncio.run(_lost_in_cuts(tmp_path, "FULL", seed=1))
    assert cuts > 30
    assert lost == 0


def test_the_same_cuts_do_take_answered_entries_where_nothing_is_synced(tmp_path: Path) -> None:
    cuts, lost = asyncio.run(_lost_in_cuts(tmp_path, "OFF", seed=1))
    assert cuts > 10
    assert lost > 0


CHILD = """
import asyncio, sys
from pathlib import Path
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.clock import SystemClock
from folkmoot.testing.store_suite import Author

async def talk(store, name):
    author = Author(store, name)
    await author.make()
    n = 0
    while True:
        head = await author.say(*(f"{n}.{k}" for k in range(1 + n % 5)))
        print(author.group, head.seq, head.hash.hex(), flush=True)
        n += 1

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), clock=SystemClock(), checkpoint_bytes=100_000)
    await asyncio.gather(*(talk(store, f"make{n}") for n in range(4)))

asyncio.run(main())
"""


def test_a_killed_process_takes_nothing_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        answered = [child.stdout.readline() for _ in range(200)]
        child.send_signal(signal.SIGKILL)
        answered += child.stdout.read().splitlines(keepends=True)
        child.wait()
        child.stdout.close()
        whole = [line.split() for line in answered if line.endswith("\n")]
        assert len(whole) >= 200

        async def check(lines: list[list[str]]) -> None:
            async with opened(tmp_path) as store:
                for group, seq, hash_at in lines:
                    assert await _holds(store, group, [(int(seq), bytes.fromhex(hash_at))])

        asyncio.run(check(whole))
        assert asyncio.run(is_whole(tmp_path))
        path.unlink()  # The next child makes the same groups.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MiB. Mounting one needs root."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a really full disk, since mounting a small one needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"NOT TESTED: a really full disk, since none can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_really_full_disk(small_disk: Path) -> None:
    async def run() -> None:
        clock = StillClock()
        reserve_bytes = 524_288
        ballast = small_disk / "ballast"
        async with opened(small_disk, reserve_bytes=reserve_bytes, clock=clock) as store:
            author = Author(store)
            await author.make()
            ballast.write_bytes(b"x" * 500_000)
            held = await _filled(author)
            for n in range(100):
                await _refuse(author, f"no{n}")
            found = await store.outcomes(author.group, [(OWNER, f"no{n}") for n in range(100)])
            assert list(found.values()) == [Refused("skipped")] * 100
            assert len(await author.log()) == held
            # Some room comes back: first of all it is set aside again.
            ballast.write_bytes(b"x" * 100_000)
            clock.now_s += 1
            await _refuse(author, "last")
            assert (small_disk / "reserve").stat().st_size == reserve_bytes
        # A start on a full disk gets by with the reserve: what is there is read, and refusals are taken.
        _fill_to_the_brim(small_disk / "brim")
        async with opened(small_disk, reserve_bytes=reserve_bytes, clock=clock) as store:
            author.store = store
            await author.refresh()
            assert len(await author.log()) == held
            assert not (small_disk / "reserve").exists()
            await _refuse(author, "started full")
            with pytest.raises(StoreFull):
                await author.say("still full")
            ballast.unlink()
            (small_disk / "brim").unlink()
            clock.now_s += 1
            assert isinstance(await author.say("room again"), Head)
            assert (small_disk / "reserve").stat().st_size == reserve_bytes
            assert len(await author.log()) == held + 1
        assert await is_whole(small_disk)

    asyncio.run(run())


async def _filled(author: Author) -> int:
    """Messages until the disk is full; the head's number then."""
    for n in range(10_000):
        try:
            await author.say(f"fill{n}", size=7_000)
        except StoreFull:
            await author.refresh()
            return author.state.head.seq
    raise AssertionError("the disk is never full")


def _fill_to_the_brim(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4_096):
            pass
