"""Every backend's store keeps every promise of the port."""

import asyncio
import shutil
from pathlib import Path

import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import Store
from folkmoot.testing.store_suite import CHECKS, Check, StoreHarness, name_of


class MemoryHarness:
    def __init__(self, bucket_size: int) -> None:
        self._disk = Disk()
        self._bucket_size = bucket_size

    async def open(self) -> Store:
        return MemoryStore(self._disk, bucket_size=self._bucket_size)

    async def crash(self) -> None:
        """The store is dropped; its disk stays."""


class SqliteHarness:
    """A crash of the process: the files as they are at that instant, opened by another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lives = 0
        self._open: list[SqliteStore] = []

    async def open(self) -> Store:
        folder = self._folder / str(self._lives)
        folder.mkdir(exist_ok=True)
        store = await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), reserve_bytes=0)
        self._open.append(store)
        return store

    async def crash(self) -> None:
        before, self._lives = self._folder / str(self._lives), self._lives + 1
        shutil.copytree(before, self._folder / str(self._lives))

    async def close(self) -> None:
        for store in self._open:
            await store.close()


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("backend", ["memory in buckets of 8", "memory", "sqlite"])
def test_a_store_keeps_its_promises(backend: str, check: Check, tmp_path: Path) -> None:
    async def run() -> None:
        if backend == "sqlite":
            harness = SqliteHarness(tmp_path)
            try:
                await check(harness)
            finally:
                await harness.close()
            return
        memory: StoreHarness = MemoryHarness(8 if "8" in backend else 1_000)
        await check(memory)

    asyncio.run(run())
