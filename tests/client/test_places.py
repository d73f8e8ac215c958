"""Each rule by which an event moves a place, on its own; together they are tried in test_core."""

import msgspec
import pytest

from folkmoot.client.kept import KeptPlace
from folkmoot.client.places import UNANSWERED_S_MAX, Places
from folkmoot.client.received import Hidden, Item, Received
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.protocol import events as ev

ME = "user-1"
HELLO = bodies.Message(text="hello")


def entry(seq: int, kind: str = kinds.MESSAGE, body: bodies.Body = HELLO, sender: str = "user-2") -> ev.EntryEvent:
    return ev.EntryEvent(
        group="g",
        seq=seq,
        position=f"p{seq}",
        kind=kind,
        sender=sender,
        device="",
        id=f"s{seq}",
        time_ms=0,
        messages=0,
        body=msgspec.Raw(bodies.canonical(body)),
    )


def joined(seq: int) -> ev.JoinedEvent:
    return ev.JoinedEvent(group="g", position=f"p{seq}", seq=seq, join=seq + 1, name="n")


def snapshot(seq: int, join: int = 1) -> ev.Snapshot:
    return ev.Snapshot(
        group="g",
        position=f"p{seq}",
        seq=seq,
        name="n",
        join=join,
        role="admin",
        members=1,
        messages=0,
        unread=0,
        read=0,
        history="join",
        entry="invite",
    )


def places_at(seq: int, entries_max: int = 100) -> Places:
    """A client that stands at `seq` of one group."""
    places = Places({"g": KeptPlace(position=f"p{seq}", seq=seq, join=1)}, entries_max=entries_max)
    places.user = ME
    places.connected()
    return places


def take(places: Places, *events: ev.EntryEvent) -> None:
    for event in events:
        places.entry(event, 100, 0.0)


def seqs(items: list[Item]) -> list[int]:
    return [item.seq for item in items if isinstance(item, Received)]


def test_the_next_is_taken_and_what_is_had_is_dropped() -> None:
    places = places_at(4)
    take(places, entry(5), entry(5), entry(4), entry(6))
    assert seqs(places.inbox) == [5, 6]
    assert places.duplicates == 2
    assert places.position_of("g") == "p6"


def test_after_a_gap_all_is_dropped_until_it_continues() -> None:
    places = places_at(4)
    take(places, entry(6), entry(7))
    assert places.inbox == []
    assert places.asks == ["g"]
    take(places, entry(5), entry(6), entry(7))
    assert seqs(places.inbox) == [5, 6, 7]
    assert places.stuck_at() is None


def test_an_unknown_kind_moves_the_place() -> None:
    places = places_at(4)
    take(places, msgspec.structs.replace(entry(5), kind="message.edited", body=msgspec.Raw(b'{"x":1}')))
    assert places.inbox == [Hidden("g", 5, "p5")]
    assert places.kept_after(places.inbox) == {"g": KeptPlace(position="p5", seq=5, join=1)}


def test_recovered_beyond_the_place_is_a_gap_and_asked_for_once() -> None:
    places = places_at(4)
    places.recovered(ev.Recovered(group="g", position="p6", seq=6), 0.0)
    places.recovered(ev.Recovered(group="g", position="p6", seq=6), 0.0)
    assert places.asks == ["g"]
    assert places.inbox == []


def test_joined_is_the_only_skip() -> None:
    places = places_at(4)
    places.snapshot(snapshot(9))
    assert places.position_of("g") == "p4"
    places.joined(joined(9), 0.0)
    assert places.position_of("g") == "p9"
    assert places.join_of("g") == 10


def test_joined_never_goes_back() -> None:
    places = places_at(4)
    places.joined(joined(2), 0.0)
    assert places.position_of("g") == "p4"
    assert places.kept_after(places.inbox) == {}


def test_joined_within_a_gap_is_from_before_it_was_asked_for() -> None:
    places = places_at(4)
    take(places, entry(6))
    places.ended(ev.Ended(group="g", seq=6), 0.0)
    places.joined(joined(8), 0.0)
    assert places.position_of("g") == "p4"
    take(places, entry(5), entry(6))
    places.ended(ev.Ended(group="g", seq=6), 0.0)
    places.joined(joined(8), 0.0)
    assert places.position_of("g") == "p8"


def test_ended_before_its_entries_is_a_gap() -> None:
    places = places_at(4)
    places.ended(ev.Ended(group="g", seq=5), 0.0)
    assert places.asks == ["g"]
    take(places, entry(5, kinds.REMOVED, bodies.Removed(user=ME)))
    places.ended(ev.Ended(group="g", seq=5), 0.0)
    assert places.get("g") is None
    assert places.kept_after(places.inbox) == {"g": None}


