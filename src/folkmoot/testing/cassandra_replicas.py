"""Three copies of Cassandra's tables, and sessions with them on which statements are late, lost, refused or unheard of.

On a virtual loop, and all of it from a seed. A statement's lot is drawn by what it says and how often it was said, not
by its turn: so it is the same in every process, in whatever order sets are gone through there.
"""

import asyncio
import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from folkmoot.backends.cassandra.driver import Driver, Row, Statement
from folkmoot.ports.store import StoreAway, StoreUnknown
from folkmoot.testing.cassandra_tables import Mutation, Place, Tables
from folkmoot.testing.virtual_loop import Process, VirtualLoop, settle

T = TypeVar("T")

COPIES: Final = 3
QUORUM: Final = 2
PAIRS: Final = ((0, 1), (0, 2), (1, 2))
REACHED_UNHEARD: Final = ((), (0,), (1,), (2,), (0,), (1,), (2,), (0, 1, 2))
"""Copies that a write of which nothing is heard has come to: mostly fewer than a read looks at."""

LATENCY_S: Final = (0.0002, 0.004)
SLOW_S: Final = (0.01, 0.3)
LATE_S: Final = (0.02, 2.0)
"""After the time-out comes what is late."""

TIMEOUT_S: Final = 0.1

PLAIN_SHARE: Final = 0.2
"""Of the rates, for writes without a condition: an append rests on a dozen of them at times, and on each of them."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """How often a statement is struck, each from 0 to 1.

    `away`: refused before it began. `lost`: never began, and nobody says so. `late`: begins once its time is over.
    `unheard`: done, on some copies or on none yet, and not answered. `slow`: on its way for long, there or back.
    """

    away: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    unheard: float = 0.0
    slow: float = 0.0


class Draws:
    """Numbers in [0, 1) that follow from a text."""

    def __init__(self, text: str) -> None:
        digest = hashlib.blake2b(text.encode(), digest_size=64).digest()
        self._left: list[float] = [number / 2**64 for number in struct.unpack(">8Q", digest)]

    def draw(self) -> float:
        return self._left.pop()

    def between(self, bounds: tuple[float, float]) -> float:
        return bounds[0] + self.draw() * (bounds[1] - bounds[0])

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self.draw() * len(choices))]


class Replicas:
    """What is durable, whoever is killed.

    A conditional write is decided among two copies, on all that was decided before. Once decided it happens: though
    none of the copies has it yet, the next conditional statement or serial read of its partition sees to it. A read
    that is not serial may see it, or a part of it that another read has repaired.
    """

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.seed = seed
        self.process = loop.process("cassandra")
        self.tables = Tables(copies=COPIES)
        self.rates = Rates()
        self.struck: Counter[str] = Counter()
        # Told the process's name, and a number drawn, whenever it is left without an answer to a write.
        self.on_unknown: Callable[[str, float], None] | None = None
        self._said: Counter[str] = Counter()
        self._unsettled: dict[Place, list[Mutation]] = {}

    def draws(self, who: str, what: str) -> Draws:
        """Of one more time that `who` says `what`."""
        text = f"{self.seed} {who} {what}"
        self._said[text] += 1
        return Draws(f"{self._said[text]} {text}")

    def read(self, cql: str, values: Sequence[Any], among: Sequence[int], *, serial: bool) -> list[Row]:
        if serial:
            place = self.tables.partition(cql, values)
            assert place is not None, f"a serial read is one partition's: {cql}"
            self._settle(place, among)
        return self.tables.select(cql, values, among)

    def decide(self, statements: Sequence[Statement], among: Sequence[int], reached: Sequence[int]) -> list[Row]:
        """What a conditional batch is answered. `reached`: the copies that have it at once, if it is applied."""
        place = self.tables.partition(*statements[0])
        assert place is not None
        self._settle(place, among)
        rows, mutations = self.tables.judge(statements, among)
        if mutations is not None:
            self.tables.apply(mutations, reached)
            if len(reached) < QUORUM:
                self._unsettled[place] = mutations
        return rows

    def _settle(self, place: Place, among: Sequence[int]) -> None:
        self.tables.apply(self._unsettled.pop(place, ()), among)


class ReplicasDriver(Driver):
    """A session of one process, called `name` for the draws."""

    def __init__(self, replicas: Replicas, process: Process, name: str) -> None:
        super().__init__(None, "in_memory", None)
        self._replicas = replicas
        self._process = process
        self._name = name

    async def write(self, cql: str, values: Sequence[Any]) -> None:
        tables = self._replicas.tables
        # Its timestamp is that of whoever writes: late, it is still behind what was written meanwhile.
        mutation = tables.mutation(cql, values, tables.now_us())
        draws = self._draws(((cql, values),))
        await self._ask(draws, lambda reached: tables.apply([mutation], reached), PLAIN_SHARE)

    async def decide(self, *statements: Statement) -> tuple[bool, list[Row]]:
        draws = self._draws(statements)
        among = draws.one_of(PAIRS)
        rows = await self._ask(draws, lambda reached: self._replicas.decide(statements, among, reached))
        return bool(rows[0][0]), rows

    async def run(self, cql: str) -> list[Row]:
        return await self.read(cql, ())

    async def close(self) -> None:
        self.closed = True

    async def _read(self, cql: str, values: Sequence[Any], serial: bool) -> list[Row]:
        self.check()
        self.requests += 1
        draws = self._draws(((cql, values),))
        among, rates = draws.one_of(PAIRS), self._replicas.rates
        if draws.draw() < rates.away:
            self._strike("away")
            await asyncio.sleep(draws.between(LATENCY_S))
            raise StoreAway("simulated")
        there_s, back_s = self._ways_s(draws)
        return await self._call(there_s, back_s, lambda: self._replicas.read(cql, values, among, serial=serial))

    async def _ask(self, draws: Draws, work: Callable[[Sequence[int]], T], share: float = 1.0) -> T:
        """Have a write done on the copies that it reaches. Raises StoreAway, or StoreUnknown."""
        self.check()
        self.requests += 1
        rates, drawn = self._replicas.rates, draws.draw() / share
        missed = draws.one_of((None, *range(COPIES)))
        if (drawn := drawn - rates.away) < 0:
            self._strike("away")
            await asyncio.sleep(draws.between(LATENCY_S))
            raise StoreAway("simulated")
        if (drawn := drawn - rates.lost) < 0:
            self._strike("lost")
        elif (drawn := drawn - rates.late) < 0:
            self._strike("late")
            late_s = TIMEOUT_S + draws.between(LATE_S)
            self._later(late_s, lambda: work([n for n in range(COPIES) if n != missed]))
        elif drawn - rates.unheard < 0:
            self._strike("unheard")
            reached = draws.one_of(REACHED_UNHEARD)
            self._later(draws.between(LATENCY_S), lambda: work(reached))
        else:
            there_s, back_s = self._ways_s(draws)
            return await self._call(there_s, back_s, lambda: work([n for n in range(COPIES) if n != missed]))
        if self._replicas.on_unknown is not None:
            self._replicas.on_unknown(self._name, draws.draw())
        await asyncio.sleep(TIMEOUT_S)
        self.unknown += 1
        raise StoreUnknown("simulated")

    async def _call(self, there_s: float, back_s: float, work: Callable[[], T]) -> T:
        loop = self._replicas.loop
        answer: asyncio.Future[T] = loop.create_future()

        def arrive() -> None:
            result: T | None = None
            error: Exception | None = None
            try:
                result = work()
            except Exception as raised:
                error = raised
            if back_s:
                loop.call_later(back_s, settle, answer, result, error, context=self._process.context)
            else:
                settle(answer, result, error)

        self._later(there_s, arrive)
        return await answer

    def _later(self, seconds: float, work: Callable[[], object]) -> None:
        # On the line it belongs to nobody: it arrives though the process that sent it is killed.
        self._replicas.loop.call_later(seconds, work, context=self._replicas.process.context)

    def _ways_s(self, draws: Draws) -> tuple[float, float]:
        """How long it takes there, and back."""
        there_s = draws.between(LATENCY_S)
        if draws.draw() >= self._replicas.rates.slow:
            return there_s, 0.0
        back_s = draws.between(SLOW_S)
        return (there_s, back_s) if draws.draw() < 0.5 else (back_s, there_s)

    def _strike(self, kind: str) -> None:
        self._replicas.struck[kind] += 1

    def _draws(self, statements: Iterable[Statement]) -> Draws:
        """By what the statements say, lists in the order of their values."""
        said = [(cql, [sorted(v) if isinstance(v, list) else v for v in values]) for cql, values in statements]
        return self._replicas.draws(self._name, repr(said))
