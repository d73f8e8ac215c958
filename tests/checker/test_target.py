"""Targets: each fault is struck and healed, and what cannot be suffered is not among them."""

import asyncio
import os
from pathlib import Path

import pytest

from folkmoot.checker.proxy import FAIR, Proxy
from folkmoot.checker.target import KINDS, NETWORK, Network, OwnServer, RunningServer

SECONDS = 0.02


@pytest.mark.parametrize("kind", NETWORK)
def test_a_bad_network_is_bad_for_its_time_only(kind: str) -> None:
    async def run() -> None:
        proxy = Proxy()
        strike = asyncio.create_task(Network(proxy).faults[kind](SECONDS))
        await asyncio.sleep(0)
        during = proxy.weather
        await strike
        assert proxy.weather == FAIR
        assert (during != FAIR) == (kind != "cut")
        assert proxy.cuts == (kind in ("cut", "held", "refused"))

    asyncio.run(run())


def test_a_running_server_suffers_the_network_only() -> None:
    assert tuple(RunningServer("http://127.0.0.1:1").faults) == NETWORK


def test_a_server_of_its_own_is_killed_paused_restarted_and_its_disk_filled() -> None:
    async def run() -> None:
        own = OwnServer()
        await own.open()
        folder = own.folder
        try:
            assert own.url != own.child.url
            for kind in ("kill", "pause", "restart"):
                await own.faults[kind](SECONDS)
            assert (own.child.kills, own.child.starts) == (1, 3)
            assert set(own.faults) <= set(KINDS)
            if "full_disk" not in own.faults:
                assert own.notes
                return
            strike = asyncio.create_task(own.faults["full_disk"](SECONDS))
            while not strike.done():
                full = os.statvfs(folder / "data").f_bavail == 0
                if full:
                    break
                await asyncio.sleep(0)
            assert full
            await strike
            assert os.statvfs(folder / "data").f_bavail > 0
        finally:
            await own.close()
        assert not folder.exists()

    asyncio.run(run())


def test_without_root_it_says_that_no_disk_will_be_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("folkmoot.checker.target.os.geteuid", lambda: 1_000)
    monkeypatch.setattr("folkmoot.checker.target.tempfile.mkdtemp", lambda prefix: str(tmp_path))
    own = OwnServer()
    assert not own._mount()
    assert "needs root" in own.notes[0]
