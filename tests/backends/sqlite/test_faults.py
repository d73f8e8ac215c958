"""A full disk, a disk that fails to sync, a power cut, and a process that is killed: what was answered stays."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.checker.logs import verify_store
from folkmoot.model.send import SKIP, Refused
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import SchemaUnknown, StoreAway, StoreBroken, StoreFull, StoreUnknown
from folkmoot.testing.faulty_files import FaultyFiles
from folkmoot.testing.store_suite import OWNER, Author


@contextlib.asynccontextmanager
async def opened(folder: Path, files: FaultyFiles | None = None, **options: object) -> AsyncIterator[SqliteStore]:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    vfs = None if files is None else files.name
    store = await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), vfs=vfs, **options)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        await store.close()


def test_a_full_disk_refuses_for_sure_goes_on_reading_and_recovers_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        files = FaultyFiles()
        async with opened(tmp_path, files) as store:
            author = Author(store)
            await author.make()
            await author.say("before")
            files.full = True
            refused = 0
            for n in range(60):
                try:
                    await author.say(f"full{n}", size=4_000)
                except StoreFull:
                    refused += 1
            assert refused > 0
            log = await author.log()
            assert [entry.seq for entry in log] == list(range(1, author.state.head.seq + 1))
            files.full = False
            head = await author.say("after")
            assert (await author.log())[-1].send_id == "after"
            assert head.seq == len(log) + 1
        report = await verify_store(tmp_path / "folkmoot.db", [], lambda done, total: None)
        assert report.broken == []

    asyncio.run(run())


def test_refusals_use_the_room_kept_for_them_and_the_room_is_kept_again(tmp_path: Path) -> None:
    async def run() -> None:
        files = FaultyFiles()
        async with opened(tmp_path, files, reserve_bytes=65_536) as store:
            reserve = tmp_path / "reserve"
            assert reserve.stat().st_size == 65_536
            author = Author(store)
            await author.make()
            files.full = True
            with contextlib.suppress(StoreFull):
                for n in range(60):
                    await author.say(f"fill{n}", size=4_000)

            class Freed:
                """The room of the reserve: once it is given back, writes fit again."""

                def __init__(self) -> None:
                    self.seen = False

            freed = Freed()
            write = author.write(author.a_send("no", kind=SKIP))
            unlink = Path.unlink

            def give_back(path: Path, missing_ok: bool = False) -> None:
                if path.name == "reserve" and not freed.seen:
                    freed.seen, files.full = True, False
                unlink(path, missing_ok=missing_ok)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Path, "unlink", give_back)
                files.full = True
                with pytest.raises(StoreFull):
                    await author.say("big", size=7_000)
                assert not freed.seen  # Only a refusal may have it.
                allowed = type(write)(
                    group=write.group, expected=write.expected, entries=write.entries, refusals=write.refusals,
                    after=write.after, memberships=write.memberships, reserve=True,
                )  # fmt: skip
                await _full_until_freed(author, files, allowed)
            outcomes = await store.outcomes(author.group, [(OWNER, "no")])
            assert outcomes == {(OWNER, "no"): Refused("skipped")}
            await author.refresh()
            await author.say("room again")
            assert reserve.stat().st_size == 65_536

    asyncio.run(run())


async def _full_until_freed(author: Author, files: FaultyFiles, write: object) -> None:
    files.full = True
    await author.store.append(write)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["syncs_fail", "writes_fail"])
def test_after_an_io_error_nobody_is_told_what_nobody_knows_and_then_what_is_there_counts(
    tmp_path: Path, fault: str
) -> None:
    async def run() -> None:
        files = FaultyFiles()
        async with opened(tmp_path, files) as store:
            author = Author(store)
            await author.make()
            await author.say("before")
            # The first fails the commit, the others the opening again: it tries until it can.
            setattr(files, fault, 3)
            with pytest.raises(StoreUnknown):
                await author.say("unknown")
            state = await _once_back(author)
            stored = {entry.send_id for entry in await author.log()}
            outcomes = await store.outcomes(author.group, [(OWNER, "unknown")])
            assert ((OWNER, "unknown") in outcomes) == ("unknown" in stored)
            assert {"make", "before"} <= stored
            assert state == len(stored)
            await author.say("after")
            assert store.statistics()["reopened"] >= 1
        report = await verify_store(tmp_path / "folkmoot.db", [], lambda done, total: None)
        assert report.broken == []

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


async def _lost_in_cuts(folder: Path, synchronous: str, *, appends: int) -> tuple[int, int]:
    """Play power cuts at random instants of a run: how many there were, and in how many an answered entry was gone."""
    files = FaultyFiles()
    files.cut_chance = 0.12
    answered: list[tuple[int, bytes]] = []
    async with opened(folder / "run", files, synchronous=synchronous, reserve_bytes=0) as store:
        author = Author(store)
        await author.make()
        answered.append((1, author.state.head.hash))
        for n in range(appends):
            head = await author.say(f"{n}", size=50 + 400 * (n % 7))
            answered.append((head.seq, head.hash))
            files.answered = len(answered)
            if n % 30 == 29:
                files.cuts.append((files.image(), files.answered))
        group = author.group
    lost = 0
    for number, (image, count) in enumerate(files.cuts):
        restored = folder / f"cut-{number}"
        restored.mkdir()
        for name, content in image.items():
            (restored / name).write_bytes(content)
        lost += not await _survived(restored, group, answered[:count])
    return len(files.cuts), lost


async def _survived(folder: Path, group: str, answered: list[tuple[int, bytes]]) -> bool:
    """Whether the files open, hold what was answered, and do not contradict themselves."""
    try:
        async with opened(folder, reserve_bytes=0) as store:
            held = await _holds(store, group, answered)
        report = await verify_store(folder / "folkmoot.db", [], lambda done, total: None)
    except (apsw.Error, SchemaUnknown, StoreBroken, StoreAway):
        return False
    return held and report.broken == []


async def _holds(store: SqliteStore, group: str, answered: list[tuple[int, bytes]]) -> bool:
    for seq, hash_at in answered:
        mark = await store.mark(group, seq)
        if mark is None or mark.hash != hash_at:
            return False
    return True


def test_a_power_cut_at_any_instant_takes_nothing_that_was_answered(tmp_path: Path) -> None:
    cuts, lost = asyncio.run(_lost_in_cuts(tmp_path, "FULL", appends=120))
    assert cuts > 30
    assert lost == 0


def test_the_same_cuts_do_take_answered_entries_where_nothing_is_synced(tmp_path: Path) -> None:
    cuts, lost = asyncio.run(_lost_in_cuts(tmp_path, "OFF", appends=120))
    assert cuts > 30
    assert lost > 0


CHILD = """
import asyncio, sys
from pathlib import Path
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.clock import SystemClock
from folkmoot.testing.store_suite import Author

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), clock=SystemClock())
    author = Author(store)
    await author.make()
    n = 0
    while True:
        head = await author.say(*(f"{n}.{k}" for k in range(1 + n % 5)))
        print(head.seq, head.hash.hex(), flush=True)
        n += 1

asyncio.run(main())
"""


def test_a_killed_process_takes_nothing_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    answered = [child.stdout.readline() for _ in range(200)]
    child.send_signal(signal.SIGKILL)
    answered += child.stdout.read().splitlines(keepends=True)
    child.wait()
    child.stdout.close()
    whole = [line.split() for line in answered if line.endswith("\n")]

    async def check() -> None:
        store = await SqliteStore.open(path, clock=SystemClock())
        group = Author(store).group
        assert await _holds(store, group, [(int(seq), bytes.fromhex(hash_at)) for seq, hash_at in whole])
        await store.close()

    assert len(whole) >= 200
    asyncio.run(check())


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
        async with opened(small_disk, reserve_bytes=262_144) as store:
            author = Author(store)
            await author.make()
            ballast = small_disk / "ballast"
            ballast.write_bytes(b"x" * 1_000_000)
            with pytest.raises(StoreFull):
                await author.say(*(f"{n}" for n in range(1_000)), size=7_000)
            await author.refresh()
            held = author.state.head.seq
            assert len(await author.log()) == held
            ballast.unlink()
            await author.say("room again")
            assert len(await author.log()) == held + 1

    asyncio.run(run())
