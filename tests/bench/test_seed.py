"""A seeded store is one that a server could have written: whole chains, and every message there."""

import asyncio
from pathlib import Path

from folkmoot.bench.seed import seed_store
from folkmoot.model.entry import first_break, genesis
from folkmoot.model.membership import Span
from folkmoot.node.config import load_settings
from folkmoot.node.wiring import open_store
from folkmoot.ports.clock import SystemClock


def test_groups_are_whole(tmp_path: Path) -> None:
    ids = seed_store(tmp_path, groups=3, members=2, messages=450, text_bytes=7)

    async def body() -> None:
        store = await open_store(load_settings({"data_dir": str(tmp_path)}, {}, None), SystemClock())
        try:
            for number, group in enumerate(ids):
                entries = await store.read(group, Span(1, None), entries_max=1_000, bytes_max=10**6)
                assert [entry.seq for entry in entries] == list(range(1, 452))
                assert first_break(genesis(group), 0, entries) is None
                assert {entry.sender for entry in entries} == {f"user-{2 * number + 1}", f"user-{2 * number + 2}"}
                assert entries[-1].body == b'{"text":"xxxxxxx"}'
        finally:
            await store.close()

    asyncio.run(body())
    assert len(set(ids)) == 3
