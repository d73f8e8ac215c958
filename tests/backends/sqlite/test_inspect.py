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
            assert [(e.seq, outcome) for e, outcome in seen.entries(author.group, 0, 10)] == [(1, 1), (2, 2), (3, 3)]
            assert [entry.seq for entry, _ in seen.entries(author.group, 1, 1)] == [2]
            assert (seen.epoch(), seen.faults(), seen.lost(), seen.strays(author.group, 3)) == (1, [], [], [])
            assert seen.strays(author.group, 2) == [("read pointers past the head", 1, f"{OWNER} at 3")]
            with pytest.raises(KeyError):
                seen.state("gnone")
        with open_inspection(path) as seen:
            assert seen.state(author.group).head.seq == 4
        await store.close()

    asyncio.run(run())
