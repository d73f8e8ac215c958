"""Faults drawn for a plan: which kinds, how many, on whom, when, for how long."""

import random
from collections.abc import Callable, Sequence
from typing import Final

from folkmoot.testing.plan import Fault

GATEWAYS: Final = ("gateway-1", "gateway-2")
ROUTERS: Final = ("router-1", "router-2")
DELIVERIES: Final = ("delivery-1", "delivery-2")
NODES: Final = (*GATEWAYS, *ROUTERS, *DELIVERIES)

COPIES: Final = ("lose entries", "double", "reorder", "delay")
"""What the bus may do to a copy, and be mended within seconds."""

STORE: Final = ("refuse", "slow", "time out reading", "write lost", "write late", "write unheard", "store away")
SERVERS: Final = ("kill", "pause", "bus away", "cut", "cut both", "lose", "believe gone", "clock jump", "clock drift")
CLIENTS: Final = ("crash", "break", "not reading", "roll back", "pause client", "cut client")
ALL: Final = (*COPIES, *STORE, *SERVERS, *CLIENTS, "store full")

OWNERS: Final = ("kill delivery", "kill gateway", "pause", "bus away edge", "bus away delivery")
"""What a change of owner, or an announcement, mends within seconds, where no router was killed before it published."""

GUESTS: Final = ("double", "reorder", "delay", "crash", "break", "not reading", "pause client")
"""What leaves hints where they are, so that whoever is added while online is told at once."""

HEAL_S_SOON: Final = 60.0
"""Once a client has found a dead connection by its silence, and its sends have been tried again."""

HEAL_S_COPIES: Final = 20.0
"""Once messages come again, the heads of the last seconds show what was lost."""

HEAL_S_MAX: Final = 480.0
"""The last resort, a sweep of everything, is due within 300 s; what it finds takes some seconds more."""


class Troubles:
    """Draws faults for a run of `lasts_s` seconds with these machines."""

    def __init__(self, draw: random.Random, machines: Sequence[str], lasts_s: float, *, from_s: float = 0.05) -> None:
        self._from_s = from_s
        self._draw = draw
        self._machines = machines
        self._lasts_s = lasts_s

    def drawn(self, kinds: Sequence[str], count: int) -> list[Fault]:
        """`count` faults of these kinds, in the order in which they come."""
        faults = [self._one(self._draw.choice(kinds)) for _ in range(count)]
        return sorted(faults, key=lambda fault: fault.at_s)

    def some(self, kinds: Sequence[str], *, count_max: int = 6) -> list[Fault]:
        """A few kinds of these, and a few faults of each: runs differ in what goes wrong, and in how much."""
        chosen = self._draw.sample(list(kinds), min(len(kinds), self._draw.randint(1, 4)))
        return self.drawn(chosen, self._draw.randint(1, count_max))

    def _one(self, kind: str) -> Fault:
        draw = self._draw
        at_s = round(draw.uniform(self._from_s, self._lasts_s), 3)
        lasts_s = round(min(draw.choice((0.2, 1.0, 3.0, 8.0)) * draw.uniform(0.5, 1.5), 10.0), 3)
        steps = draw.choice((1, 1, draw.randint(1, 60)))
        make = _MADE.get(kind)
        if make is not None:
            return make(self, kind, at_s, lasts_s, steps)
        rate = draw.choice((0.05, 0.2, 0.5))
        return Fault(at_s=at_s, kind=kind, lasts_s=lasts_s, rate=rate)

    def _node(self, kind: str, at_s: float, lasts_s: float, steps: int) -> Fault:
        kind, _, role = kind.partition(" ")
        nodes = {"gateway": GATEWAYS, "router": ROUTERS, "delivery": DELIVERIES}.get(role, NODES)
        return Fault(at_s=at_s, kind=kind, target=self._draw.choice(nodes), lasts_s=lasts_s, steps=steps)

    def _machine(self, kind: str, at_s: float, lasts_s: float, steps: int) -> Fault:
        kind = {"pause client": "pause"}.get(kind, kind)
        other = self._draw.choice(("", "", "client", "server")) if kind == "break" else ""
        target = self._draw.choice(self._machines)
        return Fault(at_s=at_s, kind=kind, target=target, other=other, lasts_s=lasts_s, steps=steps)

    def _node_or_all(self, kind: str, at_s: float, lasts_s: float, steps: int) -> Fault:
        kind, _, role = kind.rpartition(" ") if kind.endswith((" edge", " delivery")) else (kind, "", "")
        target = self._draw.choice({"edge": GATEWAYS, "delivery": DELIVERIES}.get(role, (*NODES, "")))
        return Fault(at_s=at_s, kind=kind, target=target, lasts_s=lasts_s)

    def _pair(self, kind: str, at_s: float, lasts_s: float, steps: int) -> Fault:
        roles = [GATEWAYS, ROUTERS, DELIVERIES]
        if kind == "cut client":
            ends = [self._draw.choice(self._machines), self._draw.choice(GATEWAYS)]
            kind = self._draw.choice(("cut", "cut both"))
        else:
            ends = [self._draw.choice(role) for role in self._draw.sample(roles, 2)]
        self._draw.shuffle(ends)
        return Fault(at_s=at_s, kind=kind, target=ends[0], other=ends[1], lasts_s=lasts_s)

    def _belief(self, kind: str, at_s: float, lasts_s: float, steps: int) -> Fault:
        one, other = self._draw.sample(self._draw.choice((ROUTERS, DELIVERIES)), 2)
        return Fault(at_s=at_s, kind=kind, target=one, other=other, lasts_s=lasts_s)

    def _clock(self, kind: str, at_s: float, lasts_s: float, steps: int) -> Fault:
        jump = self._draw.choice((-30.0, -2.0, 2.0, 30.0, 3_600.0))
        rate = jump if kind == "clock jump" else self._draw.choice((0.8, 0.98, 1.02, 1.25))
        return Fault(at_s=at_s, kind=kind, target=self._draw.choice(NODES), lasts_s=lasts_s, rate=rate)


_Make = Callable[[Troubles, str, float, float, int], Fault]

_MADE: Final[dict[str, _Make]] = {
    "kill": Troubles._node,
    "pause": Troubles._node,
    "kill gateway": Troubles._node,
    "pause gateway": Troubles._node,
    "kill router": Troubles._node,
    "pause router": Troubles._node,
    "kill delivery": Troubles._node,
    "bus away": Troubles._node_or_all,
    "bus away edge": Troubles._node_or_all,
    "bus away delivery": Troubles._node_or_all,
    "store away": Troubles._node_or_all,
    "store full": Troubles._node_or_all,
    "cut": Troubles._pair,
    "cut both": Troubles._pair,
    "cut client": Troubles._pair,
    "believe gone": Troubles._belief,
    "clock jump": Troubles._clock,
    "clock drift": Troubles._clock,
    "crash": Troubles._machine,
    "break": Troubles._machine,
    "not reading": Troubles._machine,
    "roll back": Troubles._machine,
    "pause client": Troubles._machine,
}
