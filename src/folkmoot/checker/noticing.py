"""When the first process took another for dead, or heard of a new one: from what the processes of a cluster log."""

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

EVENTS: Final[dict[str, str]] = {"nats": "bus cut", "cassandra": "a node of Cassandra is away"}
"""What is logged of the loss of one. Of our own roles it is a view of who lives, which has become smaller."""

VIEW_CHANGED: Final = "who lives has changed"


class _Line(msgspec.Struct):
    event: str = ""
    timestamp: str = ""
    role: str = ""
    before: int = 0
    now: int = 0


class Logs:
    """The logs of a cluster's processes, from this moment on."""

    def __init__(self, logs: Mapping[str, Path]) -> None:
        self._from = {path: path.stat().st_size if path.exists() else 0 for path in logs.values()}

    def first_loss_ms(self, kind: str) -> float | None:
        """Wall-clock milliseconds at which the first process said that it misses one of this kind; None: nobody did."""
        return _first(line for line in self._lines() if _is_loss(line, kind))

    def first_gain_ms(self, kind: str) -> float | None:
        """The same of one more."""
        return _first(line for line in self._lines() if _is_gain(line, kind))

    def _lines(self) -> Iterable[_Line]:
        for path, start in self._from.items():
            if not path.exists():
                continue
            with path.open("rb") as words:
                # A log that was laid aside meanwhile begins anew.
                words.seek(start if path.stat().st_size >= start else 0)
                for raw in words:
                    try:
                        yield msgspec.json.decode(raw, type=_Line)
                    except msgspec.DecodeError:
                        continue


def _is_loss(line: _Line, kind: str) -> bool:
    if kind in EVENTS:
        return line.event == EVENTS[kind]
    return line.event == VIEW_CHANGED and line.role == kind and line.now < line.before


def _is_gain(line: _Line, kind: str) -> bool:
    if kind == "nats":
        return line.event == "bus back"
    return line.event == VIEW_CHANGED and line.role == kind and line.now > line.before


def _first(lines: Iterable[_Line]) -> float | None:
    times = [datetime.datetime.fromisoformat(line.timestamp).timestamp() * 1_000 for line in lines if line.timestamp]
    return min(times, default=None)
