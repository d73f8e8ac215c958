"""The audit of one log, page by page: what it finds, what it goes on with afterwards, and what it no longer judges."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from folkmoot.checker.audit import LogAudit, projection_damages
from folkmoot.model.entry import Entry, genesis, sealed
from folkmoot.model.fold import fold_all
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.membership import Membership

GROUP = "gtest"


def log(count: int = 8) -> list[Entry]:
    """A group of two, messages, and a removal at the end."""
    entries: list[Entry] = []
    before = genesis(GROUP)
    for seq in range(1, count + 1):
        kind, body = "message", b'{"text":"x"}'
        if seq == 1:
            kind, body = "group.created", b'{"name":"g","members":["user-2"]}'
        elif seq == count:
            kind, body = "member.removed", b'{"user":"user-2"}'
        entry = sealed(
            before, group=GROUP, epoch=1, seq=seq, kind=kind, sender="user-1", device="", send_id=f"s{seq}", time_ms=5,
            messages=max(0, min(seq, count - 1) - 1), body=body, salt=bytes([seq]) * 16,
        )  # fmt: skip
        entries.append(entry)
        before = entry.hash
    return entries


def folded(entries: Sequence[Entry]) -> GroupState:
    return fold_all(empty_group(GROUP, 1, 1), entries)


def audited(entries: Sequence[Entry], held: GroupState | None = None, **options: int) -> LogAudit:
    audit = LogAudit(GROUP, **options)
    audit.take((entry, entry.seq) for entry in entries)
    audit.end(folded(log()) if held is None else held, 1, [])
    return audit


def found(audit: LogAudit) -> list[tuple[int, str]]:
    return [(damage.seq, damage.what) for damage in audit.damages]


@given(st.lists(st.integers(1, 7), max_size=4))
def test_a_sound_log_is_sound_in_whatever_pages_it_comes(cuts: list[int]) -> None:
    audit, entries = LogAudit(GROUP), log()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(entries)], strict=True):
        audit.take((entry, entry.seq) for entry in entries[start:end])
    audit.end(folded(entries), 1, [])
    assert (audit.damages, audit.more, audit.seq) == ([], 0, 8)


def test_one_damage_is_told_once_and_what_follows_is_judged_on() -> None:
    entries = log()
    entries[2] = replace(entries[2], body=b'{"text":"y"}')
    entries[5] = replace(entries[5], body=b'{"text":"y"}')
    assert [seq for seq, _ in found(audited(entries))] == [3, 6]


def test_past_a_gap_bodies_and_counts_are_still_judged_and_what_was_made_is_not() -> None:
    entries = log()
    del entries[2:4]
    # The first behind the gap has nothing to chain on: its body alone is judged.
    entries[2] = replace(entries[2], body=b'{"text":"y"}')
    held = replace(folded(log()), name="other")
    assert found(audited(entries, held)) == [
        (3, "there is no such entry, nor any up to 4, and the head is past it"),
        (5, "the body is not the one that was sealed"),
    ]


def test_an_erased_message_leaves_all_to_be_judged_and_an_erased_removal_does_not() -> None:
    held = replace(folded(log()), name="other")
    for at, damages in ((3, 1), (7, 0)):
        entries = log()
        entries[at] = replace(entries[at], body=None, salt=None)
        assert len(found(audited(entries, held))) == damages


def test_epochs_never_fall_and_never_pass_the_heads() -> None:
    entries = log(2)
    later = sealed(
        entries[1].hash, group=GROUP, epoch=3, seq=3, kind="message", sender="user-1", device="", send_id="s3",
        time_ms=5, messages=1, body=b"{}", salt=b"s" * 16,
    )  # fmt: skip
    last = sealed(
        later.hash, group=GROUP, epoch=2, seq=4, kind="message", sender="user-1", device="", send_id="s4",
        time_ms=5, messages=2, body=b"{}", salt=b"s" * 16,
    )  # fmt: skip
    entries += [later, last]
    held = folded(entries)
    held = replace(held, head=replace(held.head, epoch=1))
    assert [what for _, what in found(audited(entries, held))] == [
        "is of epoch 2, the one before it of 3",
        "the entry is of epoch 3, the head of 1",
    ]


def test_it_stops_keeping_at_its_bound_and_counts_on() -> None:
    audit = LogAudit(GROUP, damages_max=2)
    audit.take((entry, None) for entry in log())
    assert (len(audit.damages), audit.more, audit.full) == (2, 6, True)


def test_what_cannot_be_read_and_what_is_not_there_are_said() -> None:
    audit = LogAudit(GROUP)
    audit.take((entry, entry.seq) for entry in log()[:3])
    audit.unreadable("malformed")
    assert found(audit) == [(4, "cannot be read: malformed")]
    audit = LogAudit(GROUP)
    audit.is_not_there()
    assert found(audit) == [(0, "there is no such group")]


def test_strays_are_said_with_one_of_them() -> None:
    audit = LogAudit(GROUP)
    audit.take((entry, entry.seq) for entry in log())
    audit.end(folded(log()), 1, [("read pointers past the head", 2, "user-1 at 9")])
    assert found(audit) == [(8, "2 read pointers past the head: user-1 at 9")]


@pytest.mark.parametrize("field", ["name", "history_all", "open", "members_count", "owners_count"])
def test_every_projected_field_is_compared(field: str) -> None:
    state = folded(log())
    other = replace(state, **{field: "other" if field == "name" else 7})
    (what,) = projection_damages(state, other)
    assert field in what


def test_memberships_are_compared_user_by_user() -> None:
    state = folded(log())
    assert list(projection_damages(state, state)) == []
    other = replace(state, memberships={**state.memberships, "user-2": (Membership(1, None, "member"),)})
    assert list(projection_damages(state, other)) == [
        "the memberships of user-2 are not what the log says: member 1 to now instead of member 1 to 8"
    ]
