"""Files that fill up, fail to sync, or lose their power: an SQLite VFS under a test's control."""

import errno
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw
import msgspec

from folkmoot.backends.sqlite.reserve import Reserve

_NAMES = iter(range(1_000_000))
_UNSYNCED_OPS_MAX: Final = 100_000


class _Write(msgspec.Struct, frozen=True):
    offset: int
    data: bytes


class _Truncate(msgspec.Struct, frozen=True):
    size_bytes: int


class _Record:
    """One file: what is on the platter, and what has been written since and may or may not get there."""

    def __init__(self, durable: bytes) -> None:
        self.durable = durable
        self.unsynced: list[_Write | _Truncate] = []

    def sync(self) -> None:
        self.durable = _after(self.durable, self.unsynced)
        self.unsynced = []

    def after_cut(self, rng: random.Random) -> bytes:
        """What a power cut may leave: what was synced, and of what came after nothing, a beginning, or any part."""
        ops = self.unsynced
        match rng.randrange(3):
            case 0:
                return self.durable
            case 1:
                kept = ops[: rng.randint(0, len(ops))]
            case _:
                kept = [op for op in ops if rng.random() < 0.5]
        if kept and isinstance(kept[-1], _Write) and rng.random() < 0.5:
            last = kept.pop()
            assert isinstance(last, _Write)
            kept.append(_Write(last.offset, last.data[: rng.randint(0, len(last.data))]))
        return _after(self.durable, kept)


class Cut(msgspec.Struct, frozen=True):
    """The files that a power cut left, by name, and what `on_cut` returned at that instant."""

    image: dict[str, bytes]
    note: object


class FaultyFiles(apsw.VFS):
    """The default VFS, and on top of it a disk that fills up, syncs that fail, and a record for power cuts.

    Hand its `name` to `SqliteStore.open` as `vfs`. The switches may be thrown at any time, from any thread:

    - `full`: no file may grow; `room_bytes`: all files together may not grow past it, `set_aside_bytes` counted;
    - `syncs_fail`, `writes_fail`: so many of the next calls fail. With `forgets`, what a failed sync should have
      brought to the disk reads as written, and no other sync brings it there: as systems do;
    - `cut_chance`: before each write the power may be cut. `cuts` keeps what it would have left; the run goes on.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.name = f"faulty-{next(_NAMES)}"
        self.full = False
        self.room_bytes: int | None = None
        self.set_aside_bytes = 0
        self.syncs_fail = 0
        self.writes_fail = 0
        self.forgets = False
        self.syncs = 0
        self.cut_chance = 0.0
        self.cuts: list[Cut] = []
        self.on_cut: Callable[[], object] = lambda: None
        self.on_sync: Callable[[str], None] = lambda path: None
        self._rng = random.Random(seed)
        self._records: dict[str, _Record] = {}
        self._lock = threading.RLock()
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_FaultyFile":
        return _FaultyFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with self._lock:
            self._records.pop(filename, None)
        super().xDelete(filename, syncdir)

    def image(self) -> dict[str, bytes]:
        """The files as a power cut at this instant may leave them, by name."""
        with self._lock:
            return {Path(path).name: record.after_cut(self._rng) for path, record in self._records.items()}

    def durable(self) -> dict[str, bytes]:
        """The files as the worst power cut at this instant leaves them, by name: what was synced, nothing more."""
        with self._lock:
            return {Path(path).name: record.durable for path, record in self._records.items()}

    def adopt(self, folder: Path, durable: dict[str, bytes]) -> None:
        """Take over the files in `folder` as a killed process left them, of which only `durable` is on the platter."""
        for name, content in durable.items():
            record = self._records[str(folder / name)] = _Record(content)
            record.unsynced.append(_Write(0, (folder / name).read_bytes()))

    def cut(self) -> None:
        """The power is cut now, or would be."""
        self.cuts.append(Cut(self.image(), self.on_cut()))

    def free_bytes(self) -> int:
        """How much all files together may grow."""
        if self.full:
            return 0
        if self.room_bytes is None:
            return 2**62
        with self._lock:
            used = sum(Path(path).stat().st_size for path in self._records if Path(path).exists())
        return self.room_bytes - used - self.set_aside_bytes

    def record(self, path: str) -> _Record:
        with self._lock:
            if path not in self._records:
                self._records[path] = _Record(Path(path).read_bytes() if Path(path).exists() else b"")
            return self._records[path]

    def note(self, path: str, op: _Write | _Truncate) -> None:
        """Called before each write: it may be the last that the machine lives to see."""
        with self._lock:
            record = self.record(path)
            record.unsynced.append(op)
            assert len(record.unsynced) < _UNSYNCED_OPS_MAX
            if self._rng.random() < self.cut_chance:
                self.cut()

    def sync_fails(self, path: str) -> bool:
        with self._lock:
            if self.syncs_fail <= 0:
                return False
            self.syncs_fail -= 1
            if self.forgets:
                self.record(path).unsynced = []
            return True

    def synced(self, path: str) -> None:
        with self._lock:
            self.syncs += 1
            self.record(path).sync()


class FaultyReserve(Reserve):
    """A reserve on the disk that `FaultyFiles` plays."""

    def __init__(self, files: FaultyFiles, path: Path, size_bytes: int) -> None:
        super().__init__(path, size_bytes)
        self._files = files

    def release(self) -> bool:
        self._files.set_aside_bytes = 0
        return super().release()

    def room(self, size_bytes: int) -> bool:
        return self._files.free_bytes() >= size_bytes

    def _allocate(self, file: int) -> None:
        if self._files.free_bytes() < self.size_bytes:
            raise OSError(errno.ENOSPC, "no room")
        super()._allocate(file)
        self._files.set_aside_bytes = self.size_bytes


class _FaultyFile(apsw.VFSFile):
    def __init__(self, files: FaultyFiles, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._files = files
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name or "")
        # Of files without a name and of shared memory nothing outlives a process: they are not recorded.
        self._recorded = bool(self._path) and not self._path.endswith("-shm")
        if self._recorded:
            files.record(self._path)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        files = self._files
        if files.writes_fail > 0:
            files.writes_fail -= 1
            raise apsw.IOError("the disk failed to write")
        growth_bytes = offset + len(data) - self.xFileSize()
        if growth_bytes > 0 and growth_bytes > files.free_bytes():
            raise apsw.FullError("no room")
        if self._recorded:
            files.note(self._path, _Write(offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        if self._recorded:
            self._files.note(self._path, _Truncate(newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        files = self._files
        if self._recorded:
            files.on_sync(self._path)
        if files.sync_fails(self._path):
            raise apsw.IOError("the disk failed to sync")
        super().xSync(flags)
        if self._recorded:
            files.synced(self._path)


def _after(content: bytes, ops: list[_Write | _Truncate]) -> bytes:
    if not ops:
        return content
    changed = bytearray(content)
    for op in ops:
        if isinstance(op, _Truncate):
            del changed[op.size_bytes :]
            changed.extend(b"\0" * (op.size_bytes - len(changed)))
        else:
            changed.extend(b"\0" * (op.offset - len(changed)))
            changed[op.offset : op.offset + len(op.data)] = op.data
    return bytes(changed)
