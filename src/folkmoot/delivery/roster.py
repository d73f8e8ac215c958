"""The two rosters: which edges have members of which group online, and which edges a user is on."""

from collections.abc import Iterable

from folkmoot.model.ids import GroupId, UserId, partition_of


class Rosters:
    """Edges by group and by user, and when each edge was last heard. A hint for speed: a wrong one costs no entry."""

    def __init__(self) -> None:
        self._groups: dict[GroupId, dict[str, None]] = {}
        self._users: dict[UserId, dict[str, None]] = {}
        self._heard_s: dict[str, float] = {}

    def announce(self, edge: str, groups: Iterable[GroupId], gone: Iterable[GroupId], now_s: float) -> None:
        """The edge has members of `groups` online, of `gone` no longer."""
        self._heard_s[edge] = now_s
        _put(self._groups, edge, groups, gone)

    def online(self, edge: str, users: Iterable[UserId], gone: Iterable[UserId], now_s: float) -> None:
        """The edge has `users` connected, `gone` no longer."""
        self._heard_s[edge] = now_s
        _put(self._users, edge, users, gone)

    def forget_partitions(self, partitions: frozenset[int]) -> None:
        """Take out all that belongs to these."""
        if partitions:
            for table in (self._groups, self._users):
                for name in [name for name in table if partition_of(name) in partitions]:
                    del table[name]

    def forget_silent(self, oldest_s: float) -> list[str]:
        """Take out the edges last heard before `oldest_s`; which they were."""
        silent = {edge for edge, heard_s in self._heard_s.items() if heard_s < oldest_s}
        for edge in silent:
            del self._heard_s[edge]
        if silent:
            for table in (self._groups, self._users):
                for name in list(table):
                    for edge in silent:
                        table[name].pop(edge, None)
                    if not table[name]:
                        del table[name]
        return sorted(silent)

    def edges_of_group(self, group: GroupId) -> Iterable[str]:
        return self._groups.get(group, ())

    def edges_of_user(self, user: UserId) -> Iterable[str]:
        return self._users.get(user, ())

    def groups(self) -> list[GroupId]:
        return list(self._groups)

    def counts(self) -> tuple[int, int, int]:
        """How many groups, users and edges."""
        return len(self._groups), len(self._users), len(self._heard_s)


def _put(table: dict[str, dict[str, None]], edge: str, names: Iterable[str], gone: Iterable[str]) -> None:
    for name in names:
        table.setdefault(name, {})[edge] = None
    for name in gone:
        edges = table.get(name)
        if edges is not None:
            edges.pop(edge, None)
            if not edges:
                del table[name]
