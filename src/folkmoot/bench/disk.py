"""How long the disk takes to sync, probed while a run lasts: every figure of a durable path stands beside it."""

import os
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.bench.figures import quantile

WRITE_BYTES: Final = 4_096
FILE_BYTES: Final = 1_048_576
EVERY_S: Final = 0.1


class DiskTimes(msgspec.Struct, frozen=True):
    """Times of fdatasync after a write of 4 KiB, in ms, and how many were taken."""

    fdatasync_ms_p50: float
    fdatasync_ms_p99: float
    count: int


class DiskProbe:
    """Writes and syncs ten times a second in a file of its own, beside the store. Use as a context manager.

    As a log is written: into room that the file has already, so that a sync waits for the data alone.
    """

    def __init__(self, folder: Path, *, every_s: float = EVERY_S) -> None:
        self._path = folder / "fdatasync.probe"
        self._every_s = every_s
        self._times_ms: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-probe", daemon=True)

    def __enter__(self) -> "DiskProbe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def times(self) -> DiskTimes:
        """What was seen so far; zeros where nothing was."""
        seen = list(self._times_ms)
        if not seen:
            return DiskTimes(0.0, 0.0, 0)
        return DiskTimes(quantile(seen, 0.5), quantile(seen, 0.99), len(seen))

    def _run(self) -> None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, b"\0" * FILE_BYTES, 0)
            os.fsync(file)
            offset = 0
            while not self._stop.wait(self._every_s):
                os.pwrite(file, os.urandom(WRITE_BYTES), offset)
                began_s = time.perf_counter()
                os.fdatasync(file)
                self._times_ms.append((time.perf_counter() - began_s) * 1_000)
                offset = (offset + WRITE_BYTES) % FILE_BYTES
        finally:
            os.close(file)
