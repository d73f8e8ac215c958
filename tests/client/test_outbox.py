"""Sends go in order, are kept until answered, and are sent again by the code they got."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.client.errors import OutboxFull, SendRefused
from folkmoot.client.kept import KeptSend
from folkmoot.client.outbox import ANSWER_S_MAX, NOT_TAKEN_TRIES_MAX, Outbox
from folkmoot.model import entry as kinds
from folkmoot.model.ids import group_id
from folkmoot.model.send import SKIP
from folkmoot.protocol import events as ev
from folkmoot.protocol.limits import SENDS_UNANSWERED_MAX

ME = "user-1"


def send(number: int, group: str = "g", kind: str = kinds.MESSAGE, join: int | None = 1) -> KeptSend:
    return KeptSend(send_id=f"{group}{number}", group=group, kind=kind, join=join, body=b'{"text":"x"}')


def outbox(*sends: KeptSend, sends_max: int = 1_000, draw: Callable[[], float] = lambda: 0.0) -> Outbox:
    made = Outbox([], sends_max=sends_max, draw=draw)
    for one in sends:
        made.add(one)
    made.connected()
    return made


def ids(sends: list[ev.Send]) -> list[tuple[str, str | None]]:
    return [(one.id, one.after) for one in sends]


def undecided(send_id: str, code: str, retry_after_ms: int = 0) -> ev.Undecided:
    return ev.Undecided(id=send_id, group="g", code=code, retry_after_ms=retry_after_ms)


def accepted(send_id: str, seq: int = 1) -> ev.Accepted:
    return ev.Accepted(id=send_id, group="g", seq=seq)


def test_each_names_the_one_before_while_that_is_unanswered() -> None:
    box = outbox(send(1), send(2), send(1, "h"))
    assert ids(box.due(0.0)) == [("g1", None), ("g2", "g1"), ("h1", None)]
    assert box.due(0.0) == []
    box.accepted(accepted("g1"))
    box.accepted(accepted("g2"))
    box.add(send(3))
    assert ids(box.due(0.0)) == [("g3", None)]


def test_an_answer_settles_for_good() -> None:
    box = outbox(send(1), send(2))
    box.due(0.0)
    box.accepted(accepted("g1", 7))
    box.refused(ev.RefusedEvent(id="g2", group="g", code="not_allowed", detail="no"))
    assert [(a.send_id, a.seq, a.code, a.definite, a.settled) for a in box.answered] == [
        ("g1", 7, "", False, True),
        ("g2", None, "not_allowed", True, True),
    ]
    assert list(box.settled) == ["g1", "g2"]
    assert len(box) == 0
    assert box.accepted(accepted("g1", 7)) is None
    assert box.refused(ev.RefusedEvent(id="g2", group="g", code="x")) is None


def test_after_a_reconnect_all_go_again_in_order() -> None:
    box = outbox(send(1), send(2), send(3))
    box.due(0.0)
    box.accepted(accepted("g1"))
    box.connected()
    assert ids(box.due(0.0)) == [("g2", None), ("g3", "g2")]


def test_out_of_turn_goes_again_from_the_one_named_in_after() -> None:
    box = outbox(send(1), send(2), send(3))
    box.due(0.0)
    box.undecided(undecided("g1", "no_answer", 1_000), 0.0)
    box.undecided(undecided("g2", "out_of_turn"), 0.0)
    box.undecided(undecided("g3", "out_of_turn"), 0.0)
    assert box.due(0.5) == []
    assert box.next_at == 1.0
    assert ids(box.due(1.0)) == [("g1", None), ("g2", "g1"), ("g3", "g2")]


def test_out_of_turn_goes_again_without_after_once_that_one_is_answered() -> None:
    box = outbox(send(1), send(2))
    box.due(0.0)
    box.undecided(undecided("g2", "out_of_turn"), 0.0)
    assert box.due(0.0) == [], "the one before is on its way: nothing is gained before its answer"
    box.accepted(accepted("g1"))
    assert ids(box.due(0.0)) == [("g2", None)]


@pytest.mark.parametrize("code", ["slow_down", "no_answer", "store_unknown", "store_away", "of_a_newer_server"])
def test_these_wait_as_long_as_they_are_told_and_hold_up_nobody_else(code: str) -> None:
    box = outbox(send(1), send(1, "h"))
    box.due(0.0)
    box.undecided(undecided("g1", code, 2_000), 0.0)
    box.add(send(2, "h"))
    assert ids(box.due(1.9)) == [("h2", "h1")]
    assert ids(box.due(2.0)) == [("g1", None)]


def test_waits_grow_with_each_try_and_are_jittered_but_stay_short() -> None:
    # A bus that was away for half a minute left clients waiting for as long again, though all was well by then.
    box = outbox(send(1), draw=lambda: 1.0)
    now_s, waits = 0.0, []
    for _ in range(12):
        assert ids(box.due(now_s)) == [("g1", None)]
        box.undecided(undecided("g1", "store_away"), now_s)
        assert box.due(now_s) == []
        assert box.next_at is not None
        waits.append(box.next_at - now_s)
        now_s = box.next_at
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.1)
    assert waits[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("code", ["rate_limited", "window_full", "draining"])
def test_these_hold_the_whole_connection_and_narrow_it(code: str) -> None:
    box = outbox(*[send(number, f"g{number}") for number in range(100)], draw=lambda: 1.0)
    assert len(box.due(0.0)) == SENDS_UNANSWERED_MAX
    for number in range(SENDS_UNANSWERED_MAX):
        box.undecided(undecided(f"g{number}{number}", code, 20), 0.0)
    assert box.due(0.01) == []
    again = box.due(0.02)
    assert len(again) == SENDS_UNANSWERED_MAX // 2
    box.accepted(accepted(again[0].id))
    for one in again[1:]:
        box.undecided(undecided(one.id, code, 20), 0.03)
    assert len(box.due(0.06)) == (SENDS_UNANSWERED_MAX // 2 + 1) // 2


def test_holds_grow_while_nothing_is_accepted() -> None:
    box = outbox(send(1), draw=lambda: 1.0)
    now_s, waits = 0.0, []
    for _ in range(5):
        assert ids(box.due(now_s)) == [("g1", None)]
        box.undecided(undecided("g1", "rate_limited", 20), now_s)
        box.due(now_s)
        assert box.next_at is not None
        waits.append(box.next_at - now_s)
        now_s = box.next_at
    assert waits[0] == pytest.approx(0.02)
    assert waits[1:] == sorted(waits[1:])
    assert waits[-1] > 1.0


def test_so_many_unanswered_and_no_more() -> None:
    box = outbox(*[send(number) for number in range(SENDS_UNANSWERED_MAX + 10)])
    assert len(box.due(0.0)) == SENDS_UNANSWERED_MAX
    box.accepted(accepted("g0"))
    assert ids(box.due(0.0)) == [(f"g{SENDS_UNANSWERED_MAX}", f"g{SENDS_UNANSWERED_MAX - 1}")]


def test_a_long_lane_does_not_keep_the_others_waiting() -> None:
    box = outbox(*[send(number) for number in range(500)], send(0, "h"), send(0, "i"))
    groups = {one.group for one in box.due(0.0)}
    assert groups == {"g", "h", "i"}


def test_more_lanes_than_may_fly_take_turns() -> None:
    box = outbox(*[send(0, f"g{number:03}") for number in range(200)])
    seen: set[str] = set()
    while len(box):
        for one in box.due(0.0):
            seen.add(one.id)
            box.accepted(accepted(one.id))
    assert len(seen) == 200


def test_an_answer_that_never_comes_is_asked_for_again() -> None:
    box = outbox(send(1), send(2))
    box.due(0.0)
    assert box.next_at == ANSWER_S_MAX
    assert ids(box.due(ANSWER_S_MAX)) == [("g1", None), ("g2", "g1")]


def test_the_same_send_again_changes_nothing_and_another_of_its_id_is_refused() -> None:
    box = outbox(send(1))
    box.add(send(1))
    assert len(box) == 1
    assert len(box.made) == 1
    with pytest.raises(SendRefused, match="send_id_conflict"):
        box.add(KeptSend(send_id="g1", group="g", kind=kinds.MESSAGE, join=1, body=b'{"text":"y"}'))


def test_a_send_made_again_once_it_is_answered_is_kept_as_the_last_and_not_settled() -> None:
    box = Outbox([send(1)], sends_max=10, draw=lambda: 0.0)
    box.skip("g", "g1", 1)
    box.refused(ev.RefusedEvent(id="g1", group="g", code="skipped"))
    box.add(send(2))
    box.add(send(1))
    assert list(box.made.values()) == [send(2), send(1)]
    assert box.changed == {}, "that was of the send before"
    assert box.settled == {}
    box.accepted(accepted("g1"))
    assert list(box.settled) == ["g1"]


def test_an_outbox_has_a_bound() -> None:
    box = outbox(send(1), send(2), sends_max=2)
    with pytest.raises(OutboxFull):
        box.add(send(3))
    box.due(0.0)
    box.accepted(accepted("g1"))
    box.add(send(3))


def test_not_taken_is_tried_a_few_times_then_the_application_decides() -> None:
    box = outbox(send(1), send(2))
    now_s = 0.0
    for _ in range(NOT_TAKEN_TRIES_MAX):
        now_s += 10.0
        assert ids(box.due(now_s))[0] == ("g1", None)
        box.undecided(undecided("g1", "not_taken"), now_s)
        box.undecided(undecided("g2", "out_of_turn"), now_s)
    (told,) = box.answered
    assert (told.send_id, told.code, told.definite, told.settled) == ("g1", "not_taken", False, False)
    assert box.due(now_s + 1_000) == []
    assert len(box) == 2
    box.skip("g", "g1", 1)
    first, second = box.due(now_s)
    assert (first.id, first.kind, bytes(first.body)) == ("g1", SKIP, b"{}")
    assert (second.id, second.kind, second.after) == ("g2", kinds.MESSAGE, "g1")
    assert box.changed["g1"].kind == SKIP
    box.refused(ev.RefusedEvent(id="g1", group="g", code="skipped"))
    assert box.answered[-1].definite


def test_what_waits_for_the_application_is_tried_again_on_a_new_connection() -> None:
    box = outbox(send(1))
    for now_s in (10.0, 20.0, 30.0):
        box.due(now_s)
        box.undecided(undecided("g1", "not_taken"), now_s)
    box.connected()
    assert ids(box.due(40.0)) == [("g1", None)]


@pytest.mark.parametrize("kind", [kinds.JOINED, SKIP])
def test_a_strangers_request_that_is_not_taken_leaves_the_outbox(kind: str) -> None:
    box = outbox(send(1, kind=kind, join=0))
    for now_s in (10.0, 20.0, 30.0):
        box.due(now_s)
        box.undecided(undecided("g1", "not_taken"), now_s)
    (told,) = box.answered
    assert (told.code, told.definite, told.settled) == ("not_taken", False, True)
    assert len(box) == 0


def test_a_skip_of_what_is_on_its_way_goes_at_once() -> None:
    box = outbox(send(1))
    box.due(0.0)
    box.skip("g", "g1", 1)
    (one,) = box.due(0.0)
    assert one.kind == SKIP
    assert box.accepted(accepted("g1", 4)) is not None


def test_a_skip_of_what_is_not_in_here_is_a_send_of_its_own() -> None:
    box = outbox()
    box.skip("g", "elsewhere", 3)
    (one,) = box.due(0.0)
    assert (one.id, one.kind, one.join) == ("elsewhere", SKIP, 3)
    assert list(box.made) == ["elsewhere"]


def test_a_skip_of_what_never_left_is_settled_here() -> None:
    box = outbox(send(1, join=None))
    box.skip("g", "g1", None)
    assert box.answered[0].code == "skipped"
    assert box.due(0.0) == []


def test_a_skip_of_a_creation_names_the_group() -> None:
    box = outbox(send(1, group="", kind=kinds.CREATED, join=0))
    box.due(0.0)
    box.skip("made", "1", None)
    (one,) = box.due(0.0)
    assert (one.id, one.group, one.kind) == ("1", "made", SKIP)
    box.refused(ev.RefusedEvent(id="1", group="made", code="skipped"))
    assert len(box) == 0


def test_a_send_without_a_join_waits_until_it_is_known_and_is_kept_with_it() -> None:
    box = outbox(send(1, join=None), send(2, join=None))
    assert box.due(0.0) == []
    assert box.learn_joins(ME, lambda _: None) == ["g"]
    assert box.learn_joins(ME, lambda _: 5) == []
    assert [one.join for one in box.changed.values()] == [5, 5]
    assert [one.join for one in box.due(0.0)] == [5, 5]


def test_a_group_that_is_not_there_refuses_only_what_never_left() -> None:
    box = outbox(send(1), send(2, join=None))
    box.no_such_group("g")
    (told,) = box.answered
    assert (told.send_id, told.code, told.definite) == ("g2", "no_such_group", True)
    assert "g1" in box


def test_a_group_that_is_being_made_or_joined_is_not_asked_about() -> None:
    made = group_id(ME, "1")
    box = outbox(send(1, group="", kind=kinds.CREATED, join=0), send(1, group=made, join=None))
    assert box.learn_joins(ME, lambda _: None) == []
    box = outbox(send(1, kind=kinds.JOINED, join=0), send(2, join=None))
    assert box.learn_joins(ME, lambda _: None) == []


def test_what_a_gateway_cannot_read_is_refused() -> None:
    box = outbox(send(1))
    box.due(0.0)
    box.malformed("g1", "bad_request", "what?")
    assert box.answered[0].definite


def test_what_was_kept_comes_back_in_order() -> None:
    box = Outbox([send(2), send(1)], sends_max=10, draw=lambda: 0.0)
    assert [one.send_id for one in box.pending()] == ["g2", "g1"]
    assert box.made == {}
    box.connected()
    assert ids(box.due(0.0)) == [("g2", None), ("g1", "g2")]


@given(st.lists(st.sampled_from(["accept", "refuse", "no_answer", "rate_limited", "out_of_turn", "cut", "add"])))
def test_nothing_overtakes_within_a_group(steps: list[str]) -> None:
    """A model of the server: it decides a send only when the one it names in `after` has an outcome."""
    box = outbox(*[send(number) for number in range(4)])
    number, now_s = 4, 0.0
    outcomes: list[str] = []
    flying: list[ev.Send] = []

    def answer(step: str) -> None:
        one = flying.pop(0)
        if one.id in outcomes:
            box.accepted(accepted(one.id))
        elif one.after is not None and one.after not in outcomes:
            box.undecided(undecided(one.id, "out_of_turn"), now_s)
        elif step in ("accept", "refuse"):
            outcomes.append(one.id)
            if step == "accept":
                box.accepted(accepted(one.id))
            else:
                box.refused(ev.RefusedEvent(id=one.id, group="g", code="not_allowed"))
        else:
            box.undecided(undecided(one.id, step, 100), now_s)

    for step in [*steps, *["accept"] * 200]:
        now_s += 0.2
        flying.extend(box.due(now_s))
        if step == "cut":
            flying.clear()
            box.connected()
        elif step == "add":
            box.add(send(number))
            number += 1
        elif flying:
            answer(step)
    assert outcomes == [f"g{at}" for at in range(number)]
    assert len(box) == 0
