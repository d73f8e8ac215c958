"""Who has to hear of what: pure rules from entries and rosters to the messages that go out."""

from collections.abc import Callable, Iterable, Mapping

from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.entry import Entry
from folkmoot.model.ids import GroupId, UserId


def newcomers(entry: Entry) -> list[UserId]:
    """The users whose membership `entry` may begin: they have to be told where they are online."""
    if entry.kind == kinds.JOINED:
        return [entry.sender]
    if entry.kind not in (kinds.ADDED, kinds.CREATED) or entry.body is None:
        return []
    body = bodies.parse_body(entry.kind, entry.body)
    if isinstance(body, bodies.Created):
        return [entry.sender, *body.members]
    return list(body.users) if isinstance(body, bodies.Added) else []


def by_edge_of_user(edges_of: Callable[[UserId], Iterable[str]], users: Iterable[UserId]) -> dict[str, list[UserId]]:
    """Which of `users` are on which edge."""
    edges: dict[str, list[UserId]] = {}
    for user in users:
        for edge in edges_of(user):
            edges.setdefault(edge, []).append(user)
    return edges


def heads_by_edge(
    edges_of: Callable[[GroupId], Iterable[str]], heads: Mapping[GroupId, int]
) -> dict[str, dict[GroupId, int]]:
    """Which heads concern which edge."""
    edges: dict[str, dict[GroupId, int]] = {}
    for group, seq in heads.items():
        for edge in edges_of(group):
            edges.setdefault(edge, {})[group] = seq
    return edges
