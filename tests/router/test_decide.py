"""What becomes of a send: every row of the rules, on states made by the decisions before."""

from typing import Any

import msgspec
import pytest

from folkmoot.model.fold import fold
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.ids import group_id
from folkmoot.model.send import SKIP, Appended, Refused, Send
from folkmoot.router.decide import (
    Already,
    Append,
    Circumstances,
    Decision,
    Leave,
    LoadNewer,
    Refuse,
    decide,
)

OWNER, ADMIN, MEMBER, STRANGER = "user-1", "user-2", "user-3", "user-9"
GROUP = group_id(OWNER, "make")
OPEN = Circumstances(outcome=None, after_settled=True, full=False, now_ms=1_000, salt=b"s" * 16, members_max=5)


def a_send(sender: str, kind: str, body: dict[str, Any] | None = None, **fields: Any) -> Send:
    defaults: dict[str, Any] = {"group": GROUP, "device": "d", "send_id": "id", "join": 1, "after": None}
    raw = msgspec.json.encode(body or {})
    return Send(sender=sender, kind=kind, body=raw, **(defaults | fields))


def asked(state: GroupState, *sends: Send) -> GroupState:
    for send in sends:
        decision = decide(state, send, OPEN)
        assert isinstance(decision, Append), decision
        state = fold(state, decision.entry)
    return state


def create(**body: Any) -> Send:
    return a_send(OWNER, "group.created", {"name": "g"} | body, send_id="make", join=0)


@pytest.fixture
def group() -> GroupState:
    """An owner, an admin and a member, all since entry 1."""
    state = asked(empty_group(GROUP, 1, 100), create(members=[ADMIN, MEMBER]))
    return asked(state, a_send(OWNER, "member.role", {"user": ADMIN, "role": "admin"}))


def test_a_creation_makes_the_first_entry_and_all_its_members(group: GroupState) -> None:
    assert group.members_count == 3
    assert group.owners_count == 1
    assert {user: stays[0].join for user, stays in group.memberships.items()} == {OWNER: 1, ADMIN: 1, MEMBER: 1}


def test_times_never_fall_though_the_clock_does(group: GroupState) -> None:
    earlier = msgspec.structs.replace(OPEN, now_ms=OPEN.now_ms - 400)
    decision = decide(group, a_send(OWNER, "message", {"text": "x"}), earlier)
    assert isinstance(decision, Append)
    assert decision.entry.time_ms == group.time_ms == OPEN.now_ms
    assert fold(group, decision.entry).time_ms == OPEN.now_ms


def test_a_group_is_made_only_under_the_id_of_its_creator_and_send() -> None:
    other = a_send(STRANGER, "group.created", {"name": "g"}, send_id="make", join=0)
    assert decide(empty_group(GROUP, 1, 100), other, OPEN) == Leave("not_taken")


def test_a_bad_creation_is_refused_though_there_is_no_group_to_keep_it_in() -> None:
    decision = decide(empty_group(GROUP, 1, 100), create(name=""), OPEN)
    assert isinstance(decision, Refuse)
    assert (decision.code, decision.stored) == ("bad_body", False)


def test_a_message_is_appended_with_the_next_number_and_count(group: GroupState) -> None:
    decision = decide(group, a_send(MEMBER, "message", {"text": "hi"}), OPEN)
    assert isinstance(decision, Append)
    assert (decision.entry.seq, decision.entry.messages) == (group.head.seq + 1, 1)


@pytest.mark.parametrize(
    ("send", "expected"),
    [
        (a_send(STRANGER, "message", {"text": "x"}, join=0), Leave("not_taken")),
        (a_send(STRANGER, "message", {"text": "x"}, join=1), Leave("not_taken")),
        (a_send(STRANGER, "member.joined", join=0), Leave("not_taken")),
        (a_send(STRANGER, SKIP, join=0), Leave("not_taken")),
        (a_send(MEMBER, "message", {"text": "x"}, join=99), LoadNewer()),
        (a_send(MEMBER, "member.joined"), Refuse("already_member")),
        (a_send(MEMBER, "no.such.kind"), Refuse("unknown_kind", "no entry kind 'no.such.kind'")),
        (a_send(MEMBER, "group.renamed", {"name": "n"}), Refuse("not_allowed", "only admins and owners rename")),
        (
            a_send(MEMBER, "member.added", {"users": [STRANGER]}),
            Refuse("not_allowed", "only admins and owners add members"),
        ),
        (a_send(ADMIN, "member.added", {"users": [MEMBER, OWNER]}), Refuse("already_member")),
        (a_send(ADMIN, "member.added", {"users": ["a", "b", "c"]}), Refuse("group_full", "at most 5 members")),
        (
            a_send(ADMIN, "member.removed", {"user": OWNER}),
            Refuse("not_allowed", "only owners remove admins and owners"),
        ),
        (a_send(ADMIN, "member.removed", {"user": STRANGER}), Refuse("not_a_member")),
        (a_send(OWNER, "member.removed", {"user": OWNER}), Refuse("not_allowed", "leave instead")),
        (
            a_send(MEMBER, "member.removed", {"user": ADMIN}),
            Refuse("not_allowed", "only admins and owners remove members"),
        ),
        (
            a_send(ADMIN, "member.role", {"user": MEMBER, "role": "admin"}),
            Refuse("not_allowed", "only owners change roles"),
        ),
        (a_send(OWNER, "member.role", {"user": STRANGER, "role": "admin"}), Refuse("not_a_member")),
        (a_send(OWNER, "member.role", {"user": OWNER, "role": "member"}), Refuse("last_owner")),
        (a_send(OWNER, "member.left"), Refuse("last_owner", "make someone else an owner first")),
        (a_send(ADMIN, "group.deleted"), Refuse("not_allowed", "only owners delete")),
        (a_send(MEMBER, SKIP), Refuse("skipped")),
    ],
)
def test_what_is_not_appended(group: GroupState, send: Send, expected: Decision) -> None:
    assert decide(group, send, OPEN) == expected


