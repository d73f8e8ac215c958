"""`check heal`: a fault again and again while a crowd talks; how long it took to notice it, and to heal."""

import asyncio
import itertools
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from folkmoot.checker.cluster_target import ClusterTarget
from folkmoot.checker.crowd import Crowd, CrowdSettings
from folkmoot.checker.history import Verdict
from folkmoot.checker.noticing import Logs
from folkmoot.client import Client
from folkmoot.cluster.plan import Kind, Shape

Fault: TypeAlias = Literal[
    "kill_router", "kill_delivery", "kill_gateway", "kill_nats", "kill_cassandra", "bus_away", "join"
]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)

AIMS_S: Final[dict[Fault, float]] = {
    "kill_router": 3.0, "kill_delivery": 3.0, "kill_gateway": 5.0, "kill_nats": 5.0, "kill_cassandra": 10.0,
    "bus_away": 3.0, "join": 1.0,
}  # fmt: skip
"""What healing may take; of `join`, which heals nothing, the longest wait for a message."""

WATCHED_S_MIN: Final = 4.0
"""Longer than it takes to notice a dead process: before that nothing is known to be healed."""

HEAL_S_MAX: Final = 60.0
SILENT_S: Final = 2.0
"""So long before the bus comes back nobody sends any more: that all is delivered then is not by the next message."""

STUCK_MAX: Final = 20
"""Of those who wait, so many are named."""

LOOK_AGAIN_S: Final = 0.02


class HealSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`strikes` of each of `faults`. `back_s`: when what was killed is started again; None: once all is healed.

    `calm_s`: it is healed once nobody has waited for longer than a message takes for so long.
    """

    faults: tuple[Fault, ...] = FAULTS
    strikes: int = 5
    back_s: float | None = None
    away_s: float = 30.0
    calm_s: float = 2.0
    seed: int = 0
    crowd: CrowdSettings = CrowdSettings(clients=200, groups=20, members=20)
    connect_s_max: float = HEAL_S_MAX


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """One strike, in seconds. `noticed_s`: until the first process knew of it; None where none logs that.

    `healed_s`: until nobody waited any more for a message that was late, None where that did not happen in time.
    `longest_s`: the longest that a message took from being sent until all had it. `reconnects`: of clients.
    """

    fault: Fault
    name: str
    noticed_s: float | None
    healed_s: float | None
    longest_s: float
    reconnects: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Of all strikes of one fault."""

    count: int
    noticed_p50_s: float | None
    noticed_max_s: float | None
    healed_p50_s: float
    healed_max_s: float
    longest_s: float
    reconnects: int


