"""A backup taken while members write, the server killed, the backup restored: what everybody then has."""

import asyncio
import contextlib
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.checker.child import ChildServer
from folkmoot.client import Client
from folkmoot.client.received import GroupEvent, Received
from folkmoot.gateway.identity import mint, secret_of
from folkmoot.ports.clock import SystemClock
from folkmoot.protocol import events as ev
from folkmoot.testing.store_suite import Author

WAIT_S_MAX = 30.0
WRITERS = ("user-1", "user-2")


class Member:
    """A client whose store is kept, and what its application has applied so far, across any number of starts."""

    def __init__(self, user: str, folder: Path) -> None:
        self.user = user
        self.store = folder / f"{user}.client.db"
        self.entries: list[Received] = []
        self.events: list[GroupEvent] = []
        self.answered: dict[str, int] = {}
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def connected(self, url: str, token: str) -> AsyncIterator[Client]:
        client = Client(url, token, store=self.store, fresh="join", reconnect_s_max=0.2)
        client.on_event = self._told
        client.on_answer = lambda _: self._changed.set()
        await client.connect()
        reading = asyncio.create_task(self._read(client))
        try:
            yield client
        finally:
            await client.close()
            await reading

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def of(self, group: str) -> list[Received]:
        return [entry for entry in self.entries if entry.group == group]

    def told(self, kind: type[GroupEvent], group: str) -> int:
        return sum(isinstance(event, kind) and event.group == group for event in self.events)

    def seen_twice(self) -> list[str]:
        counts = Counter((entry.group, entry.position) for entry in self.entries)
        return [str(key) for key, count in counts.items() if count > 1]

    async def write_on(self, client: Client, group: str) -> None:
        """Send one message after another until cancelled, and keep the numbers of those that were answered."""
        for number in range(1_000_000):
            send_id = f"{self.user}.{len(self.answered)}.{number}"
            self.answered[send_id] = await client.send(group, f"text {send_id}", send_id=send_id)
            self._changed.set()

    def _told(self, event: GroupEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def _read(self, client: Client) -> None:
        async for entry in client:
            self.entries.append(entry)
            self._changed.set()


async def command(*arguments: object, status: int = 0, before: str = "") -> Any:
    """Run a verb in a process of its own; what its `--json` says. `before`: statements run in it first."""
    program = f"{before}\nfrom folkmoot.cli.main import main\nmain()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *map(str, arguments), "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == status, err.decode()
    return json.loads(out) if out else err.decode()


def test_a_backup_under_load_restored_loses_nothing_it_should_hold_and_nobody_sees_anything_twice(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        first = ChildServer(tmp_path / "first")
        await first.start()
        members = {user: Member(user, tmp_path) for user in (*WRITERS, "user-3", "user-4")}
        clock = SystemClock()

        def token(user: str) -> str:
            return mint(secret_of(tmp_path / "first"), user, lifetime_s=3_600, now_ms=clock.wall_ms())

        def connected(user: str) -> contextlib.AbstractAsyncContextManager[Client]:
            return members[user].connected(first.url, token(user))

        async with connected("user-1") as maker:
            busy = await maker.create_group("busy", members=["user-2", "user-3", "user-4"])
            quiet = await maker.create_group("quiet", members=["user-4"])
        async with contextlib.AsyncExitStack() as stack:
            writers = {user: await stack.enter_async_context(connected(user)) for user in WRITERS}
            await stack.enter_async_context(connected("user-4"))
            writing = [asyncio.create_task(members[u].write_on(c, busy)) for u, c in writers.items()]
            # user-3 has seen some of it, and goes before the backup begins.
            async with connected("user-3"):
                await members["user-3"].until(lambda: len(members["user-3"].of(busy)) > 50)
            await members["user-4"].until(lambda: len(members["user-4"].of(busy)) > 200)
            before = [dict(members[user].answered) for user in WRITERS]
            made = await command("backup", tmp_path / "copy", "--data-dir", tmp_path / "first", "--with-secret")
            mark = len(members["user-4"].of(busy))
            await members["user-4"].until(lambda: len(members["user-4"].of(busy)) > mark + 100)
            for task in writing:
                task.cancel()
            await asyncio.wait(writing)
            await first.kill()
            assert made["entries"] < sum(len(members[user].answered) for user in WRITERS) + 2
            restored = await command("restore", tmp_path / "copy", "--data-dir", tmp_path / "second")
            assert (restored["cuts"], restored["epoch_before"]) == ([], 1)
            assert restored["epoch"] > 1
            second = ChildServer(tmp_path / "second")
            second.url = first.url
            await second.start()
            # The clients are still there, and connect again by themselves.
            for user in (*WRITERS, "user-4"):
                await members[user].until(lambda user=user: members[user].told(ev.Reset, busy) == 1)  # type: ignore[misc]
            await members["user-1"].until(lambda: not writers["user-1"].pending())
            await members["user-2"].until(lambda: not writers["user-2"].pending())
            seq = await writers["user-1"].send(busy, "the last")
            recovered = members["user-3"].told(ev.Recovered, busy)
            await stack.enter_async_context(connected("user-3"))
            for member in members.values():
                await member.until(lambda member=member: member.of(busy)[-1].text == "the last")  # type: ignore[misc]
            # What was acknowledged before the backup began has its number still.
            log = {entry.send_id: entry.seq for entry in await whole_log(writers["user-1"], busy)}
            for answered in before:
                assert answered.items() <= log.items()
                assert len(answered) > 20
            assert sorted(log.values()) == list(range(1, seq + 1))
        assert await second.stop() == 0
        for member in members.values():
            assert member.seen_twice() == []
        # user-3 was not past the backup: it goes on, without a gap and without a word of reset.
        assert members["user-3"].told(ev.Reset, busy) == 0
        assert members["user-3"].told(ev.Recovered, busy) == recovered + 1
        assert [entry.seq for entry in members["user-3"].of(busy)] == list(range(1, seq + 1))
        assert len({entry.send_id for entry in members["user-3"].of(busy)}) == seq
        # user-4 was past it in one group only.
        assert members["user-4"].told(ev.Reset, quiet) == 0
        assert [entry.seq for entry in members["user-4"].of(quiet)] == [1]
        report = await command("verify", "--data-dir", tmp_path / "second")
        assert report["broken"] == []

    asyncio.run(run())


async def whole_log(client: Client, group: str) -> list[Received]:
    entries: list[Received] = []
    while True:
        page = await client.history(group, after=len(entries), limit=100)
        entries += page.entries
        if not page.more:
            return entries


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that has ended: some 40 MB."""
    folder = tmp_path_factory.mktemp("large")

    async def fill() -> None:
        store = await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), reserve_bytes=0)
        author = Author(store)
        await author.make()
        for n in range(40):
            await author.say(*(f"m{n}.{k}" for k in range(128)), size=8_000)
        await store.close()

    asyncio.run(fill())
    return folder


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"
"""As a disk that ends: no file of the process may grow past it."""


def test_the_end_of_the_disk_ends_a_backup_and_a_restore_and_leaves_nothing(large: Path, tmp_path: Path) -> None:
    async def run() -> None:
        limit = LIMITED.format(10_000_000)
        said = await command("backup", tmp_path / "copy", "--data-dir", large, status=1, before=limit)
        assert said.startswith("folkmoot: ")
        assert names(tmp_path) == []
        await command("backup", tmp_path / "copy", "--data-dir", large)
        said = await command("restore", tmp_path / "copy", "--data-dir", tmp_path / "new", status=1, before=limit)
        assert said.startswith("folkmoot: ")
        assert names(tmp_path) == ["copy"]
        assert (await command("restore", tmp_path / "copy", "--data-dir", tmp_path / "new"))["entries"] == 5_121

    asyncio.run(run())


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_backup_that_is_ended_leaves_no_half_file_under_its_name(
    large: Path, tmp_path: Path, ended_by: signal.Signals
) -> None:
    partial, copy = tmp_path / "copy.partial", tmp_path / "copy"

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "folkmoot.cli", "backup", str(copy), "--data-dir", str(large),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(WAIT_S_MAX):
            while not (partial / "folkmoot.db").exists() or (partial / "folkmoot.db").stat().st_size == 0:
                assert process.returncode is None
                await asyncio.sleep(0)
        process.send_signal(ended_by)
        assert await process.wait() != 0
        assert not copy.exists()
        assert partial.exists() == (ended_by is signal.SIGKILL)
        # And it hinders none that comes later.
        assert (await command("backup", copy, "--data-dir", large))["entries"] == 5_121
        assert not partial.exists()

    asyncio.run(run())


def test_a_damaged_backup_is_refused_and_what_can_be_read_is_taken_if_asked_for(large: Path, tmp_path: Path) -> None:
    async def run() -> None:
        await command("backup", tmp_path / "copy", "--data-dir", large)
        path = tmp_path / "copy" / "folkmoot.db"
        with path.open("r+b") as file:
            file.seek(20_000_000 // 4_096 * 4_096)
            file.write(b"\xa5" * 8_192)
        said = await command("restore", tmp_path / "copy", "--data-dir", tmp_path / "new", status=1)
        assert "is damaged" in said
        assert not (tmp_path / "new").exists()
        done = await command("restore", tmp_path / "copy", "--data-dir", tmp_path / "new", "--salvage", status=1)
        (cut,) = done["cuts"]
        assert 1 < cut["seq"] == done["entries"] + 1 < 5_121
        assert (await command("verify", "--data-dir", tmp_path / "new"))["broken"] == []

    asyncio.run(run())