def test_the_end_of_an_earlier_membership_ends_nothing() -> None:
    places = places_at(4)
    take(places, entry(5))
    places.ended(ev.Ended(group="g", seq=4), 0.0)
    assert places.position_of("g") == "p5"


def test_an_old_join_after_the_end_begins_nothing() -> None:
    places = places_at(4)
    places.ended(ev.Ended(group="g", seq=4), 0.0)
    places.joined(joined(2), 0.0)
    assert places.get("g") is None
    places.joined(joined(4), 0.0)
    assert places.position_of("g") == "p4"


def test_reset_then_snapshot_may_go_back() -> None:
    places = places_at(40)
    places.reset(ev.Reset(group="g", reason="ahead"))
    places.snapshot(snapshot(3))
    assert places.position_of("g") == "p3"
    kept = places.kept_after(places.inbox)["g"]
    assert kept == KeptPlace(position="p3", seq=3, join=1, name="n", role="admin")


def places_that_ask() -> Places:
    """In no group, with a question for one under way."""
    places = Places({}, entries_max=100)
    places.user = ME
    places.connected()
    places.look_for("g", 1.0)
    places.asks.clear()
    return places


def test_nothing_there_of_a_question_older_than_the_place_asks_from_the_place() -> None:
    places = places_that_ask()
    places.joined(joined(4), 1.1)
    assert not places.nothing_there("g", 1.2), "asked before it was told of its membership, which is over again"
    assert (places.asks, places.position_of("g")) == (["g"], "p4")
    places.entry(entry(5), 10, 1.3)
    places.ended(ev.Ended(group="g", seq=5), 1.3)
    assert places.get("g") is None
    assert [type(item) for item in places.take(1.4)] == [ev.JoinedEvent, Received, ev.Ended]


def test_a_later_join_that_answers_a_question_older_than_the_place_skips_nothing_of_it() -> None:
    places = places_that_ask()
    places.joined(joined(1), 1.1)
    places.joined(joined(4), 1.2)
    assert (places.asks, places.position_of("g")) == (["g"], "p1"), "2 to 4 are of the membership that it was told of"
    places.entry(entry(5), 10, 1.2)
    for seq in (2, 3, 4):
        places.entry(entry(seq), 10, 1.3)
    places.ended(ev.Ended(group="g", seq=4), 1.3)
    places.joined(joined(4), 1.3)
    places.entry(entry(5), 10, 1.3)
    received = [item.seq for item in places.take(1.4) if isinstance(item, Received)]
    assert (received, places.position_of("g")) == ([2, 3, 4, 5], "p5")


def test_nothing_there_of_the_place_itself_ends_it_also_where_an_older_question_was_open() -> None:
    places = Places({}, entries_max=100)
    places.connected()
    places.look_for("g", 1.0)
    places.joined(joined(4), 1.1)
    assert not places.nothing_there("g", 1.2)
    assert places.nothing_there("g", 1.3)
    assert places.get("g") is None


def test_nothing_there_ends_a_group_that_was_asked_for_only() -> None:
    places = places_at(4)
    assert places.nothing_there("g", 1.0)
    assert places.inbox == [ev.Ended(group="g", seq=4)]
    assert not places.nothing_there("g", 1.0)
    places = places_at(4)
    take(places, entry(5))
    assert not places.nothing_there("g", 1.0), "said of something else, such as a pointer"
    assert places.position_of("g") == "p5"


def test_entries_of_a_group_that_is_not_known_are_asked_about() -> None:
    places = Places({}, entries_max=10)
    take(places, entry(5), entry(6))
    assert places.asks == ["g"]
    assert places.position_of("g") == ""
    places.snapshot(snapshot(6))
    take(places, entry(7))
    assert seqs(places.inbox) == [7]


def test_what_has_no_room_is_asked_for_once_there_is() -> None:
    places = places_at(0, entries_max=3)
    places.recovered(ev.Recovered(group="g", position="p0", seq=0), 0.0)
    places.take(0.0)
    take(places, *[entry(seq) for seq in range(1, 8)])
    assert seqs(places.inbox) == [1, 2, 3]
    assert places.asks == []
    places.recovered(ev.Recovered(group="g", position="p7", seq=7), 0.0)
    assert places.asks == []
    assert seqs(places.take(0.0)) == [1, 2, 3]
    assert places.asks == ["g"]
    take(places, entry(8), entry(4), entry(5))
    assert seqs(places.take(0.0)) == [4, 5]


