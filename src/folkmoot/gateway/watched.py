"""Files that matter while serving, and whether they have changed since they were last looked at."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

LOOK_S: Final = 0.5
"""Time between two looks: a change is in force well within a second, whether or not anybody says `reload`."""

_Stamp: TypeAlias = tuple[int, int, int] | None


class Watched:
    """Some files, which may or may not be there. Their content is never read here."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)
        self._seen: tuple[_Stamp, ...] | None = None

    def changed(self) -> bool:
        """Whether anything is other than at the last call; the first call says yes. Waits for the disk."""
        now = tuple(_stamp(path) for path in self._paths)
        before, self._seen = self._seen, now
        return now != before


def _stamp(path: Path) -> _Stamp:
    # Through links: mounted secrets are changed by turning a link to another folder.
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
