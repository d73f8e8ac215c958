"""A store copied while its clients wait: killed in between, finished, and served in place of the old one."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.checker.child import ChildFailed, ChildServer
from folkmoot.checker.logs import examine_store
from folkmoot.client import Client
from folkmoot.cluster.cassandra_node import CassandraNode
from folkmoot.gateway.identity import mint, secret_of
from folkmoot.ports.clock import SystemClock
from folkmoot.protocol import events as ev
from folkmoot.testing.store_suite import Author
from tests.system.test_backup import WAIT_S_MAX, Member, command, whole_log

GROUPS = 40


def held(path: Path) -> int:
    """Entries in a file that another process writes to, 0 while there is nothing to read."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM entries").fetchone()[0])
    except sqlite3.Error:
        return 0


async def killed_copy(source: Path, target: Path, at_entries: int) -> None:
    """Begin a copy, and kill it once so much is there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "folkmoot.cli", "copy", "--from", str(source), "--to", str(target), "--json",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(WAIT_S_MAX):
        while await asyncio.to_thread(held, target / "folkmoot.db") < at_entries:
            assert process.returncode is None
    os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL


def test_clients_of_the_old_store_go_on_at_the_new_one_where_they_were(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"

    async def run() -> None:
        first = ChildServer(one)
        await first.start()
        members = {user: Member(user, tmp_path) for user in ("user-1", "user-2", "user-3")}

        def connected(user: str) -> contextlib.AbstractAsyncContextManager[Client]:
            token = mint(secret_of(one), user, lifetime_s=3_600, now_ms=SystemClock().wall_ms())
            return members[user].connected(first.url, token)

        async with connected("user-1") as maker:
            busy = await maker.create_group("busy", members=["user-2", "user-3"])
        async with contextlib.AsyncExitStack() as stack:
            clients = {user: await stack.enter_async_context(connected(user)) for user in ("user-1", "user-2")}
            # user-3 has seen some of it, and is away for the rest.
            async with connected("user-3"):
                await clients["user-1"].send(busy, "seen by all")
                await members["user-3"].until(lambda: len(members["user-3"].of(busy)) == 2)
            writing = [asyncio.create_task(members[u].write_on(c, busy)) for u, c in clients.items()]
            await members["user-2"].until(lambda: len(members["user-2"].of(busy)) > 400)
            # Its clients are in the middle of sending: what is not answered stays in their outboxes.
            assert await first.stop() == 0
            await fill_more(one)
            await killed_copy(one, two, 300)
            with contextlib.suppress(ChildFailed):
                await ChildServer(two).start()
                raise AssertionError("half a copy was served")
            assert "not finished" in (two / "server.log").read_text()
            done = await command("copy", "--from", one, "--to", two)
            assert done["epoch"] == 1
            assert done["groups"] == GROUPS + 1
            assert done["secret"] is True
            second = ChildServer(two)
            second.url = first.url
            await second.start()
            for user in ("user-1", "user-2"):
                await members[user].until(lambda user=user: members[user].told(ev.Recovered, busy) > 0)  # type: ignore[misc]
            answered = {user: len(members[user].answered) for user in clients}
            await members["user-1"].until(lambda: len(members["user-1"].answered) > answered["user-1"] + 20)
            for task in writing:
                task.cancel()
            await asyncio.wait(writing)
            for user, client in clients.items():
                await members[user].until(lambda client=client: not client.pending())  # type: ignore[misc]
            seq = await clients["user-1"].send(busy, "the last")
            await stack.enter_async_context(connected("user-3"))
            for member in members.values():
                await member.until(lambda member=member: member.of(busy)[-1].text == "the last")  # type: ignore[misc]
            log = {entry.send_id: entry.seq for entry in await whole_log(clients["user-1"], busy)}
        assert await second.stop() == 0
        for member in members.values():
            assert member.seen_twice() == []
            assert member.told(ev.Reset, busy) == 0
            assert [entry.seq for entry in member.of(busy)] == list(range(1, seq + 1))
            assert {key: at for key, at in member.answered.items() if at}.items() <= log.items()
        assert len(log) == seq
        # The old one is served by nobody any more; the new one is as the doctor would have it.
        with contextlib.suppress(ChildFailed):
            await ChildServer(one).start()
            raise AssertionError("a sealed store was served")
        assert f"copied to {two}" in (one / "server.log").read_text()
        assert (await asyncio.to_thread(examine_store, two / "folkmoot.db", lambda done, total: None)).damages == []
        back = await command("restore", one, "--data-dir", tmp_path / "back", status=1)
        assert "--unseal" in back
        assert (await command("restore", one, "--data-dir", tmp_path / "back", "--unseal"))["epoch"] > 1

    asyncio.run(run())


@pytest.mark.cassandra
def test_from_one_machine_to_cassandra_and_back_clients_go_on(tmp_path: Path, cassandra_node: CassandraNode) -> None:
    one, three = tmp_path / "one", tmp_path / "three"
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(
        f'store = "cassandra"\ncassandra_hosts = ["{cassandra_node.settings.address}"]\n'
        f'cassandra_port = {cassandra_node.settings.cql_port}\ncassandra_keyspace = "folkmoot_copied"\n'
        "cassandra_replication = 1\nbucket_size = 8\n"
    )

    async def run() -> None:
        member, other = Member("user-1", tmp_path), Member("user-2", tmp_path)
        servers = [
            ChildServer(one),
            ChildServer(tmp_path / "two", options=["--config", str(cluster)]),
            ChildServer(three),
        ]
        places = [one, cluster, three]
        secret, group, sent = b"", "", 0
        for at, server in enumerate(servers):
            if at:
                await command("copy", "--from", places[at - 1], "--to", places[at])
                server.url = servers[0].url
                server.data_dir.mkdir(exist_ok=True)
                with (server.data_dir / "secret.key").open("wb") as file:
                    os.fchmod(file.fileno(), 0o600)
                    file.write(secret)
            await server.start()
            secret = (server.data_dir / "secret.key").read_bytes()

            def token(user: str, folder: Path = server.data_dir) -> str:
                return mint(secret_of(folder), user, lifetime_s=3_600, now_ms=SystemClock().wall_ms())

            async with (
                member.connected(server.url, token("user-1")) as client,
                other.connected(server.url, token("user-2")),
            ):
                group = group or await client.create_group("both", members=["user-2"])
                for number in range(20):
                    sent = await client.send(group, f"{at} {number}")
                last = f"{at} 19"
                await other.until(lambda last=last: other.entries[-1].text == last)  # type: ignore[misc]
            assert await server.stop() == 0
        assert sent == 61
        for each in (member, other):
            assert each.seen_twice() == []
            assert each.told(ev.Reset, group) == 0
        assert [entry.seq for entry in other.of(group)] == list(range(1, sent + 1))
        assert other.told(ev.Recovered, group) >= 2
        sealed = await command("copy", "--from", cluster, "--to", tmp_path / "four", status=1)
        assert f"copied to {three} before" in sealed

    asyncio.run(run())


async def fill_more(folder: Path) -> None:
    """Enough besides that a copy can be killed in the middle."""
    store = await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), reserve_bytes=0)
    for number in range(GROUPS):
        author = Author(store, f"more {number}")
        await author.make()
        await author.say(*(f"m{n}" for n in range(200)), size=500)
    await store.close()
