"""Signals: each does its act within the block, and nothing of ours afterwards."""

import asyncio
import os
import signal
import threading

from folkmoot.node.signals import on_signals


def test_a_signal_does_its_act_and_no_other() -> None:
    async def run() -> None:
        heard, reread = asyncio.Event(), asyncio.Event()
        with on_signals({signal.SIGUSR1: heard.set, signal.SIGUSR2: reread.set}):
            os.kill(os.getpid(), signal.SIGUSR1)
            async with asyncio.timeout(5):
                await heard.wait()
            assert not reread.is_set()
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL

    asyncio.run(run())


def test_where_signals_cannot_be_had_the_block_runs_all_the_same() -> None:
    done = []

    async def run() -> None:
        with on_signals({signal.SIGUSR1: lambda: None}):
            done.append(True)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()
    assert done == [True]
