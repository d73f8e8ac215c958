"""Accounts in memory: what the suite does not ask, since only this backend has a disk that tests can play with."""

import asyncio

import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.ports.store import StoreAway, StoreFull


def test_a_full_disk_changes_nothing_and_one_that_is_away_tells_nothing() -> None:
    async def run() -> None:
        disk = Disk()
        accounts = MemoryAccounts(disk)
        disk.full = True
        with pytest.raises(StoreFull):
            await accounts.set_active("user-1", False, at_ms=5)
        assert (await accounts.standing("user-1")).active
        disk.away = True
        with pytest.raises(StoreAway):
            await accounts.standing("user-1")
        with pytest.raises(StoreAway):
            await accounts.set_active("user-1", False, at_ms=5)

    asyncio.run(run())


def test_a_copy_of_the_disk_stays_as_it_was() -> None:
    async def run() -> None:
        disk = Disk()
        await MemoryAccounts(disk).sign_out("user-1", "", at_ms=5)
        copy = disk.copied()
        await MemoryAccounts(disk).sign_out("user-1", "", at_ms=9)
        assert (await MemoryAccounts(copy).standing("user-1")).out_before_ms == 5
        assert (await MemoryAccounts(disk).standing("user-1")).out_before_ms == 9

    asyncio.run(run())
