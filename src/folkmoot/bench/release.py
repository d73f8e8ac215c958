"""What was measured of a release, kept in `bench/results/<version>.json`: counts to compare the next one with."""

from pathlib import Path
from typing import Final

import msgspec

from folkmoot.bench.comparison import COLUMNS, Comparison
from folkmoot.bench.counted import Counts
from folkmoot.bench.figures import Spread

FOLDER: Final = Path("bench") / "results"


class Release(msgspec.Struct, kw_only=True):
    """One release. `counts`: one for each way to write to members and each Python that it was counted with.

    `beside`: figures of a comparison, by scenario, contender and name.
    """

    version: str
    counts: list[Counts] = []
    beside: dict[str, dict[str, dict[str, Spread]]] = {}

    def like(self, now: Counts) -> Counts | None:
        """What `now` can be compared with: counted the same way."""
        return next((one for one in self.counts if (one.writes, one.python) == (now.writes, now.python)), None)


def read(file: Path) -> Release | None:
    """The release in the file, none where there is no such file. Raises OSError, msgspec.DecodeError."""
    return msgspec.json.decode(file.read_bytes(), type=Release) if file.exists() else None


def write(file: Path, release: Release) -> None:
    """Write it there. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(release), indent=1) + b"\n")


def with_counts(release: Release, now: Counts) -> Release:
    """The same with `now` in place of what was counted the same way."""
    kept = [one for one in release.counts if one != release.like(now)]
    return msgspec.structs.replace(release, counts=sorted([*kept, now], key=lambda one: (one.python, one.writes)))


def with_comparison(release: Release, comparison: Comparison) -> Release:
    """The same with what a comparison found in place of what was there of its scenarios."""
    beside = dict(release.beside)
    for plan in comparison.plans:
        assert plan.scenario in COLUMNS
        names = comparison.names(plan.scenario)
        beside[plan.scenario] = {name: comparison.figures(plan.scenario, name) for name in names}
    return msgspec.structs.replace(release, beside=beside)
