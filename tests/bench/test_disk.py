"""The probe syncs while it is open, in a file that is gone afterwards."""

import threading
from pathlib import Path

from folkmoot.bench.disk import DiskProbe


def test_it_takes_times_and_leaves_nothing(tmp_path: Path) -> None:
    tick = threading.Event()
    with DiskProbe(tmp_path, every_s=0.001) as probe:
        for _ in range(5_000):
            if probe.times().count >= 5:
                break
            tick.wait(0.002)
        assert (tmp_path / "fdatasync.probe").exists()
    times = probe.times()
    assert times.count >= 5
    assert 0 < times.fdatasync_ms_p50 <= times.fdatasync_ms_p99
    assert list(tmp_path.iterdir()) == []


def test_nothing_taken_is_zero(tmp_path: Path) -> None:
    probe = DiskProbe(tmp_path)
    assert probe.times().count == 0
