"""Files that fill up, fail to sync, or lose their power: an SQLite VFS under a test's control."""

import random
import threading
from pathlib import Path
from typing import Final

import apsw
import msgspec

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
        """What a power cut leaves: what was synced, and any beginning of what came after, the last write torn."""
        kept = self.unsynced[: rng.randint(0, len(self.unsynced))]
        if kept and isinstance(kept[-1], _Write) and rng.random() < 0.5:
            last = kept.pop()
            assert isinstance(last, _Write)
            kept.append(_Write(last.offset, last.data[: rng.randint(0, len(last.data))]))
        return _after(self.durable, kept)


class FaultyFiles(apsw.VFS):
    """The default VFS, and on top of it a disk of `room_bytes`, syncs that fail, and a record for power cuts.

    Hand its `name` to `SqliteStore.open` as `vfs`. The switches may be thrown at any time, from any thread.
    """

    def __init__(self) -> None:
        self.name = f"faulty-{next(_NAMES)}"
        self.full = False
        self.syncs_fail = 0
        self.writes_fail = 0
        self.syncs = 0
        self.cut_chance = 0.0
        self.cuts: list[tuple[dict[str, bytes], int]] = []
        self.answered = 0
        self.rng = random.Random(0)
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
            return {Path(path).name: record.after_cut(self.rng) for path, record in self._records.items()}

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
            if self.rng.random() < self.cut_chance:
                self.cuts.append((self.image(), self.answered))

    def synced(self, path: str) -> None:
        with self._lock:
            self.syncs += 1
            self.record(path).sync()


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
        if files.full and offset + len(data) > self.xFileSize():
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
        if files.syncs_fail > 0:
            files.syncs_fail -= 1
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
