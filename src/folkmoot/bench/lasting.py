"""A load that goes on for long: what the server's memory does meanwhile."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from folkmoot.bench.process import ChildFailed
from folkmoot.bench.run import Run, fanned_out, series_of
from folkmoot.bench.stage import NAP_S, Stage
from folkmoot.bench.window import per_commit, refusals_of, times_of

EVERY_S: Final = 1.0
SETTLED_SHARE: Final = 0.25
"""Of the time, at its beginning: caches fill up in it, and its memory is not in the slope."""


def sustained(stage: Stage) -> Run:
    """Messages to many, with the memory every second."""
    with (
        stage.server() as server,
        stage.up(stage.job(server, traffic="sends", nap_s=NAP_S)) as fleet,
        MemoryCurve(lambda: server.usage().rss_bytes) as curve,
    ):
        window = stage.watch(server, fleet)
    run = Run(figures=window.conditions(), refusals=refusals_of(window), series=series_of("server", window))
    run.series["rss_mib_by_second"] = [(second, rss / 2**20) for second, rss in curve.points]
    if not run.refusals:
        run.figures |= fanned_out(window) | times_of("answer", window.tally.answers)
        run.figures |= {
            "entries_per_commit": per_commit(window.counted),
            "server_rss_bytes": float(window.after.rss_bytes),
            "rss_bytes_per_minute": 60 * slope_of(settled(curve.points)),
        }
    return run


class MemoryCurve:
    """Looks every second, from a thread of its own. Use as a context manager."""

    def __init__(self, look: Callable[[], int], *, every_s: float = EVERY_S) -> None:
        self._look = look
        self._every_s = every_s
        self._began_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-curve", daemon=True)
        self.points: list[tuple[float, float]] = []
        """Seconds since it began, and bytes."""

    def __enter__(self) -> "MemoryCurve":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.points.append((time.monotonic() - self._began_s, float(self._look())))
            except ChildFailed:
                return  # That it has ended is found by whoever waits for what it does.


def settled(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """The points after the first while."""
    return points[int(len(points) * SETTLED_SHARE) :]


def slope_of(points: Sequence[tuple[float, float]]) -> float:
    """By how much it rises in a second: the line with the least squares; 0 of fewer than two points."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
