"""Delays: a message waits until it is answered and all have it; late ones say when it was healed."""

import pytest

from folkmoot.checker.delays import LATE_S, Delays


def test_a_send_is_whole_with_its_answer_and_with_its_entry_everywhere_whichever_is_last() -> None:
    delays = Delays()
    delays.made(("u", "a"), 1.0)
    delays.made(("u", "b"), 2.0)
    delays.numbered(("u", "a"), "g", 5, 3.0)
    assert delays.done == []
    delays.whole("g", 6, 4.0)
    assert delays.done == [(1.0, 4.0)]
    delays.numbered(("u", "b"), "g", 6, 7.0)
    assert delays.done == [(1.0, 4.0), (2.0, 7.0)]
    assert delays.oldest_s() is None


def test_what_is_behind_in_another_group_or_further_on_still_waits() -> None:
    delays = Delays()
    for name, group, seq in (("a", "g", 2), ("b", "g", 3), ("c", "h", 2)):
        delays.made(("u", name), 1.0)
        delays.numbered(("u", name), group, seq, 1.0)
    delays.whole("g", 2, 1.5)
    delays.whole("g", 1, 1.6)
    assert delays.done == [(1.0, 1.5)]
    assert delays.oldest_s() == 1.0


def test_what_was_refused_is_waited_for_no_more() -> None:
    delays = Delays()
    delays.made(("u", "a"), 1.0)
    delays.forget(("u", "a"))
    assert (delays.is_late(100.0), delays.done) == (False, [])


def test_it_is_healed_with_the_last_late_one_and_at_once_where_none_was_late() -> None:
    delays = Delays()
    for number, (made_s, whole_s) in enumerate([(9.0, 9.9), (9.9, 12.0), (10.5, 12.5), (14.0, 14.1)]):
        delays.made(("u", f"s{number}"), made_s)
        delays.numbered(("u", f"s{number}"), "g", number + 1, made_s)
        delays.whole("g", number + 1, whole_s)
    assert delays.healed_s(10.0) == pytest.approx(2.5)
    assert delays.longest_s(10.0) == pytest.approx(2.1)
    assert delays.healed_s(13.0) == 0.0
    assert delays.longest_s(13.0) == pytest.approx(0.1)


def test_somebody_waits_late_only_past_the_bound() -> None:
    delays = Delays()
    delays.made(("u", "a"), 1.0)
    assert not delays.is_late(1.0 + LATE_S / 2)
    assert delays.is_late(1.0 + 2 * LATE_S)
