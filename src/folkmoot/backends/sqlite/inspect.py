"""A store's file read as it is, without a writer: for verifying it while it is in use."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from folkmoot.backends.sqlite.rows import entries_of, state_of
from folkmoot.model.entry import Entry
from folkmoot.model.group import GroupState


class Inspection:
    """One read transaction over the whole file: everything it shows is of one moment."""

    def __init__(self, database: apsw.Connection) -> None:
        self._database = database

    def groups(self) -> list[str]:
        """The ids of all groups."""
        return [row[0] for row in self._database.execute("SELECT id FROM groups ORDER BY id")]

    def state(self, group: str) -> GroupState:
        """What the projections say of a group. Raises KeyError."""
        row = self._database.execute("SELECT * FROM groups WHERE id = ?", (group,)).fetchone()
        if row is None:
            raise KeyError(group)
        stays = self._database.execute(
            "SELECT user, joined, ended, role FROM memberships WHERE group_no = ? ORDER BY user, joined", (row[0],)
        )
        return state_of(row, stays)

    def entries(self, group: str, after: int, count_max: int) -> list[Entry]:
        """The first entries after a seq."""
        sql = (
            "SELECT * FROM entries WHERE group_no = (SELECT no FROM groups WHERE id = ?) AND seq > ?"
            " ORDER BY seq LIMIT ?"
        )
        return entries_of(group, self._database.execute(sql, (group, after, count_max)))

    def outcome(self, group: str, sender: str, send_id: str) -> int | None:
        """The seq that a send has as its outcome, None where it has none or was refused."""
        row = self._database.execute(
            "SELECT seq FROM outcomes WHERE group_no = (SELECT no FROM groups WHERE id = ?)"
            " AND sender = ? AND send_id = ?",
            (group, sender, send_id),
        ).fetchone()
        return None if row is None else row[0]


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
