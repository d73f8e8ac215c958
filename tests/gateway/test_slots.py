"""Slots: shut until opened, never another's while anyone holds them, and as many as are wanted."""

from folkmoot.gateway.slots import SHUT, SLOTS_AT_FIRST, Slots


def test_a_slot_is_shut_until_it_is_opened_and_after() -> None:
    slots = Slots()
    slot = slots.take()
    assert slots.fds[slot] == SHUT
    slots.open(slot, 7)
    assert slots.fds[slot] == 7
    slots.shut(slot)
    assert slots.fds[slot] == SHUT


def test_a_slot_is_taken_again_only_once_nobody_holds_it() -> None:
    slots = Slots()
    slot = slots.take()
    slots.open(slot, 7)
    slots.hold(slot)
    slots.let_go(slot)
    # Whoever took it has gone without a word to a lane: the lane may go on, and reaches no one else.
    assert slots.take() != slot
    slots.let_go(slot)
    assert slots.fds[slot] == SHUT
    assert slots.take() == slot
    assert slots.count() == 2


def test_there_are_as_many_as_are_wanted_and_what_is_being_sent_by_stays_as_it_is() -> None:
    slots = Slots()
    taken = [slots.take() for _ in range(SLOTS_AT_FIRST)]
    slots.open(taken[3], 9)
    under_way = slots.fds
    # A thread that sends keeps the array from being made longer.
    with memoryview(under_way):
        more = [slots.take() for _ in range(3 * SLOTS_AT_FIRST)]
    assert len({*taken, *more}) == 4 * SLOTS_AT_FIRST == slots.count()
    assert slots.fds[taken[3]] == under_way[taken[3]] == 9
    assert all(slots.fds[slot] == SHUT for slot in more)
