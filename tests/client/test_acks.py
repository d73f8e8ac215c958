"""At most once a second a group; at once where half the window is unacknowledged; a pointer until it is confirmed."""

from folkmoot.client.acks import MARKS_PER_TELL_MAX, Acks, Marks
from folkmoot.protocol import events as ev
from folkmoot.protocol.limits import ACKS_PER_FRAME_MAX


def test_the_last_of_a_second_is_told() -> None:
    acks = Acks(window=100)
    acks.committed("g", 1, 10.0)
    acks.committed("g", 7, 10.5)
    acks.committed("h", 3, 10.6)
    assert acks.due(10.9) == []
    assert acks.due(11.0) == [ev.Ack(groups={"g": 7, "h": 3})]
    assert acks.next_at is None
    assert acks.due(20.0) == []


def test_half_a_window_is_told_at_once_and_of_that_group_alone() -> None:
    acks = Acks(window=100)
    acks.committed("h", 3, 10.0)
    acks.committed("g", 49, 10.0)
    assert acks.due(10.0) == []
    acks.committed("g", 50, 10.1)
    assert acks.due(10.1) == [ev.Ack(groups={"g": 50})]
    acks.committed("g", 99, 10.2)
    assert acks.due(10.2) == []
    acks.committed("g", 100, 10.3)
    assert acks.due(10.3) == [ev.Ack(groups={"g": 100})]
    assert acks.due(11.3) == [ev.Ack(groups={"h": 3})]


def test_many_groups_go_in_more_frames() -> None:
    acks = Acks(window=1_000)
    for number in range(ACKS_PER_FRAME_MAX + 1):
        acks.committed(f"g{number}", 1, 0.0)
    assert [len(ack.groups) for ack in acks.due(1.0)] == [ACKS_PER_FRAME_MAX, 1]


def test_what_the_server_sends_again_is_acknowledged_again_once_a_second() -> None:
    acks = Acks(window=100)
    acks.repeat("g", 0.0)
    assert acks.next_at is None
    acks.committed("g", 7, 0.0)
    acks.repeat("g", 0.5)
    assert acks.due(1.0) == [ev.Ack(groups={"g": 7})]
    for now_s in (1.1, 1.2):
        acks.repeat("g", now_s)
    assert acks.due(1.9) == []
    assert acks.due(2.1) == [ev.Ack(groups={"g": 7})]
    assert acks.next_at is None
    acks.forget("g")
    acks.repeat("g", 3.0)
    assert acks.next_at is None


def test_after_a_reset_the_numbers_start_anew() -> None:
    acks = Acks(window=10)
    acks.committed("g", 1_000, 0.0)
    acks.due(0.0)
    acks.forget("g")
    acks.committed("g", 6, 5.0)
    assert acks.due(5.0) == [ev.Ack(groups={"g": 6})]


def test_a_pointer_waits_for_its_group_and_goes_once_a_second() -> None:
    marks = Marks()
    marks.move("g", 5, 0.0)
    assert marks.due(0.0, live=set()) == []
    marks.live("g", 3.0)
    assert marks.due(3.0, {"g"}) == [ev.MarkRead(group="g", seq=5)]
    marks.move("g", 6, 3.1)
    marks.move("g", 8, 3.2)
    marks.move("g", 7, 3.3)
    assert marks.due(3.5, {"g"}) == []
    assert marks.due(4.0, {"g"}) == [ev.MarkRead(group="g", seq=8)]


def test_a_pointer_is_told_again_until_the_server_stands_there() -> None:
    marks = Marks()
    marks.move("g", 5, 0.0)
    marks.due(0.0, {"g"})
    marks.moved(ev.Pointer(group="g", read=4, unread=1))
    marks.live("g", 2.0)
    assert marks.due(2.0, {"g"}) == [ev.MarkRead(group="g", seq=5)]
    marks.moved(ev.Pointer(group="g", read=5, unread=0))
    marks.live("g", 4.0)
    assert marks.due(4.0, {"g"}) == []


def test_a_pointer_that_another_device_moved_further_is_not_told() -> None:
    marks = Marks()
    marks.move("g", 5, 0.0)
    marks.moved(ev.Pointer(group="g", read=9, unread=0))
    assert marks.due(0.0, {"g"}) == []


def test_more_pointers_than_a_second_may_tell_wait_for_the_next() -> None:
    marks = Marks()
    groups = {f"g{number}" for number in range(MARKS_PER_TELL_MAX + 5)}
    for group in groups:
        marks.move(group, 1, 0.0)
    assert len(marks.due(0.0, groups)) == MARKS_PER_TELL_MAX
    assert len(marks.due(1.0, groups)) == 5


def test_a_group_that_is_over_has_no_pointer() -> None:
    marks = Marks()
    marks.move("g", 5, 0.0)
    marks.forget("g")
    assert marks.due(0.0, {"g"}) == []
