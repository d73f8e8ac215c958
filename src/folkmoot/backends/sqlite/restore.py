"""A new store from a backup, or from a damaged store: logs cut at their first fault, all else made from them anew."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

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
from folkmoot.backends.sqlite.restore_source import Lost, Source, reading
from folkmoot.backends.sqlite.rows import CUSTODY, LAST_GROUPS, entries_of, group_of, head_of
from folkmoot.backends.sqlite.store import StoreInUse, locked
from folkmoot.backends.sqlite.transfer import custody_of
from folkmoot.model.entry import Entry, follows, genesis
from folkmoot.model.fold import fold_all
from folkmoot.model.group import GroupState, Head, empty_group
from folkmoot.model.ids import group_id
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
    """Where a group's log was cut: the first number that is gone, how many are known to be, and why."""

    group: str
    seq: int
    entries: int
    what: str


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What the new store holds, under which epoch, and what could not be taken over. `lost` only after a salvage."""

    epoch: int
    epoch_before: int
    groups: int
    entries: int
    cuts: list[Cut]
    lost: list[Lost]
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
            _check_custody(source, salvage=salvage)
        lives = [_epoch_of(source, salvage=salvage)]
        if over is not None:
            lives.append(_epoch_of(over / DATABASE_FILE, salvage=False))
        if over is None and facts is not None and now_ms < facts.made_ms:
            raise RestoreFailed("the clock is before the time of the backup: set it, or give the lost store by --over")
        epoch = next_epoch(lives, now_ms // 1_000)
        if epoch > EPOCH_MAX:
            raise RestoreFailed(f"epoch {epoch} is past the last, {EPOCH_MAX}: is the clock right?")
        try:
            with _new_store(data_dir) as path:
                rebuild = _Rebuild(path, source, epoch, salvage=salvage)
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
        lost=rebuild.lost,
        pointers_cut=rebuild.pointers_cut,
        secret=secret,
    )


_Group: TypeAlias = tuple[int, str, Head]
"""Number, id and head."""


class _Rebuild:
    """One new file, written in one transaction and never synced before it is whole: what fails is deleted.

    The old file has a connection of its own: what cannot be read of it leaves the transaction as it is.
    """

    def __init__(self, path: Path, source: Path, epoch: int, *, salvage: bool) -> None:
        self.cuts: list[Cut] = []
        self.pointers_cut = 0
        self._epoch = epoch
        self._salvage = salvage
        self._migrated = path.with_name(path.name + ".migrated")
        self._new = apsw.Connection(str(path))
        self._new.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").fetchall()
        migrate(self._new)
        old = reading(source)
        newest: int = self._new.execute("PRAGMA user_version").get
        schema: int = old.execute("PRAGMA user_version").get
        if schema > newest:
            raise SchemaUnknown(f"it has schema {schema}, this program knows {newest}: use a newer program")
        if schema < newest:
            _migrated_copy(old, self._migrated)
            old.close(True)
            old = reading(self._migrated)
        self._old = Source(old, salvage=salvage)

    @property
    def lost(self) -> list[Lost]:
        return self._old.lost

    def run(self, on_progress: OnProgress) -> None:
        self._new.execute("BEGIN")
        self._copy_other_tables()
        groups, strays = self._groups()
        for done, (number, group, held) in enumerate(groups, start=1):
            self._group(number, group, held)
            on_progress(done, len(groups))
        if strays:
            self.cuts.append(Cut("", 1, strays, "entries of groups that are not there"))
        self._new.execute("COMMIT")

    def close(self) -> None:
        self._new.close(True)
        self._old.close()
        self._migrated.unlink(missing_ok=True)

    def _copy_other_tables(self) -> None:
        new = self._new
        names = new.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for name in (str(row[0]) for row in names):
            if name not in REBUILT and not name.startswith("sqlite_"):
                new.execute(f'DELETE FROM "{name}"')
                for row in self._old.rows(name):
                    self._put(name, row)
        new.execute("REPLACE INTO meta VALUES ('epoch', ?)", (self._epoch,))
        # What it was to another store no longer holds under another epoch.
        new.execute("DELETE FROM meta WHERE name IN (?, ?)", (LAST_GROUPS, CUSTODY))

    def _put(self, table: str, row: tuple[Any, ...], *, group: str = "") -> None:
        """A row that nothing else could say. Salvaging, its key may be there: then one of the two is damaged."""
        verb = "INSERT OR IGNORE" if self._salvage else "INSERT"
        self._new.execute(f'{verb} INTO "{table}" VALUES ({",".join("?" * len(row))})', row)
        if not self._new.changes():
            self._old.lose(table, group)

    def _groups(self) -> tuple[list[_Group], int]:
        """Number, id and head of every group, and how many entries are of none of them."""
        held = {row[0]: group_of(row) for row in self._old.rows("groups")}
        numbers = self._old.numbers()
        if self._salvage:
            held = self._found_by_logs(held, numbers | held.keys())
        return list(held.values()), sum(self._old.entries(number) for number in numbers - held.keys())

    def _found_by_logs(self, held: dict[int, _Group], numbers: set[int]) -> dict[int, _Group]:
        """The groups with these numbers, by what their logs say of them, else by what is `held` of them."""
        found: dict[int, _Group] = {}
        taken = set[str]()
        for number in sorted(numbers):
            _, said, head = held.get(number, (number, "", _UNKNOWN))
            # The log's word counts: it is sealed.
            group = self._called(number) or said
            # Two numbers with one id are not both sound.
            if group and group not in taken:
                taken.add(group)
                found[number] = (number, group, head)
                if head is _UNKNOWN:
                    self._old.lose("groups", group)
        return found

    def _called(self, number: int) -> str:
        """What a log says that its group is called, "" where it does not: an id is made of the first entry's."""
        for entry in entries_of("", self._old.page(number, 0, 1)[0]):
            group = group_id(entry.sender, entry.send_id)
            if _sound_count(genesis(group), 0, [replace(entry, group=group)]):
                return group
        return ""

    def _group(self, number: int, group: str, held: Head) -> None:
        state, what = self._log(number, group)
        last = max(held.seq, self._old.last_seq(number))
        if last > state.head.seq:
            what = what or "the log ends before its head"
            self.cuts.append(Cut(group, state.head.seq + 1, last - state.head.seq, what))
        elif what and held is _UNKNOWN:
            self.cuts.append(Cut(group, state.head.seq + 1, 0, f"{what}, and whether there was more is not known"))
        outcomes = self._old.rows("outcomes", number, group=group)
        # Where an entry says otherwise, the entry counts.
        refused = (row for row in outcomes if row[3] is None and row[4] is not None)
        self._new.executemany(_INSERT_REFUSAL, refused)
        self._projections(number, replace(state, head=replace(state.head, writes=max(1, held.writes))))
        self._pointers(number, group, state.head.seq)

    def _log(self, number: int, group: str) -> tuple[GroupState, str]:
        """Take over a log up to its first fault: the state there, and what the fault is, "" for none."""
        state = empty_group(group, 0, 1)
        while True:
            rows, readable = self._old.page(number, state.head.seq, PAGE_ENTRIES)
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

    def _projections(self, number: int, state: GroupState) -> None:
        head = state.head
        place = (number, state.group, self._epoch, head.writes, head.seq, head.hash, head.messages)
        made_of_it = (state.name, int(state.history_all), int(state.open), state.members_count, state.owners_count)
        self._new.execute("INSERT INTO groups VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (*place, *made_of_it))
        stays = [(number, user, m.join, m.end, m.role) for user, ms in state.memberships.items() for m in ms]
        self._new.executemany("INSERT INTO memberships VALUES (?,?,?,?,?)", stays)
        listed = [(user, state.group) for user in state.memberships if state.membership(user) is not None]
        self._new.executemany("INSERT INTO groups_of_user VALUES (?,?)", listed)

    def _pointers(self, number: int, group: str, head: int) -> None:
        for _, user, _, seq in self._old.rows("pointers", number, group=group):
            self.pointers_cut += seq > head
            if head:
                # Of this life from now on: those set in it later are never below them.
                self._put("pointers", (number, user, self._epoch, min(seq, head)), group=group)


def _sound_count(before: bytes, seq: int, entries: Sequence[Entry]) -> int:
    """How many of the first of `entries` continue the chain."""
    for count, entry in enumerate(entries):
        if entry.seq != seq + 1 or not follows(before, entry):
            return count
        before, seq = entry.hash, entry.seq
    return len(entries)


_UNKNOWN: Final = head_of(0, 0, 0, b"", 0)
"""The head of a group of which nothing but its log is left."""

_INSERT_ENTRY: Final = f"INSERT INTO entries VALUES ({','.join('?' * 13)})"
_INSERT_OUTCOME: Final = "INSERT INTO outcomes VALUES (?,?,?,?,NULL)"
_INSERT_REFUSAL: Final = "INSERT OR IGNORE INTO outcomes VALUES (?,?,?,?,?)"


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
        database = reading(source)
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


def _epoch_of(path: Path, *, salvage: bool) -> int:
    """The highest epoch that a store has used; salvaging, as far as that can be read. Raises RestoreFailed."""
    try:
        database = reading(path)
        try:
            epoch = _epoch_left(Source(database, salvage=True)) if salvage else database.execute(_EPOCH).get
        finally:
            database.close(True)
    except apsw.Error as error:
        raise RestoreFailed(f"{path}: its epoch cannot be read: {error}") from error
    if not isinstance(epoch, int):
        raise RestoreFailed(f"{path}: it has no epoch")
    return epoch


def _epoch_left(source: Source) -> int:
    """By the store's own word, else by its heads, else 0: the clock is above all of them, and alone in that then."""
    said = [value for name, value in source.rows("meta") if name == "epoch" and isinstance(value, int)]
    epochs = said or [row[2] for row in source.rows("groups")]
    # Beyond the last is none that was: it stands on a bad page that reads as a sound one.
    return max((epoch for epoch in epochs if epoch <= EPOCH_MAX), default=0)


_EPOCH: Final = "SELECT max(value, (SELECT coalesce(max(epoch), 0) FROM groups)) FROM meta WHERE name = 'epoch'"


def _check_custody(path: Path, *, salvage: bool) -> None:
    """Raise RestoreFailed where the store is sealed, or was never whole."""
    try:
        database = reading(path)
        try:
            custody_of(database).check_served()
        finally:
            database.close(True)
    except (StoreSealed, StoreBroken) as error:
        raise RestoreFailed(f"{path}: {error}") from error
    except (apsw.Error, UnicodeDecodeError) as error:
        # Not to be guessed: the store that it was copied to, if it was, may be in use.
        mend = ": if you know that it was not, --unseal goes on" if salvage else ""
        raise RestoreFailed(f"{path}: whether it was copied elsewhere cannot be read: {error}{mend}") from error


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
