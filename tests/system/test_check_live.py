"""A minute of `check live` on a server of its own: killed, paused, restarted, cut off, its disk filled, and clean."""

import json
import subprocess
import sys

SECONDS = 60


def test_a_minute_of_faults_leaves_nothing_missing_doubled_or_out_of_order() -> None:
    command = [sys.executable, "-m", "folkmoot.cli", "check", "live", "--seconds", str(SECONDS), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5 * SECONDS, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    # The seed is in what is shown: the same faults in the same order, though not at the same instants. How many there
    # are depends on the machine; each of a process is drawn once before any of them is drawn twice.
    found = {name: report[name] for name in ("seed", "stuck", "verdict", "faults", "recoveries")}
    assert report["clean"], json.dumps(found, indent=1)
    assert done.returncode == 0
    assert len(report["rounds"]) >= 8, report["faults"]
    assert {"kill", "pause", "restart"} <= report["faults"].keys(), report["faults"]
    assert report["verdict"]["acknowledged"] > SECONDS
    assert report["verdict"]["deliveries"] > 5 * report["verdict"]["acknowledged"]
    assert all(one["recovery_s"] is not None for one in report["rounds"])
