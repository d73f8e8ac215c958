"""A copy of a store's file, made while it is in use: of one moment, checked, and there whole or not at all."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import apsw
import msgspec

from folkmoot.backends.sqlite import wal
from folkmoot.backends.sqlite.database import APPLICATION_ID, BUSY_MS, identify
from folkmoot.backends.sqlite.store import StoreInUse, locked
from folkmoot.ports.store import SchemaUnknown, StoreBroken

DATABASE_FILE: Final = "folkmoot.db"
SECRET_FILE: Final = "secret.key"
OLD_SECRETS_FILE: Final = "secret.old.json"
FACTS_FILE: Final = "backup.json"

STEP_PAGES: Final = 256
"""Copied at a time, so that whoever waits sees progress, and can stop it."""

STEPS_PER_SYNC: Final = 16
"""16 MiB: left to the end, all of it would go to the disk at once, and the server's own syncs would wait behind it."""

PIECE_BYTES: Final = 1_048_576
FAULTS_MAX: Final = 20

OnProgress = Callable[[int, int], None]
"""Gets how many of how many pages, groups or bytes are done."""


class BackupFailed(Exception):
    """There is no backup, and nothing was left under its name; the text says why, and what to do."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. `sha256` is of its database file, `bytes` that file's size, `made_ms` the wall clock's."""

    format: int = 1
    schema: int
    epoch: int
    groups: int
    entries: int
    bytes: int
    sha256: str
    made_ms: int
    secret: bool


class Contents(msgspec.Struct, frozen=True):
    """What a store's file holds, as counted in it."""

    schema: int
    epoch: int
    groups: int
    entries: int


class Contradicted(Exception):
    """The file is damaged, or a head in it is not its log's end; the text says where."""


def back_up(
    data_dir: Path,
    target: Path,
    *,
    now_ms: int,
    with_secret: bool = False,
    on_progress: OnProgress = lambda done, total: None,
    vfs: str | None = None,
) -> Facts:
    """Copy the store in `data_dir` into the new folder `target`: all that was committed before the call is in it.

    The server may be serving. Raises BackupFailed; whatever it raises, nothing is left. `vfs` is for tests.
    """
    source = data_dir / DATABASE_FILE
    if not source.is_file():
        raise BackupFailed(f"{data_dir} has no store")
    if target.exists() or target.is_symlink():
        raise BackupFailed(f"{target} is there already: a backup never overwrites, give it another name")
    try:
        _settle_log(source)
        with _partial(target) as folder:
            copy = folder / DATABASE_FILE
            _copy(source, copy, on_progress, vfs)
            _sync(copy)
            # Read from the disk in one go, and only then page by page, from what the system now remembers.
            digest = file_digest(copy)
            contents = check_file(copy)
            if with_secret:
                _copy_secrets(data_dir, folder)
            facts = Facts(
                schema=contents.schema,
                epoch=contents.epoch,
                groups=contents.groups,
                entries=contents.entries,
                bytes=copy.stat().st_size,
                sha256=digest,
                made_ms=now_ms,
                secret=with_secret,
            )
            write_durably(folder / FACTS_FILE, msgspec.json.format(msgspec.json.encode(facts)) + b"\n")
        return facts
    except apsw.FullError as error:
        raise BackupFailed(f"no room on the disk of {target.parent} for a copy of {source}") from error
    except Contradicted as error:
        raise BackupFailed(f"what the copy holds is damaged ({error}): folkmoot doctor --deep says more") from error
    except (apsw.Error, SchemaUnknown, StoreBroken) as error:
        raise BackupFailed(f"{source}: {error}") from error
    except OSError as error:
        raise BackupFailed(f"{error.filename or target}: {os.strerror(error.errno or 0)}") from error