@pytest.mark.parametrize(
    "send",
    [
        a_send(ADMIN, "group.renamed", {"name": "n"}),
        a_send(ADMIN, "member.added", {"users": [MEMBER, STRANGER]}),
        a_send(ADMIN, "member.removed", {"user": MEMBER}),
        a_send(OWNER, "member.removed", {"user": ADMIN}),
        a_send(OWNER, "member.role", {"user": MEMBER, "role": "owner"}),
        a_send(MEMBER, "member.left"),
        a_send(OWNER, "group.deleted"),
        a_send(MEMBER, "message", {"type": "poll", "data": {"n": [1]}}),
    ],
)
def test_what_is_appended(group: GroupState, send: Send) -> None:
    assert isinstance(decide(group, send, OPEN), Append)


def test_a_send_under_a_join_that_is_over_is_refused_for_good_without_a_write(group: GroupState) -> None:
    gone = asked(group, a_send(OWNER, "member.removed", {"user": MEMBER}))
    late = a_send(MEMBER, "message", {"text": "late"})
    assert decide(gone, late, OPEN) == Refuse("membership_over", stored=False)
    back = asked(gone, a_send(OWNER, "member.added", {"users": [MEMBER]}))
    again = decide(back, late, OPEN)
    assert isinstance(again, Refuse)
    assert (again.code, again.stored) == ("membership_over", False)
    now = a_send(MEMBER, "message", {"text": "now"}, join=back.head.seq)
    assert isinstance(decide(back, now, OPEN), Append)


def test_who_was_never_a_member_learns_nothing_from_any_join_number(group: GroupState) -> None:
    nowhere = empty_group("gnowhere", 1, 100)
    for join in range(group.head.seq + 1):
        stranger = a_send(STRANGER, "message", {"text": "x"}, join=join)
        assert decide(group, stranger, OPEN) == Leave("not_taken")
        # Of a group that is not there: once the newest state says so too, which is `not_taken` in the batch.
        assert decide(nowhere, stranger, OPEN) == LoadNewer()


def test_an_open_group_is_joined_by_whoever_asks_until_it_is_full() -> None:
    state = asked(empty_group(GROUP, 1, 100), create(entry="open"))
    for user in ("a", "b", "c", "d"):
        state = asked(state, a_send(user, "member.joined", join=0))
    decision = decide(state, a_send("e", "member.joined", join=0), OPEN)
    assert isinstance(decision, Leave)
    assert decision.code == "not_taken"


def test_an_outcome_is_the_answer_whatever_has_become_of_the_sender(group: GroupState) -> None:
    send = a_send(MEMBER, "message", {"text": "hi"})
    first = decide(group, send, OPEN)
    assert isinstance(first, Append)
    outcome = Appended(first.entry.seq, "message", first.entry.digest, first.entry.salt)
    known = msgspec.structs.replace(OPEN, outcome=outcome)
    gone = asked(fold(group, first.entry), a_send(OWNER, "member.removed", {"user": MEMBER}))
    assert decide(gone, send, known) == Already(first.entry.seq)
    assert decide(gone, a_send(MEMBER, SKIP), known) == Already(first.entry.seq)
    other = decide(gone, a_send(MEMBER, "message", {"text": "other"}), known)
    assert isinstance(other, Refuse)
    assert (other.code, other.stored) == ("send_id_conflict", False)
    erased = msgspec.structs.replace(OPEN, outcome=msgspec.structs.replace(outcome, salt=None))
    assert decide(gone, a_send(MEMBER, "message", {"text": "other"}), erased) == Already(first.entry.seq)


def test_a_late_copy_of_a_refused_send_stays_refused(group: GroupState) -> None:
    known = msgspec.structs.replace(OPEN, outcome=Refused("skipped"))
    send = a_send(MEMBER, "message", {"text": "hi"})
    assert decide(group, send, known) == Refuse("skipped", stored=False)


def test_a_send_waits_for_the_one_named_in_after_and_a_skip_does_too(group: GroupState) -> None:
    waiting = msgspec.structs.replace(OPEN, after_settled=False)
    for kind in ("message", SKIP):
        assert decide(group, a_send(MEMBER, kind, {"text": "b"}, after="a"), waiting) == Leave("out_of_turn")


def test_a_full_store_refuses_for_good_but_makes_no_group(group: GroupState) -> None:
    full = msgspec.structs.replace(OPEN, full=True)
    assert decide(group, a_send(MEMBER, "message", {"text": "hi"}), full) == Refuse("storage_full")
    decision = decide(empty_group(GROUP, 1, 100), create(), full)
    assert isinstance(decision, Leave)
    assert decision.code == "store_away"
