"""A store's file read as it is, without a writer: for verifying it while it is in use."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from folkmoot.backends.sqlite.database import APPLICATION_ID, migrate, migrations
from folkmoot.backends.sqlite.rows import LAST_GROUPS, entries_of, state_of
from folkmoot.model.entry import Entry
from folkmoot.model.group import GroupState

FAULTS_MAX: Final = 100

_NO: Final = "(SELECT no FROM groups WHERE id = ?1)"
_ENTRIES: Final = (
    "SELECT e.*, o.seq FROM entries e LEFT JOIN outcomes o"
    " ON o.group_no = e.group_no AND o.sender = e.sender AND o.send_id = e.send_id"
    f" WHERE e.group_no = {_NO} AND e.seq > ?2 ORDER BY e.seq LIMIT ?3"
)

_STRAYS: Final = {
    "outcomes that name no entry": (
        f"SELECT count(*), min(sender || ' ' || send_id) FROM outcomes o WHERE group_no = {_NO} AND o.seq IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.group_no = o.group_no AND e.seq = o.seq"
        " AND e.sender = o.sender AND e.send_id = o.send_id)"
    ),
    "outcomes that are both or neither of number and refusal": (
        f"SELECT count(*), min(sender || ' ' || send_id) FROM outcomes WHERE group_no = {_NO}"
        " AND (seq IS NULL) = (code IS NULL)"
    ),
    "read pointers past the head": (
        f"SELECT count(*), min(user || ' at ' || seq) FROM pointers WHERE group_no = {_NO} AND seq > ?2"
    ),
    "members whose list of groups lacks it": (
        f"SELECT count(*), min(user) FROM memberships m WHERE group_no = {_NO} AND ended IS NULL AND NOT EXISTS ("
        "SELECT 1 FROM groups_of_user l WHERE l.user = m.user AND l.group_id = ?1)"
    ),
}

_LOST: Final = {
    f"rows of {table} whose group is not there": (
        f"SELECT count(*), min('number ' || group_no) FROM {table} WHERE group_no NOT IN (SELECT no FROM groups)"
    )
    for table in ("entries", "outcomes", "memberships", "pointers")
} | {
    "groups in lists of users who are no members": (
        "SELECT count(*), min(user || ' in ' || group_id) FROM groups_of_user l WHERE NOT EXISTS ("
        "SELECT 1 FROM groups g JOIN memberships m ON m.group_no = g.no"
        " WHERE g.id = l.group_id AND m.user = l.user AND m.ended IS NULL)"
    ),
}


class Inspection:
    """One read transaction over the whole file: everything it shows is of one moment."""

    def __init__(self, database: apsw.Connection) -> None:
        self._database = database

    def heads(self) -> dict[str, int]:
        """The seq at the head of every group."""
        return dict(self._database.execute("SELECT id, seq FROM groups ORDER BY id"))

    def state(self, group: str) -> GroupState:
        """What the projections say of a group. Raises KeyError."""
        row = self._database.execute("SELECT * FROM groups WHERE id = ?", (group,)).fetchone()
        if row is None:
            raise KeyError(group)
        return state_of(self._database, row)

    def entries(self, group: str, after: int, count_max: int) -> list[tuple[Entry, int | None]]:
        """The first entries after a seq, each with the seq that its send has as outcome: None where it has none."""
        rows: list[Any] = self._database.execute(_ENTRIES, (group, after, count_max)).fetchall()
        return list(zip(entries_of(group, [row[:-1] for row in rows]), [row[-1] for row in rows], strict=True))

    def strays(self, group: str, head: int) -> list[tuple[str, int, str]]:
        """What stands beside the log of a group that ends at `head` and cannot: what it is, how many, and one."""
        return self._counted(_STRAYS, group, head)

    def lost(self) -> list[tuple[str, int, str]]:
        """What belongs to no group: what it is, how many, and one of them."""
        return self._counted(_LOST)

    def epoch(self) -> int:
        """The life of the store; 0 where it does not say."""
        row = self._database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        return row[0] if row is not None and isinstance(row[0], int) else 0

    def faults(self) -> list[str]:
        """What is wrong with the file itself: pages, indexes, tables, and what it says of its last write."""
        return [*self._pages(), *self._tables(), *self._last_groups()]

    def _pages(self) -> list[str]:
        found: list[str] = []
        roots: dict[int, str] = {}
        try:
            roots = dict(self._database.execute("SELECT rootpage, name FROM sqlite_schema WHERE rootpage > 0"))
            for row in self._database.execute(f"PRAGMA integrity_check({FAULTS_MAX})"):
                found += [line for line in str(row[0]).splitlines() if not line.startswith("***")]
        except apsw.Error as error:
            found.append(f"its pages cannot be checked to the end: {error}")

        def named(match: re.Match[str]) -> str:
            return f"{match[0]} ({roots.get(int(match[1]), 'of no table')})"

        return [re.sub(r"[Tt]ree (\d+)", named, line) for line in found if line != "ok"]

    def _tables(self) -> list[str]:
        (application,) = self._database.execute("PRAGMA application_id").fetchone() or (0,)
        (version,) = self._database.execute("PRAGMA user_version").fetchone() or (0,)
        if application != APPLICATION_ID:
            return ["it does not say that it is a store of this program"]
        scripts = migrations()
        if not 1 <= int(version) <= len(scripts):
            return [f"it has schema {version}, this program knows 1 to {len(scripts)}"]
        wanted = apsw.Connection(":memory:")
        try:
            migrate(wanted, scripts[: int(version)])
            rightly = dict(wanted.execute(_SCHEMA))
        finally:
            wanted.close(True)
        there = dict(self._database.execute(_SCHEMA))
        names = sorted(rightly.keys() | there.keys())
        return [f"{name} is not as schema {version} makes it" for name in names if rightly.get(name) != there.get(name)]

    def _last_groups(self) -> list[str]:
        row = self._database.execute("SELECT value FROM meta WHERE name = ?", (LAST_GROUPS,)).fetchone()
        numbers = [] if row is None else str(row[0]).split()
        known = "SELECT 1 FROM groups WHERE no = ?"
        lost = [n for n in numbers if not n.isdecimal() or not self._database.execute(known, (int(n),)).fetchone()]
        return [f"its last write was to group number {number}, which is not there" for number in lost]

    def _counted(self, questions: dict[str, str], *bindings: object) -> list[tuple[str, int, str]]:
        counted = []
        for what, sql in questions.items():
            used = bindings if "?2" in sql else bindings[:1]
            count, example = self._database.execute(sql, used).fetchone() or (0, "")
            if count:
                counted.append((what, int(count), str(example)))
        return counted


_SCHEMA: Final = "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'"


@contextlib.contextmanager
def open_inspection(path: Path) -> Iterator[Inspection]:
    """The store in `path`, to be read only. Raises apsw.Error where it is none."""
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        # Else the last to close would copy the log into the file.
        database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        database.set_busy_timeout(2_000)
        database.execute("BEGIN")
        yield Inspection(database)
    finally:
        database.close(True)
