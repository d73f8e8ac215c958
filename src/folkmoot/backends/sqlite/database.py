"""Opening the file: its schema, its settings, and a look at what was written last."""

from importlib import resources
from pathlib import Path

import apsw

from folkmoot.backends.sqlite.rows import entries_of, group_of
from folkmoot.model.entry import first_break, genesis
from folkmoot.ports.store import SchemaUnknown, StoreBroken

APPLICATION_ID = 0x466F6C6B
"""The letters Folk, so that another program's file is never taken for ours."""

BUSY_MS = 2_000
ENTRIES_CHECKED_MAX = 100


def migrations() -> list[str]:
    """The scripts that make each schema version from the one before, in order."""
    return [resources.files(__package__).joinpath("schema.sql").read_text()]


def connect(path: Path, *, vfs: str | None = None, synchronous: str = "FULL") -> apsw.Connection:
    """A connection with the settings that every one has. Raises apsw.Error."""
    database = apsw.Connection(str(path), vfs=vfs)
    database.set_busy_timeout(BUSY_MS)
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    # FULL syncs the log at every commit: an answer is given only for what is on the disk.
    database.execute(f"PRAGMA synchronous = {synchronous}")
    # The writer checkpoints by itself, between commits, where a failure is not mistaken for a failed commit.
    database.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    database.execute("PRAGMA cache_size = -16384")
    return database


def migrate(database: apsw.Connection) -> None:
    """Bring the schema to this version. Raises SchemaUnknown, having touched nothing, where it is not ours."""
    (application,) = database.execute("PRAGMA application_id").fetchone() or (0,)
    (version,) = database.execute("PRAGMA user_version").fetchone() or (0,)
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone() or (0,)
    scripts = migrations()
    if application != APPLICATION_ID and (application or version or tables):
        raise SchemaUnknown("the file is another program's database")
    if version > len(scripts):
        raise SchemaUnknown(f"the file has schema {version}, this program knows {len(scripts)}: use a newer program")
    for number, script in enumerate(scripts[version:], start=version + 1):
        with database:
            database.execute(script)
            database.execute(f"PRAGMA user_version = {number}")
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def check_last(database: apsw.Connection) -> None:
    """Check what the last transaction wrote: the head is the log's end, and the chain holds up to it. StoreBroken."""
    row = database.execute(
        "SELECT groups.* FROM groups JOIN meta ON meta.value = groups.no WHERE meta.name = 'last_group'"
    ).fetchone()
    if row is None:
        return
    number, group, head = group_of(row)
    first = max(1, head.seq - ENTRIES_CHECKED_MAX + 1)
    entries = entries_of(
        group,
        database.execute("SELECT * FROM entries WHERE group_no = ? AND seq >= ? ORDER BY seq", (number, first - 1)),
    )
    before, start = (genesis(group), 0) if first == 1 else (entries[0].hash, entries[0].seq)
    tail = [entry for entry in entries if entry.seq > start]
    broken = first_break(before, start, tail)
    end = (tail[-1].seq, tail[-1].hash) if tail else (start, before)
    if broken is not None or end != (head.seq, head.hash):
        raise StoreBroken(f"group {group}: the log ends at {end[0]}, its head says {head.seq}; broken at {broken}")
