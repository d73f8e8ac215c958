"""Virtual time, kills, pauses and the seeded order of the simulator's event loop."""

import asyncio

import pytest

from folkmoot.testing.virtual_loop import Deadlock, VirtualLoop


def order_of(seed: int) -> list[str]:
    loop = VirtualLoop(seed)
    seen: list[str] = []

    async def walk(name: str) -> None:
        for step in range(5):
            seen.append(f"{name}{step}")
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(loop.process(name).spawn(walk(name)) for name in "abc"))

    loop.run(main())
    return seen


def test_the_order_between_processes_is_the_seeds() -> None:
    assert order_of(1) == order_of(1)
    assert len({tuple(order_of(seed)) for seed in range(5)}) > 1


def test_within_a_process_callbacks_keep_their_order() -> None:
    seen = order_of(3)
    assert [word for word in seen if word[0] == "b"] == [f"b{step}" for step in range(5)]


def test_time_passes_only_where_everybody_waits() -> None:
    loop = VirtualLoop(0)

    async def main() -> float:
        await asyncio.sleep(3_600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await loop.create_future()
        return loop.time()

    assert loop.run(main()) == 3_610.0


def test_a_killed_process_does_nothing_more_not_even_its_finally() -> None:
    loop = VirtualLoop(0)
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1)
            seen.append("worked")
        finally:
            seen.append("cleaned up")

    async def main() -> None:
        process = loop.process("a")
        process.spawn(work())
        await asyncio.sleep(0.5)
        process.kill()
        await asyncio.sleep(5)
        assert seen == []

    loop.run(main())


def test_a_paused_process_is_held_and_goes_on_later() -> None:
    loop = VirtualLoop(0)
    seen: list[float] = []

    async def work() -> None:
        await asyncio.sleep(1)
        seen.append(loop.time())

    async def main() -> None:
        process = loop.process("a")
        process.spawn(work())
        await asyncio.sleep(0.5)
        process.pause()
        await asyncio.sleep(5)
        assert seen == []
        process.resume()
        await asyncio.sleep(0.1)

    loop.run(main())
    assert seen == [5.5]


def test_nothing_to_do_and_nothing_to_wait_for_is_a_deadlock() -> None:
    loop = VirtualLoop(0)

    async def main() -> None:
        await loop.create_future()

    with pytest.raises(Deadlock):
        loop.run(main())


def test_what_nobody_handled_is_kept() -> None:
    loop = VirtualLoop(0)

    def fail() -> None:
        raise ValueError("of nobody")

    async def main() -> None:
        loop.call_soon(fail)
        await asyncio.sleep(1)

    loop.run(main())
    assert len(loop.unhandled) == 1
    assert "of nobody" in loop.unhandled[0]


def test_a_task_that_dies_of_what_nobody_reads_is_told_of_unless_its_process_was_killed() -> None:
    loop = VirtualLoop(0)

    async def die() -> None:
        raise LookupError("what was not foreseen")

    async def main() -> None:
        living, killed = loop.process("living"), loop.process("killed")
        tasks = [living.spawn(die()), killed.spawn(die()), living.spawn(die())]
        await asyncio.sleep(1)
        killed.kill()
        with pytest.raises(LookupError):
            await tasks[2]

    loop.run(main())
    assert [line.partition(":")[0] for line in loop.unhandled] == ["living"]
    assert "what was not foreseen" in loop.unhandled[0]
