"""A batch decides one by one, each on what those before it made, and writes it all at once."""

from collections.abc import Sequence
from typing import Any

import msgspec

from folkmoot.model.fold import fold_all
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.ids import group_id
from folkmoot.model.send import SKIP, Appended, Outcome, Send, SendKey
from folkmoot.router.batch import Batch, Rules, decide_batch, keys_of

OWNER = "user-1"
GROUP = group_id(OWNER, "make")


def rules(**fields: Any) -> Rules:
    defaults: dict[str, Any] = {
        "now_ms": 5,
        "members_max": 100,
        "full": False,
        "refusals_left": lambda sender: 10,
        "salt": lambda: b"s" * 16,
    }
    return Rules(**(defaults | fields))


def a_send(send_id: str, text: str = "hi", *, kind: str = "message", after: str | None = None, join: int = 1) -> Send:
    body = msgspec.json.encode({"text": text} if kind == "message" else {})
    return Send(
        group=GROUP, sender=OWNER, device="d", send_id=send_id, join=join, after=after, kind=kind, body=body
    )  # fmt: skip


def a_group(room: int = 100) -> GroupState:
    made = Send(
        group=GROUP, sender=OWNER, device="d", send_id="make", join=0, after=None, kind="group.created",
        body=b'{"name":"g"}',
    )  # fmt: skip
    batch = decide_batch(empty_group(GROUP, 1, room), [made], {}, rules())
    assert batch.write is not None
    head = msgspec.structs.replace(batch.write.after.head, writes=1, room=room)
    return msgspec.structs.replace(batch.write.after, head=head)


def decided(sends: Sequence[Send], known: dict[SendKey, Outcome] | None = None, **fields: Any) -> Batch:
    return decide_batch(a_group(), sends, known or {}, rules(**fields))


def told(batch: Batch) -> list[tuple[int | None, str]]:
    return [(ruling.answer.seq, ruling.answer.code) for ruling in batch.rulings]


def test_a_batch_is_one_write_conditional_on_the_state_that_decided_it() -> None:
    group = a_group()
    batch = decide_batch(group, [a_send("a"), a_send("b", after="a")], {}, rules())
    assert told(batch) == [(2, ""), (3, "")]
    assert batch.write is not None
    assert batch.write.expected == group.head
    assert batch.write.after == fold_all(group, batch.write.entries)
    assert all(ruling.written for ruling in batch.rulings)


def test_one_send_id_twice_in_a_batch_is_one_entry_and_the_second_waits_for_the_write_too() -> None:
    batch = decided([a_send("a"), a_send("a"), a_send("a", "another body")])
    assert told(batch) == [(2, ""), (2, ""), (None, "send_id_conflict")]
    assert batch.write is not None
    assert len(batch.write.entries) == 1
    assert [ruling.written for ruling in batch.rulings] == [True, True, True]


def test_what_was_decided_before_is_answered_without_a_write() -> None:
    outcome = Appended(7, "message", b"", None)
    batch = decided([a_send("old")], {(OWNER, "old"): outcome})
    assert told(batch) == [(7, "")]
    assert batch.write is None
    assert not batch.rulings[0].written


def test_an_after_without_an_outcome_is_out_of_turn_and_one_in_the_same_batch_counts() -> None:
    assert told(decided([a_send("b", after="a")])) == [(None, "out_of_turn")]
    assert told(decided([a_send("b", after="a"), a_send("a")])) == [(None, "out_of_turn"), (2, "")]
    assert told(decided([a_send("a", kind=SKIP), a_send("b", after="a")])) == [(None, "skipped"), (2, "")]


def test_refusals_alone_are_a_write_and_are_counted() -> None:
    batch = decided([a_send("a", kind=SKIP), a_send("b", "x" * 9_000)])
    assert told(batch) == [(None, "skipped"), (None, "too_long")]
    assert batch.write is not None
    assert batch.write.entries == []
    assert batch.write.refusals == {(OWNER, "a"): "skipped", (OWNER, "b"): "too_long"}
    assert batch.refused == {OWNER: 2}


def test_a_refusal_by_what_an_entry_of_the_same_batch_ends_waits_for_the_write() -> None:
    batch = decided([a_send("end", kind="group.deleted"), a_send("a")])
    assert told(batch) == [(2, ""), (None, "membership_over")]
    assert batch.rulings[1].answer.definite
    assert [ruling.written for ruling in batch.rulings] == [True, True]


def test_beyond_the_budget_of_refusals_nothing_is_decided() -> None:
    sends = [a_send(str(n), kind=SKIP) for n in range(3)]
    batch = decided(sends, refusals_left=lambda sender: 2)
    assert told(batch) == [(None, "skipped"), (None, "skipped"), (None, "slow_down")]
    assert not batch.rulings[2].answer.definite
    assert not batch.rulings[2].written


def test_a_batch_ends_with_the_room_of_the_bucket() -> None:
    batch = decide_batch(a_group(room=2), [a_send(str(n)) for n in range(5)], {}, rules())
    assert told(batch) == [(2, ""), (3, "")]


def test_a_join_past_the_state_asks_for_a_newer_one_and_then_is_nobodys() -> None:
    ahead = a_send("a", join=50)
    assert decided([ahead]).load_newer
    assert told(decided([ahead], last_try=True)) == [(None, "not_taken")]


def test_a_full_store_turns_appends_into_refusals_that_may_use_the_reserve() -> None:
    batch = decided([a_send("a")], full=True)
    assert told(batch) == [(None, "storage_full")]
    assert batch.write is not None
    assert batch.write.reserve
    assert batch.rulings[0].answer.definite


def test_the_keys_to_look_up_are_those_of_the_sends_and_of_what_they_come_after() -> None:
    assert keys_of([a_send("b", after="a"), a_send("c")]) == {(OWNER, "a"), (OWNER, "b"), (OWNER, "c")}


def test_a_state_of_before_the_group_was_made_decides_nothing_until_it_is_the_newest() -> None:
    before = empty_group(GROUP, 1, 100)
    assert decide_batch(before, [a_send("a")], {}, rules()).load_newer
    assert told(decide_batch(before, [a_send("a")], {}, rules(last_try=True))) == [(None, "not_taken")]
