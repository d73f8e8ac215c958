"""Every backend's bus keeps every promise of the port."""

import asyncio

import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.ports.bus import Bus
from folkmoot.testing.bus_suite import CHECKS, Check, name_of


async def in_memory(pending_messages_max: int) -> Bus:
    return MemoryBus(pending_messages_max=pending_messages_max)


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_a_bus_keeps_its_promises(check: Check) -> None:
    async def run() -> None:
        await check(in_memory)

    asyncio.run(run())
