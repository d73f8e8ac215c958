"""A store read beside its writer: one moment, and nothing written."""

import asyncio
from pathlib import Path

import pytest

from folkmoot.backends.sqlite.inspect import open_inspection
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.clock import SystemClock
from folkmoot.testing.store_suite import OWNER, Author


def test_it_shows_one_moment_while_the_writer_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "folkmoot.db"
        store = await SqliteStore.open(path, clock=SystemClock(), reserve_bytes=0)
        author = Author(store)
        await author.make()
        await author.say("a", "b")
        with open_inspection(path) as seen:
            assert seen.heads() == {author.group: 3}
            await author.say("c")
            assert [entry.seq for entry in seen.entries(author.group, 0, 10)] == [1, 2, 3]
            assert [entry.seq for entry in seen.entries(author.group, 1, 1)] == [2]
            assert seen.outcome(author.group, OWNER, "b") == 3
            assert seen.outcome(author.group, OWNER, "c") is None
            with pytest.raises(KeyError):
                seen.state("gnone")
        with open_inspection(path) as seen:
            assert seen.state(author.group).head.seq == 4
        await store.close()

    asyncio.run(run())
