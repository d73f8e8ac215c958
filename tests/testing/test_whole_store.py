"""What is in it: something of everything that a store can hold."""

import asyncio

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.backends.memory.transfer import MemoryTransfer
from folkmoot.testing.whole_store import fill


def test_it_holds_something_of_everything() -> None:
    async def run() -> None:
        disk = Disk()
        accounts, transfer = MemoryAccounts(disk), MemoryTransfer(disk)
        await fill(MemoryStore(disk), accounts)
        for read, count in ((transfer.groups, 3), (transfer.refusals, 3), (transfer.pointers, 6)):
            assert len((await read(after="", rows_max=100)).rows) == count
        assert len(await accounts.users(after="", rows_max=100)) == 3
        assert [key.revoked_ms for key in await accounts.keys(after="", rows_max=100)] == [None, 8]

    asyncio.run(run())