class HealReport(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, and the verdict. `load`: the machine's, as processes that wanted a core: least and most seen."""

    seed: int
    clients: int
    sends_per_s: float
    cores: int
    load: tuple[float, float]
    strikes: list[Struck]
    stuck: list[str]
    verdict: Verdict

    @property
    def clean(self) -> bool:
        return self.verdict.clean and not self.stuck

    def summaries(self) -> dict[Fault, Summary]:
        by_fault: dict[Fault, list[Struck]] = {}
        for one in self.strikes:
            by_fault.setdefault(one.fault, []).append(one)
        return {fault: _summary(strikes) for fault, strikes in by_fault.items()}


class _Begun(msgspec.Struct, frozen=True):
    """A strike, as it was made: by the clock of waits, in seconds, and that of logs, in milliseconds."""

    fault: Fault
    name: str
    at_s: float
    at_ms: float
    reconnects: int


class HealCheck:
    """One run against one cluster, of which `spare` were not started: what joins."""

    def __init__(
        self,
        target: ClusterTarget,
        token_of: Callable[[str], str],
        settings: HealSettings,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._target = target
        self._token_of = token_of
        self._settings = settings
        self._on_step = on_step
        self._chance = random.Random(settings.seed)
        self._crowd = Crowd(self._client, settings.crowd, self._chance)
        self._talk: asyncio.Task[None] | None = None
        self._strikes: list[Struck] = []
        self._stuck: list[str] = []
        self._loads: list[float] = []

    async def run(self) -> HealReport:
        """Raises what ends a client for good, or ProcessFailed where a process did not come up again."""
        crowd = self._crowd
        try:
            self._on_step("connecting")
            await crowd.open("heal")
            self._begin_talk()
            await self._calm()
            for fault, number in itertools.product(self._settings.faults, range(1, self._settings.strikes + 1)):
                if self._stuck:
                    break
                self._on_step(f"{fault.replace('_', ' ')} {number} of {self._settings.strikes}")
                await self._strike(fault)
            self._on_step("settling")
            await self._end_talk()
            self._stuck += (await crowd.settle(0.0 if self._stuck else HEAL_S_MAX))[:STUCK_MAX]
            verdict = crowd.judge()
        finally:
            await self._end_talk()
            await crowd.close()
        return HealReport(
            seed=self._settings.seed,
            clients=self._settings.crowd.clients + self._settings.crowd.groups,
            sends_per_s=self._settings.crowd.sends_per_s,
            cores=os.cpu_count() or 1,
            load=(min(self._loads, default=0.0), max(self._loads, default=0.0)),
            strikes=self._strikes,
            stuck=self._stuck,
            verdict=verdict,
        )

    async def _strike(self, fault: Fault) -> None:
        await asyncio.sleep(self._chance.uniform(0.2, 1.2))
        self._loads.append(os.getloadavg()[0])
        if fault == "bus_away":
            await self._bus_away()
        elif fault == "join":
            for name in self._target.spare:
                await self._join(name)
            for name in self._target.spare:
                await self._target.cluster.stop(name)
            await self._calm()
        else:
            await self._kill(fault, self._target.draw(_kind_of(fault)))

    async def _kill(self, fault: Fault, name: str) -> None:
        cluster, kind = self._target.cluster, _kind_of(fault)
        logs, begun = self._logs(name), self._begun(fault, name)
        await cluster.kill(name)
        # Where there was one alone, as on a file of SQLite one router, nobody takes its place.
        back_s = 0.0 if len(cluster.of_kind(kind)) == 1 else self._settings.back_s
        noticing = asyncio.create_task(self._first_cut_off()) if kind == "gateway" else None
        starting = None if back_s is None else asyncio.create_task(self._start_later(name, back_s))

        def noticed_ms() -> float | None:
            # Of a gateway its clients know first.
            return logs.first_loss_ms(kind) if noticing is None or not noticing.done() else noticing.result()

        await self._healed(begun, noticed_ms)
        await (starting if starting is not None else cluster.start(name))
        await self._target.rejoined(name)
        await self._calm()

    async def _first_cut_off(self) -> float | None:
        """When a client was first seen without its connection."""
        ends_s = time.monotonic() + WATCHED_S_MIN
        while time.monotonic() < ends_s:
            if self._crowd.connected() < self._settings.crowd.clients + self._settings.crowd.groups:
                return time.time() * 1_000
            await asyncio.sleep(LOOK_AGAIN_S)
        return None

    async def _start_later(self, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._target.cluster.start(name)

    async def _join(self, name: str) -> None:
        kind: Kind = "router" if name.startswith("router") else "delivery"
        logs, begun = self._logs(name), self._begun("join", name)
        await self._target.cluster.start(name)
        await self._healed(begun, lambda: logs.first_gain_ms(kind))

    async def _bus_away(self) -> None:
        """Nobody sends any more when it comes back: what was sent before has to arrive all the same."""
        cluster, crowd = self._target.cluster, self._crowd
        servers, reconnects = cluster.of_kind("nats"), crowd.reconnects()
        await asyncio.gather(*(cluster.kill(name) for name in servers))
        await asyncio.sleep(max(0.0, self._settings.away_s - SILENT_S))
        await self._end_talk()
        await asyncio.sleep(min(SILENT_S, self._settings.away_s))
        logs = self._logs("")
        await asyncio.gather(*(cluster.start(name) for name in servers))
        back = self._begun("bus_away", "all of NATS", reconnects)
        stuck = await crowd.settle(HEAL_S_MAX)
        healed_s = time.monotonic() - back.at_s
        self._note(back, logs.first_gain_ms("nats"), None if stuck else healed_s)
        self._stuck += stuck[:STUCK_MAX]
        self._begin_talk()
        await self._calm()

    def _begun(self, fault: Fault, name: str, reconnects: int | None = None) -> _Begun:
        """Now; `reconnects` is how often clients had to connect again before, if not so far."""
        if reconnects is None:
            reconnects = self._crowd.reconnects()
        return _Begun(fault, name, time.monotonic(), time.time() * 1_000, reconnects)

    async def _healed(self, begun: _Begun, noticed_ms: Callable[[], float | None]) -> None:
        is_calm = await self._calm(begun.at_s + WATCHED_S_MIN)
        self._note(begun, noticed_ms(), self._crowd.delays.healed_s(begun.at_s) if is_calm else None)
        if not is_calm:
            self._stuck += (await self._crowd.settle(0))[:STUCK_MAX]
            self._stuck += [f"not healed {HEAL_S_MAX:g} s after {begun.fault} of {begun.name}"]

    def _note(self, begun: _Begun, noticed_ms: float | None, healed_s: float | None) -> None:
        self._strikes.append(
            Struck(
                fault=begun.fault,
                name=begun.name,
                noticed_s=None if noticed_ms is None else (noticed_ms - begun.at_ms) / 1_000,
                healed_s=healed_s,
                longest_s=self._crowd.delays.longest_s(begun.at_s),
                reconnects=self._crowd.reconnects() - begun.reconnects,
            )
        )

    async def _calm(self, not_before_s: float = 0.0) -> bool:
        """Return once nobody has waited for long for a while; False where that does not come."""
        delays, begun_s = self._crowd.delays, time.monotonic()
        late_s = begun_s
        while True:
            if self._talk is not None and self._talk.done():
                self._talk.result()
            now_s = time.monotonic()
            if delays.is_late(now_s):
                late_s = now_s
            if now_s - late_s > self._settings.calm_s and now_s > not_before_s:
                return True
            if now_s - max(begun_s, not_before_s) > HEAL_S_MAX:
                return False
            await asyncio.sleep(LOOK_AGAIN_S)

    def _begin_talk(self) -> None:
        self._talk = asyncio.create_task(self._crowd.talk())

    async def _end_talk(self) -> None:
        if self._talk is not None:
            self._talk.cancel()
            await asyncio.gather(self._talk, return_exceptions=True)
            self._talk = None

    def _logs(self, name: str) -> Logs:
        """Of all processes of ours but that one."""
        parts = self._target.cluster.parts.values()
        ours = ("router", "delivery", "gateway")
        return Logs({part.name: part.log for part in parts if part.kind in ours and part.name != name})

    def _client(self, user: str) -> Client:
        return Client(
            self._target.url_of(user),
            lambda: self._token_of(user),
            fresh="join",
            connect_s_max=self._settings.connect_s_max,
            draw=random.Random(f"{self._settings.seed} {user}").random,
        )


def shape_of(cassandra_nodes: int, nats: int, faults: tuple[Fault, ...], settings: tuple[str, ...]) -> Shape:
    """Two of each role, with a third router and delivery to join; one router, and no other to join, on SQLite.

    Raises ValueError where such a cluster cannot suffer one of the faults.
    """
    if "kill_cassandra" in faults and cassandra_nodes < 3:
        raise ValueError("kill_cassandra: of one node of Cassandra there is no other that goes on")
    more = int("join" in faults)
    routers = 1 if cassandra_nodes == 0 else 2 + more
    return Shape(cassandra_nodes=cassandra_nodes, nats=nats, routers=routers, deliveries=2 + more, set=settings)


def spare_of(shape: Shape, faults: tuple[Fault, ...]) -> tuple[str, ...]:
    """The parts of the shape that join."""
    if "join" not in faults:
        return ()
    return tuple(
        f"{kind}-3" for kind, count in (("router", shape.routers), ("delivery", shape.deliveries)) if count > 2
    )


def _kind_of(fault: Fault) -> Kind:
    kinds: dict[Fault, Kind] = {
        "kill_router": "router", "kill_delivery": "delivery", "kill_gateway": "gateway", "kill_nats": "nats",
        "kill_cassandra": "cassandra",
    }  # fmt: skip
    return kinds[fault]


def _summary(strikes: list[Struck]) -> Summary:
    noticed = [one.noticed_s for one in strikes if one.noticed_s is not None]
    healed = [HEAL_S_MAX if one.healed_s is None else one.healed_s for one in strikes]
    return Summary(
        count=len(strikes),
        noticed_p50_s=statistics.median(noticed) if noticed else None,
        noticed_max_s=max(noticed, default=None),
        healed_p50_s=statistics.median(healed),
        healed_max_s=max(healed),
        longest_s=max(one.longest_s for one in strikes),
        reconnects=sum(one.reconnects for one in strikes),
    )
