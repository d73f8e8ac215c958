"""Identical reads share one, and never one that began before the question."""

import asyncio

import pytest

from folkmoot.backends.cassandra.coalesce import Coalescer


class Source:
    """What is read: each read waits for `go` and then tells how many have begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()
        self.fails = False

    async def read(self) -> int:
        self.begun += 1
        told = self.begun
        await self.go.wait()
        if self.fails:
            raise OSError(str(told))
        return told


async def _asked(coalescer: Coalescer, source: Source, count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(coalescer.run("k", source.read)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def test_all_who_come_while_one_runs_share_the_next() -> None:
    async def run() -> None:
        coalescer, source = Coalescer(), Source()
        tasks = await _asked(coalescer, source, 5)
        assert source.begun == 1
        source.go.set()
        assert await asyncio.gather(*tasks) == [1, 2, 2, 2, 2]
        assert coalescer.shared == 3

    asyncio.run(run())


def test_other_keys_do_not_wait() -> None:
    async def run() -> None:
        coalescer, source = Coalescer(), Source()
        tasks = [asyncio.create_task(coalescer.run(key, source.read)) for key in "abc"]
        await asyncio.sleep(0)
        assert source.begun == 3
        source.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_a_failure_is_told_to_all_who_shared_it_and_the_key_goes_on() -> None:
    async def run() -> None:
        coalescer, source = Coalescer(), Source()
        tasks = await _asked(coalescer, source, 3)
        source.fails = True
        source.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(answer) for answer in answers] == ["1", "2", "2"]
        source.fails = False
        assert await coalescer.run("k", source.read) == 3

    asyncio.run(run())


def test_who_gives_up_takes_nobody_along() -> None:
    async def run() -> None:
        coalescer, source = Coalescer(), Source()
        first, second, third = await _asked(coalescer, source, 3)
        first.cancel()
        second.cancel()
        await asyncio.sleep(0)
        source.go.set()
        assert await third == 2
        for task in (first, second):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await coalescer.run("k", source.read) == 3

    asyncio.run(run())
