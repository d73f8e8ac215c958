"""The simulated store: writes of which nothing is heard happen, do not, or do so later; a killed caller's arrives."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from folkmoot.ports.store import MovedPointer, StoreAway, StoreUnknown
from folkmoot.testing.virtual_loop import Process, VirtualLoop
from folkmoot.testing.weather import Weather
from folkmoot.testing.world_store import Database, WorldStore

POINTER = MovedPointer("g", "user-1", 1, 1)


class Line:
    """One process on the line to a database."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(1)
        self.weather = Weather(1)
        self.database = Database(self.loop, self.weather, bucket_size=8)
        self.process: Process = self.loop.process("caller")
        self.store = WorldStore(self.database, self.process)

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.loop.run(main())

    @property
    def writes(self) -> int:
        return len(self.database.disk.records)


@pytest.mark.parametrize(
    ("kind", "at_once", "in_the_end"), [("write lost", 0, 0), ("write late", 0, 1), ("write unheard", 1, 1)]
)
def test_a_write_of_which_nothing_is_heard(kind: str, at_once: int, in_the_end: int) -> None:
    line = Line()
    line.weather.rate(kind, 1.0)

    async def main() -> None:
        with pytest.raises(StoreUnknown):
            await line.process.spawn(line.store.move_pointers([POINTER]))
        assert line.writes == at_once
        await asyncio.sleep(10)
        assert line.writes == in_the_end

    line.run(main)


def test_a_store_out_of_reach_has_taken_nothing() -> None:
    line = Line()
    line.weather.store_away("caller", 1)

    async def main() -> None:
        with pytest.raises(StoreAway):
            await line.process.spawn(line.store.move_pointers([POINTER]))
        with pytest.raises(StoreAway):
            await line.process.spawn(line.store.epoch())
        assert line.writes == 0

    line.run(main)


def test_a_write_on_its_way_arrives_though_its_caller_is_killed() -> None:
    line = Line()

    async def main() -> None:
        line.process.spawn(line.store.move_pointers([POINTER]))
        await asyncio.sleep(0.0001)
        line.process.kill()
        await asyncio.sleep(1)
        assert line.writes == 1

    line.run(main)


def test_a_restore_puts_an_earlier_state_in_place_and_what_was_on_its_way_is_unknown() -> None:
    line = Line()

    async def main() -> None:
        backup = line.database.backup()
        await line.process.spawn(line.store.move_pointers([POINTER]))
        late = line.process.spawn(line.store.move_pointers([POINTER]))
        await asyncio.sleep(0.0001)
        line.database.restore(backup, raised=True)
        with pytest.raises(StoreUnknown):
            await late
        assert line.writes == 0
        assert await line.process.spawn(line.store.epoch()) == 2

    line.run(main)
