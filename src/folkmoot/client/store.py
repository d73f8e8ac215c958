"""Where a client keeps its places and its outbox: one small SQLite file, or memory."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from folkmoot.client.errors import StoreTaken, StoreUnknown
from folkmoot.client.kept import Changes, Kept, KeptPlace, KeptSend
from folkmoot.model.ids import GroupId

SCHEMA_VERSION: Final = 1
BUSY_S_MAX: Final = 5.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS folkmoot_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folkmoot_positions (
  "group" TEXT PRIMARY KEY, position TEXT NOT NULL, seq INTEGER NOT NULL, "join" INTEGER NOT NULL,
  name TEXT NOT NULL, role TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folkmoot_outbox (
  number INTEGER PRIMARY KEY AUTOINCREMENT, send_id TEXT NOT NULL UNIQUE, "group" TEXT NOT NULL, kind TEXT NOT NULL,
  "join" INTEGER, body BLOB NOT NULL
);
"""


class ClientStore(Protocol):
    """What a client keeps. Promises:

    - a commit is all or nothing, and what was committed is there after a kill of the process;
    - sends that a commit made are there after a cut of the power too: they are about to be transmitted;
    - of two clients that open one store, the first can commit nothing once the second has opened it.
    """

    def load(self) -> Kept:
        """Open it: what was kept. Raises StoreUnknown."""

    def commit(self, changes: Changes) -> None:
        """Keep these changes. Raises StoreTaken, or the store's own errors."""

    def close(self) -> None: ...


class MemoryClientStore:
    """Kept for the life of this object only. `kept` lets an application start from what it has kept itself."""

    def __init__(self, kept: Kept | None = None) -> None:
        kept = kept or Kept()
        self._user = kept.user
        self._places = dict(kept.places)
        self._outbox = {send.send_id: send for send in kept.outbox}

    def load(self) -> Kept:
        return Kept(user=self._user, places=dict(self._places), outbox=list(self._outbox.values()))

    def commit(self, changes: Changes) -> None:
        if changes.user is not None:
            self._user = changes.user
        for group, place in changes.places.items():
            if place is None:
                self._places.pop(group, None)
            else:
                self._places[group] = place
        for send in changes.made:
            self._outbox.pop(send.send_id, None)
            self._outbox[send.send_id] = send
        for send in changes.changed:
            self._outbox[send.send_id] = send
        for send_id in changes.settled:
            self._outbox.pop(send_id, None)

    def close(self) -> None: ...


