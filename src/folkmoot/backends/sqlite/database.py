"""Opening the file: whose it is, its schema, its settings, and a look at what was written last."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import apsw

from folkmoot.backends.sqlite.rows import LAST_GROUPS, entries_of, group_of
from folkmoot.model.entry import first_break, genesis
from folkmoot.ports.store import SchemaUnknown, StoreBroken

APPLICATION_ID: Final = 0x466F6C6B
"""The letters Folk, so that another program's file is never taken for ours."""

SCRIPTS: Final = ("schema.sql", "schema-2.sql")
"""What makes each schema version from the one before, in order. What has been released is never changed: add one."""

BUSY_MS: Final = 2_000
CACHE_KIB: Final = 16_384
GROUPS_CHECKED_MAX: Final = 64
ENTRIES_CHECKED_MAX: Final = 32
"""Of each group that was noted last. The whole check is `folkmoot verify`."""


def migrations() -> list[str]:
    """The scripts themselves."""
    return [resources.files(__package__).joinpath(name).read_text() for name in SCRIPTS]


def identify(path: Path, *, vfs: str | None = None) -> None:
    """Raise SchemaUnknown where the file is not one that this program may write to; nothing is touched.

    A file that is not there, or is empty, will be ours. Raises StoreBroken where it is ours and damaged, OSError.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
        try:
            # Else the last to close copies the log into the file, and so would change what is another program's.
            database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            database.set_busy_timeout(BUSY_MS)
            _known_version(database, len(SCRIPTS))
        finally:
            database.close(True)
    except apsw.NotADBError as error:
        raise SchemaUnknown(f"{path.name} is no database of this program") from error
    except apsw.CorruptError as error:
        raise StoreBroken(f"{path.name} is damaged: {error}") from error


def connect(
    path: Path, *, vfs: str | None = None, synchronous: str = "FULL", only_reads: bool = False
) -> apsw.Connection:
    """A connection with the settings that every one has. Raises apsw.Error."""
    database = apsw.Connection(str(path), vfs=vfs)
    database.set_busy_timeout(BUSY_MS)
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    # FULL syncs the log at every commit: an answer is given only for what is on the disk.
    database.execute(f"PRAGMA synchronous = {synchronous}")
    # The writer checkpoints by itself, between commits, where a failure is not mistaken for a failed commit.
    database.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    # A statement that needs room to undo itself takes it from memory: a full disk must not stop reads.
    database.execute("PRAGMA temp_store = MEMORY")
    if only_reads:
        # Copying the log into the file is the writer's: it knows what to do where that fails.
        database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        database.execute("PRAGMA query_only = 1")
    return database


def migrate(database: apsw.Connection, scripts: Sequence[str] | None = None) -> None:
    """Bring the schema to this version, one transaction a step. Raises SchemaUnknown where it is not ours."""
    steps = migrations() if scripts is None else scripts
    version = _known_version(database, len(steps))
    for number, script in enumerate(steps[version:], start=version + 1):
        with database:
            database.execute(script)
            database.execute(f"PRAGMA user_version = {number}")
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def check_last(database: apsw.Connection) -> None:
    """Check the groups noted last: each head is its log's end, and the chain holds up to it. Raises StoreBroken."""
    (numbers,) = database.execute("SELECT value FROM meta WHERE name = ?", (LAST_GROUPS,)).fetchone() or ("",)
    for number in str(numbers).split()[-GROUPS_CHECKED_MAX:]:
        row = database.execute("SELECT * FROM groups WHERE no = ?", (int(number),)).fetchone()
        if row is None:
            raise StoreBroken(f"group number {number} was written to, and is not there")
        _check_end(database, row)


def _check_end(database: apsw.Connection, row: Any) -> None:
    number, group, head = group_of(row)
    first = max(1, head.seq - ENTRIES_CHECKED_MAX + 1)
    found = database.execute("SELECT * FROM entries WHERE group_no = ? AND seq >= ? ORDER BY seq", (number, first - 1))
    entries = entries_of(group, found)
    before, start = genesis(group), 0
    if first > 1 and entries:
        before, start, entries = entries[0].hash, entries[0].seq, entries[1:]
    broken = first_break(before, start, entries)
    end = (entries[-1].seq, entries[-1].hash) if entries else (start, before)
    if broken is not None or end != (head.seq, head.hash):
        raise StoreBroken(f"group {group}: the log ends at {end[0]}, its head says {head.seq}; broken at {broken}")


def _known_version(database: apsw.Connection, newest: int) -> int:
    (application,) = database.execute("PRAGMA application_id").fetchone() or (0,)
    (version,) = database.execute("PRAGMA user_version").fetchone() or (0,)
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone() or (0,)
    if application != APPLICATION_ID and (application or version or tables):
        raise SchemaUnknown("the file is another program's database")
    if int(version) > newest:
        raise SchemaUnknown(f"the file has schema {version}, this program knows {newest}: use a newer program")
    return int(version)
