"""A new store from a backup, or from a damaged store: logs cut at their first fault, all else made from them anew."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
from msgspec.structs import replace

from folkmoot.backends.sqlite.backup import (
    DATABASE_FILE,
    FACTS_FILE,
    OLD_SECRETS_FILE,
    SECRET_FILE,
    Contradicted,
    Facts,
    OnProgress,
    check_file,
    file_digest,
    sync_folder,
    write_durably,
)
from folkmoot.backends.sqlite.database import migrate
from folkmoot.backends.sqlite.rows import CUSTODY, LAST_GROUPS, entries_of, group_of
from folkmoot.backends.sqlite.store import StoreInUse, locked
from folkmoot.backends.sqlite.transfer import custody_of
from folkmoot.model.entry import Entry, follows
from folkmoot.model.fold import fold_all
from folkmoot.model.group import GroupState, empty_group
from folkmoot.ports.store import SchemaUnknown, StoreBroken
from folkmoot.ports.transfer import StoreSealed

PAGE_ENTRIES: Final = 1_000
EPOCH_MAX: Final = 2**32 - 1
"""What a position has room for: seconds since 1970 until the year 2106."""

REBUILT: Final = frozenset({"groups", "entries", "outcomes", "memberships", "groups_of_user", "pointers"})
"""Every other table is copied as it is."""


class RestoreFailed(Exception):
    """Nothing was restored, and no store was left in the data folder; the text says why, and what to do."""


class Cut(msgspec.Struct, frozen=True):
    """Where a group's log was cut: the first number that is gone, how many are, and why."""

    group: str
    seq: int
    entries: int
    what: str


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What the new store holds, under which epoch, and what could not be taken over."""

    epoch: int
    epoch_before: int
    groups: int
    entries: int
    cuts: list[Cut]
    pointers_cut: int
    secret: bool


def next_epoch(lives: Sequence[int], now_s: int) -> int:
    """An epoch above those of all known lives. By the clock: the life that is lost may have had one of its own, as when
    the same backup is restored a second time."""
    return max([now_s, *(epoch + 1 for epoch in lives)])


def restore(
    backup: Path,
    data_dir: Path,
    *,
    now_ms: int,
    over: Path | None = None,
    salvage: bool = False,
    unseal: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> Restored:
    """Make the store of `data_dir` from the folder `backup`: a backup, or the data folder of a server that has ended.

    `over` is the folder of the lost store where that is still at hand: the new epoch is above its epoch too. `salvage`
    takes what can be read of a file that is damaged, `unseal` a store that was copied elsewhere. Raises
    RestoreFailed; whatever it raises, there is no store then.
    """
    source = backup / DATABASE_FILE
    if not source.is_file():
        raise RestoreFailed(f"{backup} is no backup: there is no {DATABASE_FILE} in it")
    with contextlib.ExitStack() as held:
        for folder in (backup, *([over] if over else [])):
            if (folder / f"{DATABASE_FILE}.lock").exists():
                held.callback(os.close, _lock(folder))
        facts = _judged(backup, salvage=salvage)
        if not unseal:
            _check_custody(source)
        lives = [_epoch_of(source), *([_epoch_of(over / DATABASE_FILE)] if over else [])]
        if over is None and facts is not None and now_ms < facts.made_ms:
            raise RestoreFailed("the clock is before the time of the backup: set it, or give the lost store by --over")
        epoch = next_epoch(lives, now_ms // 1_000)
        if epoch > EPOCH_MAX:
            raise RestoreFailed(f"epoch {epoch} is past the last, {EPOCH_MAX}: is the clock right?")
        try:
            with _new_store(data_dir) as path:
                rebuild = _Rebuild(path, source, epoch)
                try:
                    rebuild.run(on_progress)
                finally:
                    rebuild.close()
                contents = check_file(path)
                secret = take_secrets(backup, data_dir)
        except apsw.FullError as error:
            raise RestoreFailed(f"no room on the disk of {data_dir}") from error
        except Contradicted as error:
            raise RestoreFailed(f"what was written is not what was read ({error}): is the disk sound?") from error
        except (apsw.Error, SchemaUnknown) as error:
            raise RestoreFailed(f"{source} cannot be read to its end: {error}: take another backup") from error
        except OSError as error:
            raise RestoreFailed(f"{error.filename or data_dir}: {os.strerror(error.errno or 0)}") from error
    return Restored(
        epoch=epoch,
        epoch_before=lives[0],
        groups=contents.groups,
        entries=contents.entries,
        cuts=rebuild.cuts,
        pointers_cut=rebuild.pointers_cut,
        secret=secret,
    )


class _Rebuild:
    """One new file, written in one transaction and never synced before it is whole: what fails is deleted.

    The old file has a connection of its own: what cannot be read of it leaves the transaction as it is.
    """

    def __init__(self, path: Path, source: Path, epoch: int) -> None:
        self.cuts: list[Cut] = []
        self.pointers_cut = 0
        self._epoch = epoch
        self._migrated = path.with_name(path.name + ".migrated")
        self._new = apsw.Connection(str(path))
        self._new.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").fetchall()
        migrate(self._new)
        self._old = _reading(source)
        newest: int = self._new.execute("PRAGMA user_version").get
        schema: int = self._old.execute("PRAGMA user_version").get
        if schema > newest:
            raise SchemaUnknown(f"it has schema {schema}, this program knows {newest}: use a newer program")
        if schema < newest:
            _migrated_copy(self._old, self._migrated)
            self._old.close(True)
            self._old = _reading(self._migrated)

    def run(self, on_progress: OnProgress) -> None:
        self._new.execute("BEGIN")
        self._copy_other_tables()
        rows = self._old.execute("SELECT * FROM groups ORDER BY no").fetchall()
        for done, row in enumerate(rows, start=1):
            self._group(row)
            on_progress(done, len(rows))
        # Where a page cannot be read, the group that it belongs to has been cut already.
        with contextlib.suppress(apsw.CorruptError):
            strays: int = self._old.execute(_STRAYS).get
            if strays:
                self.cuts.append(Cut("", 1, strays, "entries of groups that are not there"))
        self._new.execute("COMMIT")

    def close(self) -> None:
        self._new.close(True)
        self._old.close(True)
        self._migrated.unlink(missing_ok=True)

    def _copy_other_tables(self) -> None:
        new = self._new
        names = new.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for name in (str(row[0]) for row in names):
            if name not in REBUILT and not name.startswith("sqlite_"):
                rows = self._old.execute(f'SELECT * FROM "{name}"')
                marks = ",".join("?" * len(new.execute(f'PRAGMA table_info("{name}")').fetchall()))
                new.execute(f'DELETE FROM "{name}"')
                new.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)
        new.execute("REPLACE INTO meta VALUES ('epoch', ?)", (self._epoch,))
        # What it was to another store no longer holds under another epoch.
        new.execute("DELETE FROM meta WHERE name IN (?, ?)", (LAST_GROUPS, CUSTODY))

    def _group(self, row: Any) -> None:
        number, group, held = group_of(row)
        state, what = self._log(number, group)
        last = max(held.seq, self._last_seq(number))
        if last > state.head.seq:
            what = what or "the log ends before its head"
            self.cuts.append(Cut(group, state.head.seq + 1, last - state.head.seq, what))
        # Where an entry says otherwise, the entry counts.
        self._new.executemany(_INSERT_REFUSAL, self._old.execute(_REFUSALS, (number,)))
        self._projections(number, replace(state, head=replace(state.head, writes=max(1, held.writes))))
        self._pointers(number, state.head.seq)

    def _log(self, number: int, group: str) -> tuple[GroupState, str]:
        """Take over a log up to its first fault: the state there, and what the fault is, "" for none."""
        state = empty_group(group, 0, 1)
        while True:
            rows, readable = self._page(number, state.head.seq)
            page = entries_of(group, rows)
            sound = page[: _sound_count(state.head.hash, state.head.seq, page)]
            self._new.executemany(_INSERT_ENTRY, rows[: len(sound)])
            self._new.executemany(_INSERT_OUTCOME, [(number, e.sender, e.send_id, e.seq) for e in sound])
            state = fold_all(state, sound)
            if len(sound) < len(page):
                missing = page[len(sound)].seq > state.head.seq + 1
                return state, "an entry is missing" if missing else "the hash does not chain, or is not of its body"
            if not readable:
                return state, "the file is damaged here"
            if not page:
                return state, ""

    def _page(self, number: int, after: int) -> tuple[list[Any], bool]:
        """The rows after a seq, as far as they can be read, and whether they could."""
        rows: list[Any] = []
        try:
            for row in self._old.execute(_PAGE, (number, after, PAGE_ENTRIES)):
                rows.append(row)
        except apsw.CorruptError:
            return rows, False
        return rows, True

    def _last_seq(self, number: int) -> int:
        try:
            found: int | None = self._old.execute("SELECT max(seq) FROM entries WHERE group_no = ?", (number,)).get
        except apsw.CorruptError:
            return 0
        return found or 0

    def _projections(self, number: int, state: GroupState) -> None:
        head = state.head
        place = (number, state.group, self._epoch, head.writes, head.seq, head.hash, head.messages)
        made_of_it = (state.name, int(state.history_all), int(state.open), state.members_count, state.owners_count)
        self._new.execute("INSERT INTO groups VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (*place, *made_of_it))
        stays = [(number, user, m.join, m.end, m.role) for user, ms in state.memberships.items() for m in ms]
        self._new.executemany("INSERT INTO memberships VALUES (?,?,?,?,?)", stays)
        listed = [(user, state.group) for user in state.memberships if state.membership(user) is not None]
        self._new.executemany("INSERT INTO groups_of_user VALUES (?,?)", listed)

    def _pointers(self, number: int, head: int) -> None:
        for user, seq in self._old.execute("SELECT user, seq FROM pointers WHERE group_no = ?", (number,)):
            self.pointers_cut += seq > head
            if head:
                # Of this life from now on: those set in it later are never below them.
                self._new.execute("INSERT INTO pointers VALUES (?,?,?,?)", (number, user, self._epoch, min(seq, head)))


def _sound_count(before: bytes, seq: int, entries: Sequence[Entry]) -> int:
    """How many of the first of `entries` continue the chain."""
    for count, entry in enumerate(entries):
        if entry.seq != seq + 1 or not follows(before, entry):
            return count
        before, seq = entry.hash, entry.seq
    return len(entries)


_STRAYS: Final = "SELECT count(*) FROM entries WHERE group_no NOT IN (SELECT no FROM groups)"
_PAGE: Final = "SELECT * FROM entries WHERE group_no = ? AND seq > ? ORDER BY seq LIMIT ?"
_REFUSALS: Final = (
    "SELECT group_no, sender, send_id, code FROM outcomes WHERE group_no = ? AND seq IS NULL AND code IS NOT NULL"
)
_INSERT_ENTRY: Final = f"INSERT INTO entries VALUES ({','.join('?' * 13)})"
_INSERT_OUTCOME: Final = "INSERT INTO outcomes VALUES (?,?,?,?,NULL)"
_INSERT_REFUSAL: Final = "INSERT OR IGNORE INTO outcomes VALUES (?,?,?,NULL,?)"


def _judged(backup: Path, *, salvage: bool) -> Facts | None:
    """What the backup says of itself, None where it says nothing: a data folder. Raises RestoreFailed."""
    source, path = backup / DATABASE_FILE, backup / FACTS_FILE
    facts = None
    try:
        if path.exists():
            facts = msgspec.json.decode(path.read_bytes(), type=Facts)
        if salvage:
            return facts
        if facts is not None and file_digest(source) != facts.sha256:
            raise RestoreFailed(
                f"{source} is not the file that was backed up: it is damaged. Take another backup, or with --salvage"
                " what can be read of this one"
            )
        if facts is None:
            _check_pages(source)
    except (msgspec.MsgspecError, OSError) as error:
        raise RestoreFailed(f"{path}: {error}") from error
    return facts


def _check_pages(source: Path) -> None:
    try:
        database = _reading(source)
        try:
            faults = [str(row[0]) for row in database.execute("PRAGMA quick_check(3)")]
        finally:
            database.close(True)
    except apsw.Error as error:
        faults = [str(error)]
    if faults != ["ok"]:
        raise RestoreFailed(
            f"{source} is damaged ({'; '.join(faults)[:200]}): take a backup, or with --salvage what can be read of it"
        )


def _epoch_of(path: Path) -> int:
    """The highest epoch that a store has used. Raises RestoreFailed."""
    try:
        database = _reading(path)
        try:
            epoch: int = database.execute(
                "SELECT max(value, (SELECT coalesce(max(epoch), 0) FROM groups)) FROM meta WHERE name = 'epoch'"
            ).get
        finally:
            database.close(True)
    except apsw.Error as error:
        raise RestoreFailed(f"{path}: its epoch cannot be read: {error}") from error
    if not isinstance(epoch, int):
        raise RestoreFailed(f"{path}: it has no epoch")
    return epoch


def _check_custody(path: Path) -> None:
    """Raise RestoreFailed where the store is sealed, or was never whole."""
    try:
        database = _reading(path)
        try:
            custody_of(database).check_served()
        finally:
            database.close(True)
    except (StoreSealed, StoreBroken) as error:
        raise RestoreFailed(f"{path}: {error}") from error
    except apsw.Error as error:
        raise RestoreFailed(f"{path}: whether it was copied elsewhere cannot be read: {error}") from error


def _reading(path: Path) -> apsw.Connection:
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    # Else the last to close would copy the log into the file: what is read from stays as it is.
    database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return database


def _lock(folder: Path) -> int:
    try:
        return locked(folder / DATABASE_FILE)
    except StoreInUse:
        raise RestoreFailed(f"a server uses {folder}: stop it first, or take a backup of it") from None


def _migrated_copy(source: apsw.Connection, copy: Path) -> None:
    """The source with this program's schema. The source itself stays as it is."""
    copy.unlink(missing_ok=True)
    writing = apsw.Connection(str(copy))
    try:
        with writing.backup("main", source, "main") as copying:
            copying.step(-1)
        writing.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").fetchall()
        migrate(writing)
    finally:
        writing.close(True)


@contextlib.contextmanager
def _new_store(data_dir: Path) -> Iterator[Path]:
    """A file that becomes the store of `data_dir` when the block is left, and is removed where the block fails."""
    path = data_dir / DATABASE_FILE
    made = not data_dir.exists()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    there = [found for found in (path, data_dir / f"{DATABASE_FILE}-wal") if found.exists()]
    if there:
        raise RestoreFailed(f"{there[0]} is there: move the old store away, or restore into another folder")
    # No server starts in the folder meanwhile.
    lock = _lock(data_dir)
    partial = data_dir / f"{DATABASE_FILE}.restoring"
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(data_dir)
    except BaseException:
        partial.unlink(missing_ok=True)
        if made:
            shutil.rmtree(data_dir, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def take_secrets(backup: Path, data_dir: Path) -> bool:
    """Put the secret in the folder `backup`, where it has one, into a folder that has none; whether it was."""
    if not (backup / SECRET_FILE).exists() or (data_dir / SECRET_FILE).exists():
        return False
    for name in (SECRET_FILE, OLD_SECRETS_FILE):
        if (backup / name).exists() and not (data_dir / name).exists():
            write_durably(data_dir / name, (backup / name).read_bytes())
    return True
