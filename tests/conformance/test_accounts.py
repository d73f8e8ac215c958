"""Every backend's accounts keep every promise of the port."""

import asyncio
import shutil
from pathlib import Path

import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.ports.accounts import Accounts
from folkmoot.ports.clock import SystemClock
from folkmoot.testing.accounts_suite import CHECKS, Check, name_of


class MemoryHarness:
    def __init__(self) -> None:
        self._disk = Disk()
        self._open: list[MemoryAccounts] = []

    async def open(self) -> Accounts:
        self._open.append(MemoryAccounts(self._disk))
        return self._open[-1]

    async def crash(self) -> None:
        """The accounts are dropped; their disk stays."""

    async def shut(self) -> None:
        await self._open[-1].close()


class SqliteHarness:
    """A crash of the process: the files as they are at that instant, opened by another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lives = 0
        self._open: list[SqliteStore] = []

    async def open(self) -> Accounts:
        folder = self._folder / str(self._lives)
        folder.mkdir(exist_ok=True)
        self._open.append(await SqliteStore.open(folder / "folkmoot.db", clock=SystemClock(), reserve_bytes=0))
        return self._open[-1].accounts

    async def crash(self) -> None:
        before, self._lives = self._folder / str(self._lives), self._lives + 1
        shutil.copytree(before, self._folder / str(self._lives))

    async def shut(self) -> None:
        await self._open[-1].close()

    async def close(self) -> None:
        for store in self._open:
            await store.close()


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_accounts_in_memory_keep_their_promises(check: Check) -> None:
    asyncio.run(_checked(check))


async def _checked(check: Check) -> None:
    await check(MemoryHarness())


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_accounts_in_a_file_keep_their_promises(check: Check, tmp_path: Path) -> None:
    async def run() -> None:
        harness = SqliteHarness(tmp_path)
        try:
            await check(harness)
        finally:
            await harness.close()

    asyncio.run(run())
