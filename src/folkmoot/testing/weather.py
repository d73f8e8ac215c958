"""What it is like between processes at this moment: delays, losses, cuts, a store out of reach. From a seed."""

import random
from collections.abc import Iterable
from typing import Final

LATENCY_S: Final = (0.0002, 0.004)
DELAYED_S: Final = (0.05, 3.0)
SLOW_S: Final = (0.05, 1.5)


class Weather:
    """Rates by kind of fault, cuts by pair of processes. Counts what struck."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"{seed}/weather")
        self.counts: dict[str, int] = {}
        self._rates: dict[str, list[float]] = {}
        # How many faults cut a pair: (from, to).
        self._cuts: dict[tuple[str, str], int] = {}
        self._store_away: dict[str, int] = {}
        self._bus_away: dict[str, int] = {}

    def strikes(self, kind: str) -> bool:
        """Whether a fault that strikes some of many strikes this one."""
        rates = self._rates.get(kind)
        if not rates or self.random.random() >= rates[-1]:
            return False
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return True

    def latency_s(self) -> float:
        low, high = LATENCY_S
        return low + self.random.random() * (high - low)

    def between_s(self, bounds: tuple[float, float]) -> float:
        return bounds[0] + self.random.random() * (bounds[1] - bounds[0])

    def rate(self, kind: str, rate: float) -> None:
        """From now on `kind` strikes this often; the last that was set counts."""
        self._rates.setdefault(kind, []).append(rate)

    def end_rate(self, kind: str, rate: float) -> None:
        rates = self._rates.get(kind, [])
        if rate in rates:
            rates.remove(rate)

    def cut(self, pairs: Iterable[tuple[str, str]], by: int) -> None:
        """One more fault (`by` 1), or one less (-1), keeps messages from the one to the other."""
        for pair in pairs:
            self._cuts[pair] = self._cuts.get(pair, 0) + by
            if not self._cuts[pair]:
                del self._cuts[pair]

    def is_cut(self, source: str, target: str) -> bool:
        return (source, target) in self._cuts

    def bus_away(self, process: str, by: int) -> None:
        """The bus cannot be reached from a process; from any: ""."""
        self._bus_away[process] = self._bus_away.get(process, 0) + by

    def without_bus(self) -> list[str]:
        """The processes that cannot reach the bus now; "": none can."""
        return [name for name, count in self._bus_away.items() if count > 0]

    def is_bus_cut(self, source: str, target: str) -> bool:
        away = self._bus_away
        if away and any(away.get(name, 0) > 0 for name in ("", source, target)):
            return True
        return self.is_cut(source, target)

    def store_away(self, process: str, by: int) -> None:
        """The store cannot be reached from a process; from any: ""."""
        self._store_away[process] = self._store_away.get(process, 0) + by

    def is_store_away(self, process: str) -> bool:
        away = self._store_away
        return bool(away) and (away.get("", 0) > 0 or away.get(process, 0) > 0)

    def clear(self) -> None:
        """All is well from now on."""
        self._rates.clear()
        self._cuts.clear()
        self._bus_away.clear()
        self._store_away.clear()
