"""Every backend's bus keeps every promise of the port."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.nats.bus import NatsBus
from folkmoot.backends.nats.server import NatsServer
from folkmoot.ports.bus import Bus
from folkmoot.testing.bus_suite import CHECKS, Check, MakeBus, name_of


@contextlib.asynccontextmanager
async def in_memory(_: Path) -> AsyncIterator[MakeBus]:
    async def make(pending_messages_max: int) -> Bus:
        return MemoryBus(pending_messages_max=pending_messages_max)

    yield make


@contextlib.asynccontextmanager
async def on_nats(folder: Path) -> AsyncIterator[MakeBus]:
    async with NatsServer(folder) as server:

        async def make(pending_messages_max: int) -> Bus:
            return await NatsBus.connect([server.url], pending_messages_max=pending_messages_max)

        yield make


@pytest.mark.parametrize("buses", [in_memory, on_nats], ids=["memory", "nats"])
@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_a_bus_keeps_its_promises(
    check: Check, buses: Callable[[Path], AbstractAsyncContextManager[MakeBus]], tmp_path: Path
) -> None:
    async def run() -> None:
        async with buses(tmp_path) as make:
            await check(make)

    asyncio.run(run())
