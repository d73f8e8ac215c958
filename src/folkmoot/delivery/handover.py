"""Partitions taken over, and the edges that have yet to tell what they have there: until then all is pushed to them."""

from collections.abc import Iterable

_NOBODY: dict[str, None] = {}


class Handover:
    """By partition, the edges that live and have not announced since it was taken over: of groups, and of users."""

    def __init__(self) -> None:
        self._edges: tuple[str, ...] = ()
        self._groups: dict[int, dict[str, None]] = {}
        self._users: dict[int, dict[str, None]] = {}

    def __bool__(self) -> bool:
        """Whether anybody has yet to tell."""
        return bool(self._groups or self._users)

    def see(self, edges: Iterable[str]) -> None:
        """These edges live, and no others: one that has died has nobody to push to."""
        self._edges = tuple(edges)
        for table in (self._groups, self._users):
            for partition in list(table):
                table[partition] = {edge: None for edge in table[partition] if edge in self._edges}
                if not table[partition]:
                    del table[partition]

    def take_over(self, partitions: Iterable[int]) -> None:
        """Every edge that lives has to tell of these anew."""
        if self._edges:
            for partition in partitions:
                self._groups[partition] = dict.fromkeys(self._edges)
                self._users[partition] = dict.fromkeys(self._edges)

    def lose(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._groups.pop(partition, None)
            self._users.pop(partition, None)

    def told_of_groups(self, edge: str, partitions: Iterable[int]) -> None:
        """The edge has announced all of its groups in these."""
        _told(self._groups, edge, partitions)

    def told_of_users(self, edge: str, partitions: Iterable[int]) -> None:
        """The edge has announced all of its users in these."""
        _told(self._users, edge, partitions)

    def silent_on_groups(self, partition: int) -> Iterable[str]:
        """The edges that may have members of any group of the partition."""
        return self._groups.get(partition, _NOBODY)

    def silent_on_users(self, partition: int) -> Iterable[str]:
        return self._users.get(partition, _NOBODY)

    def awaited(self) -> list[int]:
        """The partitions of which somebody has yet to tell."""
        return sorted(self._groups.keys() | self._users.keys())


def _told(table: dict[int, dict[str, None]], edge: str, partitions: Iterable[int]) -> None:
    for partition in partitions:
        silent = table.get(partition)
        if silent is not None:
            silent.pop(edge, None)
            if not silent:
                del table[partition]
