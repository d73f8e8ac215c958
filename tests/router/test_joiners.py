"""Who joined lately is told of again for some seconds, by group and partition of users, and no longer."""

from folkmoot.model.ids import partition_of
from folkmoot.model.membership import MEMBER, Membership
from folkmoot.ports.subjects import Hint
from folkmoot.router.joiners import Joiners

LASTS = Membership(5, None, MEMBER)


def told(joiners: Joiners, oldest_s: float) -> set[tuple[str, str, int]]:
    return {(hint.group, user, hint.seq) for hint in joiners.since(oldest_s) for user in hint.users}


def test_whoever_joined_is_told_of_until_it_is_too_long_ago() -> None:
    joiners = Joiners()
    joiners.note("g", [("user-1", LASTS)], 10.0)
    joiners.note("h", [("user-1", LASTS)], 12.0)
    assert told(joiners, 9.0) == {("g", "user-1", 5), ("h", "user-1", 5)}
    assert told(joiners, 11.0) == {("h", "user-1", 5)}
    assert told(joiners, 9.0) == {("h", "user-1", 5)}


def test_whoever_has_left_since_is_not() -> None:
    joiners = Joiners()
    joiners.note("g", [("user-1", LASTS), ("user-2", LASTS)], 1.0)
    joiners.note("g", [("user-1", Membership(5, 9, MEMBER))], 2.0)
    assert told(joiners, 0.0) == {("g", "user-2", 5)}


def test_a_hint_is_of_one_partition_of_users() -> None:
    users = [f"user-{number}" for number in range(50)]
    joiners = Joiners()
    joiners.note("g", [(user, LASTS) for user in users], 1.0)
    hints = joiners.since(0.0)
    assert all(len({partition_of(user) for user in hint.users}) == 1 for hint in hints)
    assert len(hints) == len({partition_of(user) for user in users})
    assert all(isinstance(hint, Hint) for hint in hints)


def test_the_oldest_goes_where_there_are_too_many() -> None:
    joiners = Joiners(joiners_max=2)
    joiners.note("g", [(f"user-{number}", LASTS) for number in range(3)], 1.0)
    assert told(joiners, 0.0) == {("g", "user-1", 5), ("g", "user-2", 5)}