def test_a_catch_up_without_room_needs_a_new_connection() -> None:
    places = places_at(0, entries_max=3)
    take(places, *[entry(seq) for seq in range(1, 8)])
    assert not places.needs_new_link
    places.take(0.0)
    assert places.needs_new_link
    places.connected()
    assert not places.needs_new_link


def test_bytes_are_bounded_too() -> None:
    places = places_at(0)
    places.entry(entry(1), 67_108_864, 0.0)
    places.entry(entry(2), 100, 0.0)
    assert seqs(places.take(0.0)) == [1]
    assert places.overflowed == 1
    places.entry(entry(2), 100, 0.0)
    assert seqs(places.take(0.0)) == [2]


def test_what_is_not_continued_is_stuck() -> None:
    places = places_at(4)
    places.entry(entry(6), 100, 50.0)
    assert places.stuck_at() == 50.0 + UNANSWERED_S_MAX
    assert not places.is_stuck(50.0 + UNANSWERED_S_MAX - 0.1)
    assert places.is_stuck(50.0 + UNANSWERED_S_MAX)
    places.connected()
    assert places.stuck_at() is None


@pytest.mark.parametrize(
    ("event", "join", "role", "name"),
    [
        (entry(5, kinds.CREATED, bodies.Created(name="new", members=(ME,))), 5, "member", "new"),
        (entry(5, kinds.CREATED, bodies.Created(name="new"), sender=ME), 5, "owner", "new"),
        (entry(5, kinds.RENAMED, bodies.Renamed(name="new")), 1, "", "new"),
        (entry(5, kinds.LEFT, bodies.Left(), sender=ME), None, "", ""),
        (entry(5, kinds.REMOVED, bodies.Removed(user=ME)), None, "", ""),
        (entry(5, kinds.REMOVED, bodies.Removed(user="user-3")), 1, "", ""),
        (entry(5, kinds.LEFT, bodies.Left()), 1, "", ""),
        (entry(5, kinds.DELETED, bodies.Deleted()), None, "", ""),
        (entry(5, kinds.ROLE, bodies.RoleChanged(user=ME, role="admin")), 1, "admin", ""),
        (entry(5, kinds.ADDED, bodies.Added(users=(ME, "user-3"))), 1, "", ""),
    ],
)
def test_what_an_entry_says_of_the_users_own_standing(
    event: ev.EntryEvent, join: int | None, role: str, name: str
) -> None:
    places = places_at(4)
    take(places, event)
    place = places.get("g")
    assert place is not None
    assert (places.join_of("g"), place.role, place.name) == (join, role, name)


def test_added_or_joined_after_the_end_is_a_new_join() -> None:
    for again in (
        entry(6, kinds.ADDED, bodies.Added(users=(ME,))),
        entry(6, kinds.JOINED, bodies.Joined(), sender=ME),
    ):
        places = places_at(4)
        take(places, entry(5, kinds.REMOVED, bodies.Removed(user=ME)), again)
        assert places.join_of("g") == 6


def test_an_old_removal_does_not_end_a_join_that_was_answered_already() -> None:
    places = places_at(4)
    places.joined_at("g", 9)
    take(places, entry(5, kinds.REMOVED, bodies.Removed(user=ME)))
    assert places.join_of("g") == 9


def test_an_erased_or_strange_body_changes_nothing_but_the_place() -> None:
    places = places_at(4)
    take(places, msgspec.structs.replace(entry(5, kinds.REMOVED), body=msgspec.Raw(b"null")))
    assert places.join_of("g") == 1
    assert places.position_of("g") == "p5"


def test_after_a_reset_nobody_asks_for_the_snapshot_that_follows_by_itself() -> None:
    places = places_at(5)
    places.reset(ev.Reset(group="g", reason="past"))
    places.expect("g", 10.0)
    places.look_for("g", 10.1)
    places.entry(entry(3), 1, 10.2)
    assert places.asks == []
    assert places.is_stuck(10.0 + UNANSWERED_S_MAX)
    places.snapshot(snapshot(3))
    assert not places.is_stuck(10.0 + UNANSWERED_S_MAX)
    assert places.position_of("g") == "p3"


def test_an_entry_that_is_had_is_said_to_be() -> None:
    places = places_at(5)
    assert [places.entry(entry(seq), 1, 0.0) for seq in (5, 6, 6, 8)] == [True, False, True, False]
    assert places.duplicates == 2
