"""The write-ahead log's file, written and synced anew: what is in it is then on the disk, whatever happened before."""

from pathlib import Path
from typing import Final

import apsw

PIECE_BYTES: Final = 65_536
"""SQLite's own file system writes less than 131,072 bytes at once."""


def force(path: Path, *, vfs: str | None = None) -> int:
    """Write every byte of the log of the database in `path` over itself and sync it; how many there were.

    After a sync that failed the system takes pages for written that never reached the disk, and says so to the next
    sync: only writing them again brings them there. And a process that was killed between its write and its sync
    leaves a log that reads as committed and is not durable: nothing may be shown from it before. Raises apsw.Error.
    """
    log = Path(f"{path}-wal")
    # Beside a database that is gone or empty a log belongs to nothing: SQLite deletes it.
    if not log.exists() or not path.exists() or path.stat().st_size == 0:
        return 0
    file = apsw.VFSFile(vfs or "", str(log), [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        size_bytes = file.xFileSize()
        for offset in range(0, size_bytes, PIECE_BYTES):
            file.xWrite(file.xRead(min(PIECE_BYTES, size_bytes - offset), offset), offset)
        if size_bytes:
            file.xSync(apsw.SQLITE_SYNC_NORMAL)
    finally:
        file.xClose()
    return size_bytes