class SqliteClientStore:
    """Three tables, named `folkmoot_…`, in a file that may hold the application's own tables too.

    A commit that makes sends waits for the disk; any other does not: where the power is cut, the last places and what
    the application wrote beside them go back together, and come again together.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._life = 0
        self._syncs = 0
        self._db: sqlite3.Connection | None = None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection; only for the thread that opened the store. Raises RuntimeError before `load`."""
        if self._db is None:
            raise RuntimeError("the store is not open")
        return self._db

    def load(self) -> Kept:
        db = self._db = sqlite3.connect(self.path, isolation_level=None, timeout=BUSY_S_MAX)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        version = self._version(db)
        if version > SCHEMA_VERSION:
            self.close()
            raise StoreUnknown(f"the store has version {version}, this SDK knows {SCHEMA_VERSION}")
        db.executescript(_SCHEMA)
        db.execute("BEGIN IMMEDIATE")
        meta = dict(db.execute("SELECT key, value FROM folkmoot_meta"))
        self._life = int(meta.get("life", "0")) + 1
        self._syncs = int(meta.get("syncs", "0"))
        rows = [("version", str(SCHEMA_VERSION)), ("life", str(self._life))]
        db.executemany("INSERT OR REPLACE INTO folkmoot_meta VALUES (?, ?)", rows)
        db.execute("COMMIT")
        return Kept(user=meta.get("user", ""), places=self._places(db), outbox=self._outbox(db))

    def commit(self, changes: Changes) -> None:
        if changes.made:
            with self._synced():
                self._commit(lambda _: changes)
        else:
            self._commit(lambda _: changes)

    def commit_with(self, apply: Callable[[sqlite3.Connection], Changes]) -> None:
        """Let `apply` write what the application likes, then keep the changes it returns, in one transaction.

        `apply` must neither commit nor roll back. What it raises is raised, and then nothing has been written.
        """
        if self._commit(apply).made:
            # Known only now, when the level of what was committed can no longer be changed: but a commit that is
            # synced syncs the log of the file, and with it all that was committed before.
            with self._synced():
                self._syncs += 1
                self.db.execute("INSERT OR REPLACE INTO folkmoot_meta VALUES ('syncs', ?)", (str(self._syncs),))

    def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _check_life(self, db: sqlite3.Connection) -> None:
        row = db.execute("SELECT value FROM folkmoot_meta WHERE key = 'life'").fetchone()
        if row is None or int(row[0]) != self._life:
            raise StoreTaken(f"{self.path} was opened by another client")

    @contextmanager
    def _synced(self) -> Iterator[None]:
        """What is committed within is on the disk afterwards."""
        self.db.execute("PRAGMA synchronous=FULL")
        try:
            yield
        finally:
            self.db.execute("PRAGMA synchronous=NORMAL")

    def _commit(self, apply: Callable[[sqlite3.Connection], Changes]) -> Changes:
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            self._check_life(db)
            changes = apply(db)
            if not db.in_transaction:
                raise RuntimeError("the application ended the transaction that moves its positions")
            self._write(db, changes)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return changes

    def _write(self, db: sqlite3.Connection, changes: Changes) -> None:
        if changes.user is not None:
            db.execute("INSERT OR REPLACE INTO folkmoot_meta VALUES ('user', ?)", (changes.user,))
        for group, place in changes.places.items():
            if place is None:
                db.execute('DELETE FROM folkmoot_positions WHERE "group" = ?', (group,))
            else:
                row = (group, place.position, place.seq, place.join, place.name, place.role)
                db.execute("INSERT OR REPLACE INTO folkmoot_positions VALUES (?, ?, ?, ?, ?, ?)", row)
        for send in changes.made:
            db.execute(
                # Where the id is there already its answer has just come, and the application has posted it again.
                'INSERT OR REPLACE INTO folkmoot_outbox (send_id, "group", kind, "join", body) VALUES (?, ?, ?, ?, ?)',
                (send.send_id, send.group, send.kind, send.join, send.body),
            )
        for send in changes.changed:
            db.execute(
                'UPDATE folkmoot_outbox SET "group" = ?, kind = ?, "join" = ?, body = ? WHERE send_id = ?',
                (send.group, send.kind, send.join, send.body, send.send_id),
            )
        for send_id in changes.settled:
            db.execute("DELETE FROM folkmoot_outbox WHERE send_id = ?", (send_id,))

    def _version(self, db: sqlite3.Connection) -> int:
        exists = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'folkmoot_meta'").fetchone()
        row = db.execute("SELECT value FROM folkmoot_meta WHERE key = 'version'").fetchone() if exists else None
        return 0 if row is None else int(row[0])

    def _places(self, db: sqlite3.Connection) -> dict[GroupId, KeptPlace]:
        return {
            group: KeptPlace(position=position, seq=seq, join=join, name=name, role=role)
            for group, position, seq, join, name, role in db.execute("SELECT * FROM folkmoot_positions")
        }

    def _outbox(self, db: sqlite3.Connection) -> list[KeptSend]:
        rows = db.execute('SELECT send_id, "group", kind, "join", body FROM folkmoot_outbox ORDER BY number')
        return [
            KeptSend(send_id=send_id, group=group, kind=kind, join=join, body=body)
            for send_id, group, kind, join, body in rows
        ]
