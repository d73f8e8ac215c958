"""`check live`: a crowd that talks while a real server suffers real faults, and the verdict on what everyone got."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from typing import Final

import msgspec

from folkmoot.checker.crowd import Crowd, CrowdSettings
from folkmoot.checker.history import Verdict, merged
from folkmoot.checker.target import NETWORK, Target
from folkmoot.client import Client

RECOVER_S_MAX: Final = 60.0
"""Whoever is not up to date so long after a fault was healed is stuck: the run is not clean."""

SETTLE_S_MAX: Final = 60.0
LASTS_S: Final = (0.2, 2.0)
CALM_S: Final = (0.05, 0.6)
NETWORK_SHARE: Final = 0.25
"""Of the rounds: so often a fault of the network comes together with one of the process."""

WEIGHTS: Final = {"kill": 9, "pause": 9, "restart": 1, "full_disk": 2}
"""How often each fault of a process is drawn, once each has been; each of the network's has weight 1."""

ACT_S_MAX: Final = 300.0
"""A run is acts of at most this, each judged by itself with groups of its own, so that hours need no more memory."""


class LiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`faults`: those to draw from, of `target.KINDS`; empty: all that the target can suffer."""

    seconds: float = 60.0
    seed: int = 0
    faults: tuple[str, ...] = ()
    crowd: CrowdSettings = CrowdSettings()
    recover_s_max: float = RECOVER_S_MAX
    connect_s_max: float = RECOVER_S_MAX


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One strike: its faults, when it began (seconds from the start), how long it lasted until it was healed.

    `recovery_s`: from then until everyone had everything again, None where that did not happen in time.
    """

    kinds: tuple[str, ...]
    began_s: float
    lasted_s: float
    recovery_s: float | None


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How long it took after one kind of fault, in seconds: from its healing, and `whole` from its beginning."""

    count: int
    p50_s: float
    max_s: float
    whole_p50_s: float
    whole_max_s: float


class LiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, and the verdict. `stuck`: who lacked what, where somebody did for too long."""

    seed: int
    seconds: float
    acts: int
    clients: int
    reconnects: int
    rounds: list[Round]
    stuck: list[str]
    verdict: Verdict
    interrupted: bool = False

    @property
    def clean(self) -> bool:
        return self.verdict.clean and not self.stuck

    def faults(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for one in self.rounds:
            for kind in one.kinds:
                counts[kind] = counts.get(kind, 0) + 1
        return dict(sorted(counts.items()))

    def recoveries(self) -> dict[str, Recovery]:
        """By the kinds of one strike."""
        by_kind: dict[str, list[Round]] = {}
        for one in self.rounds:
            if one.recovery_s is not None:
                by_kind.setdefault(" + ".join(one.kinds), []).append(one)
        return {kind: _recovery(rounds) for kind, rounds in sorted(by_kind.items())}


class Step(msgspec.Struct, frozen=True):
    """Where it is: for a progress bar."""

    elapsed_s: float
    total_s: float
    rounds: int
    acknowledged: int
    doing: str


class LiveCheck:
    """One run against one target. `token_of` makes a token for a user."""

    def __init__(
        self,
        target: Target,
        token_of: Callable[[str], str],
        settings: LiveSettings,
        on_step: Callable[[Step], None] = lambda _: None,
    ) -> None:
        """Raises ValueError where a fault is asked for that the target cannot suffer."""
        unknown = [kind for kind in settings.faults if kind not in target.faults]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not among what can be done here: {', '.join(target.faults)}")
        self._target = target
        self._token_of = token_of
        self._settings = settings
        self._on_step = on_step
        self._chance = random.Random(settings.seed)
        self._rounds: list[Round] = []
        self._struck: set[str] = set()
        self._verdicts: list[Verdict] = []
        self._stuck: list[str] = []
        self._reconnects = 0
        self._began_s = 0.0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the act soon: what there is so far is settled and judged."""
        self._stopping.set()

    async def run(self) -> LiveReport:
        """Raises what ends a client for good, or ChildFailed where the server did not come up again."""
        self._began_s = time.monotonic()
        acts = 0
        while not self._stopping.is_set() and not self._stuck and (acts == 0 or self._left_s() > 0):
            await self._act(acts)
            acts += 1
        return LiveReport(
            seed=self._settings.seed,
            seconds=self._elapsed_s(),
            acts=acts,
            clients=self._settings.crowd.clients + self._settings.crowd.groups,
            reconnects=self._reconnects,
            rounds=self._rounds,
            stuck=self._stuck,
            verdict=merged(self._verdicts),
            interrupted=self._stopping.is_set(),
        )

    async def _act(self, number: int) -> None:
        # How much is said depends on the machine: a sequence of its own, so that the faults stay those of the seed.
        talk_chance = random.Random(f"{self._settings.seed} act {number}")
        crowd = Crowd(self._client, self._settings.crowd, talk_chance)
        ends_s = time.monotonic() + min(ACT_S_MAX, self._left_s())
        try:
            self._tell(crowd, "connecting")
            await crowd.open(f"act{number}")
            talk = asyncio.create_task(crowd.talk())
            try:
                await self._strike_until(ends_s, crowd, talk)
            finally:
                talk.cancel()
                await asyncio.gather(talk, return_exceptions=True)
            self._tell(crowd, "settling")
            self._stuck += await crowd.settle(SETTLE_S_MAX)
            self._verdicts.append(crowd.judge())
        finally:
            self._reconnects += await crowd.close()

    async def _strike_until(self, ends_s: float, crowd: Crowd, talk: "asyncio.Task[None]") -> None:
        while time.monotonic() < ends_s and not self._stopping.is_set():
            if talk.done():
                talk.result()
            await self._calm(ends_s)
            kinds = self._draw()
            if not kinds:
                continue
            self._tell(crowd, " + ".join(kinds))
            began_s = self._elapsed_s()
            faults = self._target.faults
            await asyncio.gather(*(faults[kind](self._chance.uniform(*LASTS_S)) for kind in kinds))
            healed_s = self._elapsed_s()
            well = await crowd.probe(self._settings.recover_s_max)
            self._rounds.append(
                Round(
                    kinds=kinds,
                    began_s=began_s,
                    lasted_s=healed_s - began_s,
                    recovery_s=self._elapsed_s() - healed_s if well else None,
                )
            )
            if not well:
                self._stuck += await crowd.settle(0)
                self._stuck += [f"not up to date {self._settings.recover_s_max:g} s after {' + '.join(kinds)}"]
                return

    async def _calm(self, ends_s: float) -> None:
        """A random instant of undisturbed talk, so that a fault may hit any step of a message's way."""
        pause_s = min(self._chance.uniform(*CALM_S), max(0.0, ends_s - time.monotonic()))
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _draw(self) -> tuple[str, ...]:
        """One fault of a process, sometimes with one of the network; or one of the network."""
        allowed = [kind for kind in self._target.faults if not self._settings.faults or kind in self._settings.faults]
        network = [kind for kind in allowed if kind in NETWORK]
        process = [kind for kind in allowed if kind not in NETWORK]
        weights = [WEIGHTS.get(kind, 1) for kind in process]
        if not process or (network and self._chance.random() < len(network) / (len(network) + sum(weights))):
            return (self._chance.choice(network),) if network else ()
        # Each at least once where there is time for all, and only then by weight.
        unstruck = [kind for kind in process if kind not in self._struck]
        chosen = self._chance.choice(unstruck) if unstruck else self._chance.choices(process, weights)[0]
        self._struck.add(chosen)
        if network and self._chance.random() < NETWORK_SHARE:
            return (chosen, self._chance.choice(network))
        return (chosen,)

    def _client(self, user: str) -> Client:
        return Client(
            self._target.url_of(user),
            lambda: self._token_of(user),
            fresh="join",
            connect_s_max=self._settings.connect_s_max,
            reconnect_s_max=0.4,
            draw=random.Random(f"{self._settings.seed} {user}").random,
        )

    def _tell(self, crowd: Crowd, doing: str) -> None:
        acknowledged = sum(verdict.acknowledged for verdict in self._verdicts) + len(crowd.history.answered)
        self._on_step(Step(self._elapsed_s(), self._settings.seconds, len(self._rounds), acknowledged, doing))

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _left_s(self) -> float:
        return self._settings.seconds - self._elapsed_s()


def _recovery(rounds: list[Round]) -> Recovery:
    after = [one.recovery_s for one in rounds if one.recovery_s is not None]
    whole = [one.lasted_s + one.recovery_s for one in rounds if one.recovery_s is not None]
    return Recovery(
        count=len(after),
        p50_s=statistics.median(after),
        max_s=max(after),
        whole_p50_s=statistics.median(whole),
        whole_max_s=max(whole),
    )
