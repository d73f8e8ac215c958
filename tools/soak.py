"""Fresh seeds of the simulator for as long as one likes; those that fail are added to the ones run with every check."""

import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(__file__).parent.parent / "tests" / "simulation" / "failed_seeds.txt"


def main(minutes: str) -> int:
    """Run for so many minutes; 1 where something failed."""
    command = [sys.executable, "-m", "folkmoot.cli", "check", "simulate", "--minutes", minutes, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    report = json.loads(done.stdout)
    hours = report["virtual_s"] / 3_600
    print(f"{report['runs']:,} runs from seed {report['first_seed']}, {hours:,.1f} simulated hours")
    known = set(FAILED.read_text().splitlines())
    with FAILED.open("a") as kept:
        for failed in report["failed"]:
            print(f"{', '.join(failed['laws'])}: {failed['again']}")
            line = f"{failed['workload']} {failed['seed']}"
            if line not in known:
                kept.write(f"{line}\n")
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "60"))
