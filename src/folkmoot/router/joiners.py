"""Who became a member in the last seconds: told of again each second, since the first word may be lost on its way."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from folkmoot.model.ids import GroupId, UserId, partition_of
from folkmoot.model.membership import Membership
from folkmoot.ports.subjects import Hint

JOINERS_MAX: Final = 20_000
"""Beyond it the oldest is no longer told of; the sweep over users finds what that hid."""


class Joiners:
    """Users by group, and when they joined.

    Delivery tells whoever is online that a group is theirs now. It may die before it does, and whoever takes over finds
    the group's head in the store, not who was to hear of it: so the router, which made the entry, says it some times.
    """

    def __init__(self, joiners_max: int = JOINERS_MAX) -> None:
        self._joined: OrderedDict[tuple[GroupId, UserId], tuple[int, float]] = OrderedDict()
        self._joiners_max = joiners_max

    def note(self, group: GroupId, memberships: Iterable[tuple[UserId, Membership]], now_s: float) -> None:
        """An entry has changed these; those that ended are not told of any more."""
        for user, membership in memberships:
            key = (group, user)
            self._joined.pop(key, None)
            if membership.lasts:
                self._joined[key] = (membership.join, now_s)
        while len(self._joined) > self._joiners_max:
            self._joined.popitem(last=False)

    def since(self, oldest_s: float) -> list[Hint]:
        """Of whom to tell again: a hint for each group and partition of users. The older ones are forgotten."""
        while self._joined and next(iter(self._joined.values()))[1] < oldest_s:
            self._joined.popitem(last=False)
        hints: dict[tuple[GroupId, int], Hint] = {}
        for (group, user), (join, _) in self._joined.items():
            hint = hints.setdefault((group, partition_of(user)), Hint(group, [], join))
            hint.users.append(user)
        return list(hints.values())
