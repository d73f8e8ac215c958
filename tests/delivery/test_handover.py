"""Who has yet to tell of partitions taken over, and so gets everything of them."""

from folkmoot.delivery.handover import Handover


def test_without_edges_nobody_is_waited_for() -> None:
    handover = Handover()
    handover.take_over([1, 2])
    assert not handover
    assert handover.awaited() == []


def test_each_edge_is_pushed_everything_until_it_has_told() -> None:
    handover = Handover()
    handover.see(["e1", "e2"])
    handover.take_over([1, 2])
    assert list(handover.silent_on_groups(1)) == ["e1", "e2"]
    handover.told_of_groups("e1", [1, 9])
    assert list(handover.silent_on_groups(1)) == ["e2"]
    assert list(handover.silent_on_groups(2)) == ["e1", "e2"]
    assert list(handover.silent_on_users(1)) == ["e1", "e2"]
    handover.told_of_groups("e2", [1, 2])
    handover.told_of_groups("e1", [2])
    assert handover.awaited() == [1, 2]
    for edge in ("e1", "e2"):
        handover.told_of_users(edge, [1, 2])
    assert not handover


def test_a_dead_edge_and_a_lost_partition_are_not_waited_for() -> None:
    handover = Handover()
    handover.see(["e1", "e2"])
    handover.take_over([1, 2])
    handover.see(["e2", "e3"])
    assert list(handover.silent_on_groups(1)) == ["e2"]
    handover.lose([1])
    assert handover.awaited() == [2]
    handover.see(["e3"])
    assert not handover
