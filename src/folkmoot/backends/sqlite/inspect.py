"""A store's file read as it is, without a writer: for verifying it while it is in use."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from folkmoot.backends.sqlite.rows import entries_of, state_of
from folkmoot.model.entry import Entry
from folkmoot.model.group import GroupState

_NO: Final = "(SELECT no FROM groups WHERE id = ?1)"
_ENTRIES: Final = f"SELECT * FROM entries WHERE group_no = {_NO} AND seq > ?2 ORDER BY seq LIMIT ?3"
_OUTCOME: Final = f"SELECT seq FROM outcomes WHERE group_no = {_NO} AND sender = ?2 AND send_id = ?3"

_STRAYS: Final = {
    "entries past the head": f"SELECT count(*) FROM entries WHERE group_no = {_NO} AND seq > ?2",
    "outcomes that name no entry": (
        f"SELECT count(*) FROM outcomes o WHERE group_no = {_NO} AND o.seq IS NOT NULL AND NOT EXISTS ("
        "SELECT 1 FROM entries e WHERE e.group_no = o.group_no AND e.seq = o.seq"
        " AND e.sender = o.sender AND e.send_id = o.send_id)"
    ),
    "read pointers past the head": f"SELECT count(*) FROM pointers WHERE group_no = {_NO} AND seq > ?2",
    "members whose list of groups lacks it": (
        f"SELECT count(*) FROM memberships m WHERE group_no = {_NO} AND ended IS NULL AND NOT EXISTS ("
        "SELECT 1 FROM groups_of_user l WHERE l.user = m.user AND l.group_id = ?1)"
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

    def entries(self, group: str, after: int, count_max: int) -> list[Entry]:
        """The first entries after a seq."""
        return entries_of(group, self._database.execute(_ENTRIES, (group, after, count_max)))

    def outcome(self, group: str, sender: str, send_id: str) -> int | None:
        """The seq that a send has as its outcome, None where it has none or was refused."""
        row = self._database.execute(_OUTCOME, (group, sender, send_id)).fetchone()
        return None if row is None else row[0]

    def strays(self, group: str, head: int) -> dict[str, int]:
        """What stands beside the log of a group that ends at `head` and cannot: what it is, and how many."""
        counts: dict[str, int] = {}
        for what, sql in _STRAYS.items():
            bindings = (group, head) if "?2" in sql else (group,)
            counts[what] = self._database.execute(sql, bindings).get
        return {what: count for what, count in counts.items() if count}


@contextlib.contextmanager
def open_inspection(path: Path) -> Iterator[Inspection]:
    """The store in `path`, to be read only. Raises apsw.Error where it is none."""
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        database.set_busy_timeout(2_000)
        database.execute("BEGIN")
        yield Inspection(database)
    finally:
        database.close(True)