def check_file(path: Path) -> Contents:
    """Read every page of a store that nobody writes to, and hold each head against its log. Raises Contradicted.

    The whole check, of every entry, is `folkmoot doctor --deep`.
    """
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        if _number(database, "PRAGMA application_id") != APPLICATION_ID:
            raise Contradicted(f"{path.name} is no store of this program")
        faults = [str(row[0]) for row in database.execute(f"PRAGMA quick_check({FAULTS_MAX})")]
        if faults != ["ok"]:
            raise Contradicted(f"{path.name}: {'; '.join(faults)[:400]}")
        astray = database.execute(
            "SELECT g.id, g.seq FROM groups g LEFT JOIN entries e ON e.group_no = g.no AND e.seq = g.seq"
            " WHERE g.seq > 0 AND (e.hash, e.messages) IS NOT (g.hash, g.messages) LIMIT 1"
        ).fetchone()
        if astray is not None:
            raise Contradicted(f"the head of group {astray[0]}, {astray[1]}, is not the end of its log")
        schema, epoch = _number(database, "PRAGMA user_version"), _number(database, _EPOCH)
        groups, entries = _number(database, "SELECT count(*) FROM groups"), _number(database, _ENTRIES)
        if entries != _number(database, "SELECT coalesce(sum(seq), 0) FROM groups"):
            raise Contradicted("entries are missing, or stand past the heads of their groups")
        return Contents(schema, epoch, groups, entries)
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
        raise Contradicted(f"{path.name}: {error}") from error
    finally:
        database.close(True)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file as the disk has it: the system lets go of what it remembers of one that was synced."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, content: bytes) -> None:
    """A new file that only its owner reads, synced."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


_EPOCH: Final = "SELECT value FROM meta WHERE name = 'epoch'"
_ENTRIES: Final = "SELECT count(*) FROM entries"


def _settle_log(source: Path) -> None:
    """Where no process has the store: a killed one may have left a log that reads as committed and is not durable."""
    try:
        lock = locked(source)
    except (StoreInUse, PermissionError):
        return  # The server did this when it started. And who may not write here may still read.
    try:
        identify(source)
        wal.force(source)
    finally:
        os.close(lock)


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A folder that gets the name `target` when the block is left, and is removed where the block fails."""
    folder = target.with_name(target.name + ".partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupFailed(f"another backup is being written to {target}") from None
        try:
            for left in folder.iterdir():  # Of one that was killed.
                left.unlink()
            yield folder
            os.fsync(handle)
            if target.exists():
                raise BackupFailed(f"{target} was made meanwhile")
            folder.rename(target)
            sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    finally:
        os.close(handle)


def _copy(source: Path, copy: Path, on_progress: OnProgress, vfs: str | None) -> None:
    """Every page, as of one moment.

    The read transaction is ours and lasts for all steps: with one a step, SQLite would begin anew whenever the server
    writes, and end never. Nobody waits for a reader: while it lasts, the server's log only cannot begin anew.
    """
    reading = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    # Held until SQLite has let go: closing any handle of a file gives up a process's locks on it.
    file = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    writing = apsw.Connection(str(copy), vfs=vfs)
    try:
        # The last to close would copy the server's log into the file.
        reading.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        reading.set_busy_timeout(BUSY_MS)
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        # No step of SQLite's own waits for a sync.
        writing.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").fetchall()
        with writing.backup("main", reading, "main") as backup:
            for step in itertools.count(1):
                backup.step(STEP_PAGES)
                if step % STEPS_PER_SYNC == 0:
                    os.fdatasync(file)
                on_progress(backup.page_count - backup.remaining, backup.page_count)
                if backup.done:
                    break
        # One file, that can be read where nothing can be written.
        writing.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        writing.close(True)
        reading.close(True)
        os.close(file)


def _copy_secrets(data_dir: Path, folder: Path) -> None:
    try:
        secret = (data_dir / SECRET_FILE).read_bytes()
    except FileNotFoundError:
        raise BackupFailed(f"{data_dir} has no {SECRET_FILE} to take along: leave out --with-secret") from None
    write_durably(folder / SECRET_FILE, secret)
    # In this order: if the secret is changed meanwhile, the one taken is among the old ones.
    with contextlib.suppress(FileNotFoundError):
        write_durably(folder / OLD_SECRETS_FILE, (data_dir / OLD_SECRETS_FILE).read_bytes())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _number(database: apsw.Connection, sql: str) -> int:
    row = database.execute(sql).fetchone()
    if row is None or not isinstance(row[0], int):
        raise Contradicted(f"nothing answers {sql}")
    return row[0]
