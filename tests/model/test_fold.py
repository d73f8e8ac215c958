"""The fold: a group's state from its entries, the same however they are cut into snapshots and what came later."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.model.entry import Entry, genesis, sealed
from folkmoot.model.fold import FoldError, begins_for, changed_memberships, ends_for, fold, fold_all, may_manage
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.membership import Membership

USERS = ("a", "b", "c", "d")
EMPTY = empty_group("g", 1, 100)

users = st.sampled_from(USERS)
requests = st.one_of(
    st.tuples(st.just("message"), users, st.just({"text": "x"})),
    st.tuples(st.just("group.renamed"), users, st.fixed_dictionaries({"name": st.sampled_from(["x", "y"])})),
    st.tuples(st.just("member.joined"), users, st.just({})),
    st.tuples(
        st.just("member.added"),
        users,
        st.fixed_dictionaries({"users": st.lists(users, min_size=1, max_size=3, unique=True)}),
    ),
    st.tuples(st.just("member.left"), users, st.just({})),
    st.tuples(st.just("group.deleted"), users, st.just({})),
    st.tuples(st.just("member.removed"), users, st.fixed_dictionaries({"user": users})),
    st.tuples(
        st.just("member.role"),
        users,
        st.fixed_dictionaries({"user": users, "role": st.sampled_from(["owner", "admin", "member"])}),
    ),
    st.tuples(st.just("a.kind.of.tomorrow"), users, st.just({"any": 1})),
)


def log_of(asked: list[tuple[str, str, dict[str, object]]]) -> list[Entry]:
    """A log with whatever was asked in it, sensible or not: a fold takes what the log holds."""
    before, entries, messages = genesis("g"), list[Entry](), 0
    for seq, (kind, sender, body) in enumerate([("group.created", "a", {"name": "g", "members": ["b"]}), *asked], 1):
        messages += kind == "message"
        entry = sealed(
            before, group="g", epoch=1, seq=seq, kind=kind, sender=sender, device="", send_id=str(seq), time_ms=0,
            messages=messages, body=msgspec.json.encode(body), salt=b"",
        )  # fmt: skip
        entries.append(entry)
        before = entry.hash
    return entries


@given(st.lists(requests, max_size=25), st.data())
def test_a_snapshot_and_later_entries_equal_a_later_snapshot(
    asked: list[tuple[str, str, dict[str, object]]], data: st.DataObject
) -> None:
    log = log_of(asked)
    cut = data.draw(st.integers(0, len(log)))
    assert fold_all(fold_all(EMPTY, log[:cut]), log[cut:]) == fold_all(EMPTY, log)


@given(st.lists(requests, max_size=25))
def test_counts_and_memberships_agree_and_stays_never_overlap(asked: list[tuple[str, str, dict[str, object]]]) -> None:
    log = log_of(asked)
    state = fold_all(EMPTY, log)
    lasting = [stay for stays in state.memberships.values() for stay in stays if stay.lasts]
    assert state.members_count == len(lasting)
    assert state.owners_count == sum(stay.role == "owner" for stay in lasting)
    assert state.head.messages == sum(entry.kind == "message" for entry in log)
    for stays in state.memberships.values():
        for one, other in itertools.pairwise(stays):
            assert one.end is not None
            assert one.join <= one.end <= other.join


@given(st.lists(requests, max_size=20))
def test_what_an_entry_changed_set_twice_is_set_once(asked: list[tuple[str, str, dict[str, object]]]) -> None:
    state = EMPTY
    for entry in log_of(asked):
        changes = changed_memberships(state, entry)
        after = fold(state, entry)
        for user, membership in changes.items():
            assert after.memberships[user][-1] == membership
        unchanged = set(state.memberships) - set(changes)
        assert all(after.memberships[user] == state.memberships[user] for user in unchanged)
        state = after


def made(*asked: tuple[str, str, dict[str, object]]) -> GroupState:
    return fold_all(EMPTY, log_of(list(asked)))


def test_adding_a_member_again_changes_nothing_for_them() -> None:
    state = made(("member.added", "a", {"users": ["b", "c"]}))
    assert state.memberships["b"] == (Membership(1, None, "member"),)
    assert state.memberships["c"] == (Membership(2, None, "member"),)


def test_leaving_and_coming_back_are_two_stays() -> None:
    state = made(("member.left", "b", {}), ("member.added", "a", {"users": ["b"]}))
    assert state.memberships["b"] == (Membership(1, 2, "member"), Membership(3, None, "member"))


def test_a_third_stay_leaves_the_two_before_it_as_they_were() -> None:
    again: list[tuple[str, str, dict[str, object]]] = [
        ("member.left", "b", {}),
        ("member.added", "a", {"users": ["b"]}),
    ]
    state = made(
        *again, *again, ("member.role", "a", {"user": "b", "role": "admin"}), ("member.removed", "a", {"user": "b"})
    )
    assert state.memberships["b"] == (
        Membership(1, 2, "member"),
        Membership(3, 4, "member"),
        Membership(5, 7, "admin"),
    )


@pytest.mark.parametrize("history", ["join", "all"])
@pytest.mark.parametrize("entry", ["invite", "open"])
def test_what_a_group_is_made_with_and_its_latest_name(history: str, entry: str) -> None:
    body = {"name": "first", "history": history, "entry": entry}
    creation = sealed(
        genesis("g"), group="g", epoch=1, seq=1, kind="group.created", sender="a", device="", send_id="s", time_ms=0,
        messages=0, body=msgspec.json.encode(body), salt=b"",
    )  # fmt: skip
    state = fold(EMPTY, creation)
    assert (state.name, state.history_all, state.open) == ("first", history == "all", entry == "open")
    assert made(("group.renamed", "a", {"name": "x"}), ("group.renamed", "b", {"name": "y"})).name == "y"


def test_an_entry_that_is_not_the_next_is_an_error() -> None:
    log = log_of([("message", "a", {"text": "x"})] * 2)
    with pytest.raises(FoldError):
        fold(fold(EMPTY, log[0]), log[2])
    with pytest.raises(FoldError):
        fold(empty_group("other", 1, 1), log[0])


def test_an_erased_entry_moves_the_head_only() -> None:
    log = log_of([("message", "a", {"text": "x"})])
    erased = msgspec.structs.replace(log[1], body=None, salt=None)
    state = fold(fold(EMPTY, log[0]), erased)
    assert (state.head.seq, state.head.messages, state.members_count) == (2, 1, 2)


def test_a_deletion_ends_every_membership_and_shuts_the_door() -> None:
    state = made(("member.left", "b", {}), ("member.added", "a", {"users": ["c"]}), ("group.deleted", "a", {}))
    assert dict(state.memberships) == {
        "a": (Membership(1, 4, "owner"),), "b": (Membership(1, 2, "member"),), "c": (Membership(3, 4, "member"),),
    }  # fmt: skip
    assert (state.members_count, state.owners_count, state.open) == (0, 0, False)


@pytest.mark.parametrize(
    ("kind", "sender", "body", "ended"),
    [
        ("member.removed", "u", {"user": "b"}, {"b"}),
        ("member.left", "c", {}, {"c"}),
        ("group.deleted", "a", {}, {"a", "b", "c"}),
        ("member.role", "a", {"user": "b", "role": "admin"}, set()),
        ("message", "a", {"text": "x"}, set()),
    ],
)
def test_whose_membership_an_entry_ends(kind: str, sender: str, body: dict[str, object], ended: set[str]) -> None:
    entry = log_of([(kind, sender, body)])[1]
    assert {user for user in "abc" if ends_for(entry, user)} == ended


@pytest.mark.parametrize(
    ("kind", "sender", "body", "begun"),
    [
        ("group.created", "a", {"name": "g", "members": ["b"]}, {"a", "b"}),
        ("member.joined", "c", {}, {"c"}),
        ("member.added", "a", {"users": ["b", "c"]}, {"b", "c"}),
        ("member.role", "a", {"user": "b", "role": "admin"}, set()),
        ("message", "a", {"text": "x"}, set()),
    ],
)
def test_whose_membership_an_entry_can_begin(kind: str, sender: str, body: dict[str, object], begun: set[str]) -> None:
    entry = log_of([(kind, sender, body)])[1]
    assert {user for user in "abc" if begins_for(entry, user)} == begun


def test_who_manages() -> None:
    assert [may_manage(role) for role in ("owner", "admin", "member")] == [True, True, False]
