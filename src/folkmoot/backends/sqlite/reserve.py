"""Room kept aside on the disk, given back when it is full, so that refusals can still be stored."""

import os
from pathlib import Path


class Reserve:
    """A file of nothing beside the database. Both calls are safe to repeat."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._path = path
        self._held = size_bytes > 0 and path.exists() and path.stat().st_size >= size_bytes

    @property
    def held(self) -> bool:
        """Whether the room is set aside now."""
        return self._held

    @property
    def spent(self) -> bool:
        """Whether there should be room set aside, and is none."""
        return self.size_bytes > 0 and not self._held

    def make(self) -> bool:
        """Set the room aside; False where there is none."""
        if self.size_bytes == 0 or self._held:
            return True
        try:
            with self._path.open("wb") as file:
                self._allocate(file.fileno())
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        self._held = True
        return True

    def release(self) -> bool:
        """Give the room back to the file system; False where there was none to give."""
        held, self._held = self._held, False
        if self.size_bytes > 0:
            self._path.unlink(missing_ok=True)
        return held

    def room(self, size_bytes: int) -> bool:
        """Whether there is this much room now, beside what is set aside."""
        trial = self._path.with_name(f"{self._path.name}.trial")
        try:
            with trial.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
        except OSError:
            return False
        finally:
            trial.unlink(missing_ok=True)
        return True

    def _allocate(self, file: int) -> None:
        os.posix_fallocate(file, 0, self.size_bytes)
