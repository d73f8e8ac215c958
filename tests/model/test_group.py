"""A group before its first entry, and what its state says of a user."""

import msgspec

from folkmoot.model.entry import genesis
from folkmoot.model.group import empty_group
from folkmoot.model.membership import Membership
from folkmoot.model.position import position_at


def test_a_group_before_its_first_entry() -> None:
    group = empty_group("g", 3, 8)
    assert (group.head.epoch, group.head.writes, group.head.seq, group.head.room) == (3, 0, 0, 8)
    assert group.head.position == position_at(3, 0, genesis("g"))
    assert (group.head.messages, group.members_count, group.owners_count) == (0, 0, 0)
    assert (group.name, group.history_all, group.open) == ("", False, False)
    assert group.membership("u") is None


def test_the_lasting_membership_of_a_user() -> None:
    stays = {"a": (Membership(1, 4, "member"), Membership(6, None, "admin")), "b": (Membership(1, 2, "member"),)}
    group = msgspec.structs.replace(empty_group("g", 1, 8), memberships=stays)
    assert group.membership("a") == Membership(6, None, "admin")
    assert group.membership("b") is None
