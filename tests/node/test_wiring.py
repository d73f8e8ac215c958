"""The wiring: roles over a store and a bus, as the settings say, in a data directory only its owner can read."""

import asyncio
import stat
from pathlib import Path

import pytest

from folkmoot.backends.sqlite.store import StoreInUse
from folkmoot.node.config import Settings
from folkmoot.node.wiring import build_bus, build_roles, open_store
from folkmoot.ports.clock import SystemChance, SystemClock


def test_roles_are_built_from_settings_and_start_and_stop(tmp_path: Path) -> None:
    async def run() -> None:
        settings = Settings(data_dir=str(tmp_path / "new"), sends_per_s=7, ask_again_s=0.5)
        store = await open_store(settings, SystemClock())
        roles = build_roles(settings, store, build_bus(settings), SystemClock(), SystemChance())
        assert roles.gateway.settings.sends_per_s == 7
        await roles.start()
        assert set(roles.statistics()) == {"gateway", "router", "delivery", "store"}
        with pytest.raises(StoreInUse):
            await open_store(settings, SystemClock())
        await roles.stop()
        await (await open_store(settings, SystemClock())).close()

    asyncio.run(run())
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "secret.key").stat().st_mode) == 0o600
