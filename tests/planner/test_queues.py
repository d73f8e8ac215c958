"""Queues behave as arithmetic says: first come first served, and a commit takes all that waits."""

from folkmoot.planner.queues import Calendar, Core, GroupCommit


def test_things_happen_in_order_and_at_one_time_as_they_were_asked_for() -> None:
    calendar, seen = Calendar(), list[tuple[str, float]]()
    calendar.at(2.0, lambda at_s: seen.append(("second", at_s)))
    calendar.at(1.0, lambda at_s: calendar.at(at_s + 1.0, lambda at_s: seen.append(("third", at_s))))
    calendar.at(0.5, lambda at_s: seen.append(("first", at_s)))
    calendar.run()
    assert seen == [("first", 0.5), ("second", 2.0), ("third", 2.0)]


def test_a_core_does_one_thing_after_the_other() -> None:
    core = Core()
    assert core.work(0.0, 2.0) == 0.0
    assert core.work(1.0, 2.0) == 2.0
    assert core.work(9.0, 1.0) == 9.0
    assert core.busy_s == 5.0
    assert core.free_s == 10.0


def test_what_comes_during_a_commit_shares_the_next() -> None:
    calendar, done = Calendar(), list[tuple[str, float]]()
    disk = GroupCommit(calendar, lambda: 1.0)

    def append(name: str, at_s: float) -> None:
        calendar.at(at_s, lambda now_s: disk.append(now_s, lambda done_s: done.append((name, done_s))))

    for name, at_s in (("a", 0.0), ("b", 0.2), ("c", 0.9), ("d", 5.0)):
        append(name, at_s)
    calendar.run()
    assert done == [("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 6.0)]
    assert disk.commits == 3


def test_what_is_appended_as_a_commit_ends_waits_for_the_next() -> None:
    calendar, done = Calendar(), list[float]()
    disk = GroupCommit(calendar, lambda: 1.0)
    disk.append(0.0, lambda at_s: disk.append(at_s, done.append))
    calendar.run()
    assert done == [2.0]
