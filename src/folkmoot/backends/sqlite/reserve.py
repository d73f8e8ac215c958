"""Room kept aside on the disk, given back when it is full, so that refusals can still be stored."""

import os
from pathlib import Path


class Reserve:
    """A file of nothing beside the database. Both calls are safe to repeat."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    @property
    def held(self) -> bool:
        """Whether the room is set aside now."""
        return self._size_bytes > 0 and self._path.exists() and self._path.stat().st_size >= self._size_bytes

    def make(self) -> bool:
        """Set the room aside; False where there is none."""
        if self._size_bytes == 0 or self.held:
            return True
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Give the room back to the file system; False where there was none to give."""
        held = self.held
        self._path.unlink(missing_ok=True)
        return held
