"""Where results stay on this machine: one file a command, so that the planner finds the newest without being told."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from folkmoot.bench.report import Report, as_json

FILES_MAX: Final = 200
"""The oldest goes beyond it: each is some ten kilobytes."""


def kept_folder(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/folkmoot/bench`; the state home is `~/.local/state` where it is not set, or not absolute."""
    named = environment.get("XDG_STATE_HOME", "")
    home = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return home / "folkmoot" / "bench"


def kept_files(folder: Path) -> list[Path]:
    """The newest first; none where there is no such folder."""
    return sorted(folder.glob("*.json"), key=lambda path: path.name, reverse=True)


def keep(reports: Sequence[Report], folder: Path, *, at: datetime.datetime) -> Path:
    """Write what `--json` writes to a file of its own, named by the time. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    scenarios = "-".join(sorted({report.scenario for report in reports}))[:100]
    path = folder / f"{at.astimezone(datetime.UTC):%Y%m%dT%H%M%S%fZ}-{scenarios}.json"
    # Under another name first: whoever looks meanwhile finds the whole file or none.
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(as_json(reports))
    unfinished.replace(path)
    for old in kept_files(folder)[FILES_MAX:]:
        old.unlink(missing_ok=True)
    return path
