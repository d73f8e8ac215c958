"""Whatever is lost, doubled or cut: what is applied is the log, once and in order, and every send has one outcome."""

import contextlib
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from folkmoot.client.core import Core, CoreSettings
from folkmoot.client.errors import ConnectionEnded, SendRefused, StoreOfAnother
from folkmoot.client.kept import Kept, KeptPlace, KeptSend
from folkmoot.client.received import Hidden, Item, Received
from folkmoot.client.store import MemoryClientStore, SqliteClientStore
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.entry import Entry
from folkmoot.model.ids import GroupId, group_id
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON, FrameInvalid
from folkmoot.testing.scripted_server import PING_INTERVAL_MS, ScriptedServer
from folkmoot.testing.session_pair import PlayedClient, SessionPair

ME = "user-1"
OTHER = "user-2"


def said(pair: SessionPair, text: str, group: GroupId, send_id: str) -> None:
    """Put a message into the client's outbox."""
    body = bodies.canonical(bodies.Message(text=text))
    join = pair.client.core.places.join_of(group)
    pair.client.core.send(KeptSend(send_id=send_id, group=group, kind=kinds.MESSAGE, join=join, body=body))


def stretches(applied: list[Item], group: GroupId) -> Iterator[tuple[int, list[Item]]]:
    """What was applied of a group, cut where a place was given anew: the seq before, and the items after."""
    start: int | None = None
    items: list[Item] = []
    for item in applied:
        if item.group != group:
            continue
        if isinstance(item, ev.JoinedEvent | ev.Snapshot):
            if start is not None:
                yield start, items
            start, items = item.seq, []
        elif start is not None:
            items.append(item)
    if start is not None:
        yield start, items


def assert_applied_is_the_log(applied: list[Item], log: list[Entry], group: GroupId) -> None:
    """Every entry that was applied is the log's, each the next after the one before."""
    last = -1
    for start, items in stretches(applied, group):
        assert start >= last, "a place went back"
        seq = start
        over = False
        for item in items:
            if isinstance(item, Received | Hidden):
                assert not over, "an entry after the end"
                assert item.seq == seq + 1, "not the next"
                assert isinstance(item, Hidden) or item.send_id == log[item.seq - 1].send_id
                seq = item.seq
            elif isinstance(item, ev.Ended | ev.Reset):
                over = True
        last = seq


@pytest.fixture
def pair() -> SessionPair:
    return SessionPair(PlayedClient(), ScriptedServer(), ME)


def texts(pair: SessionPair, group: GroupId) -> list[str]:
    return [entry.text for entry in pair.client.entries(group) if entry.kind == kinds.MESSAGE]


def test_hello_first_then_positions_then_the_outbox(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.cut()
    said(pair, "a", group, "s1")
    said(pair, "b", group, "s2")
    pair.flush()
    pair.connect()
    pair.deliver_to_server()
    pair.deliver_to_client(1)
    pair.flush()
    pair.deliver_to_server()
    assert pair.end is not None
    hello, resume, first, second = pair.end.heard
    assert isinstance(hello, ev.Hello)
    assert isinstance(resume, ev.Resume)
    assert resume.others
    assert list(resume.groups) == [group]
    assert isinstance(first, ev.Send)
    assert isinstance(second, ev.Send)
    assert (first.id, first.after, second.id, second.after) == ("s1", None, "s2", "s1")


def test_what_was_on_its_way_goes_again_at_once_on_a_new_connection(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    said(pair, "a", group, "s1")
    said(pair, "b", group, "s2")
    pair.flush()
    pair.deliver_to_server(1)
    pair.cut()
    pair.settle(rounds_max=10)
    assert [answer.seq for answer in pair.client.answers] == [2, 3]
    assert pair.now_s == 0.0


def test_a_join_that_is_about_to_be_told_is_not_asked_for(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    said(pair, "made before the first connection", group, "s1")
    pair.settle()
    assert pair.end is not None
    assert sum(isinstance(event, ev.Resume) for event in pair.end.heard) == 1
    assert pair.client.answers[0].seq == 2


def test_many_positions_go_in_more_frames_and_only_the_last_asks_for_others() -> None:
    places = {f"g{i}": KeptPlace(position="AAAAAQAAAAAAAAABAAAAAAAAAAA", seq=1, join=1) for i in range(250)}
    core = Core(Kept(user=ME, places=places), CoreSettings(fresh="join"), draw=lambda: 0.5)
    core.opened(ME, 0.0)
    core.take_frames(0.0)
    welcome = ev.Welcome(user=ME, device="", version=1, time_ms=0, ping_interval_ms=1_000)
    core.receive(JSON.encode(welcome))
    frames = [JSON.decode_client(frame) for frame in core.take_frames(0.0)]
    resumes = [frame for frame in frames if isinstance(frame, ev.Resume)]
    assert [len(resume.groups) for resume in resumes] == [100, 100, 50]
    assert [resume.others for resume in resumes] == [False, False, True]
    assert resumes[-1].fresh == "join"


def test_an_entry_of_an_unknown_kind_moves_the_place_and_shows_nothing(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.server.say_unknown(group, OTHER)
    pair.server.say(group, OTHER, "after")
    pair.settle()
    assert [entry.seq for entry in pair.client.entries(group)] == [3]
    pair.server.say_unknown(group, OTHER)
    pair.settle()
    assert pair.client.store.load().places[group].seq == 4
    pair.crash()
    pair.settle()
    assert pair.client.core.statistics().duplicates == 0


def test_a_gap_is_asked_for_once(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    for text in "abcd":
        pair.server.say(group, OTHER, text)
    pair.drop_entry(1)
    pair.deliver_to_client()
    pair.flush()
    asked = [frame for frame in map(JSON.decode_client, pair.to_server) if isinstance(frame, ev.Resume)]
    assert len(asked) == 1
    assert not asked[0].others
    pair.settle()
    assert texts(pair, group) == list("abcd")
    assert pair.client.core.statistics().gaps == 1


def test_a_removal_while_away_is_heard_to_its_end_and_a_new_join_skips(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.cut()
    pair.server.say(group, OTHER, "before")
    pair.server.change(group, OTHER, kinds.REMOVED, bodies.Removed(user=ME))
    pair.server.say(group, OTHER, "not for me")
    pair.server.change(group, OTHER, kinds.ADDED, bodies.Added(users=(ME,)))
    pair.server.say(group, OTHER, "again")
    pair.settle()
    assert texts(pair, group) == ["before", "again"]
    shown = [type(item).__name__ for item in pair.client.applied if not isinstance(item, Received)]
    assert shown == ["Snapshot", "Recovered", "Ended", "JoinedEvent", "Recovered"]
    said(pair, "back", group, "s1")
    pair.settle()
    assert pair.client.answers[-1].seq == 7


def test_the_end_that_was_not_heard_is_told_at_the_next_connection(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.server.change(group, OTHER, kinds.REMOVED, bodies.Removed(user=ME))
    pair.deliver_to_client(1)
    pair.flush()
    pair.crash()
    pair.settle()
    assert isinstance(pair.client.applied[-1], ev.Ended)
    assert pair.client.store.load().places == {}


def test_a_store_restored_to_an_earlier_state_is_a_reset_and_a_snapshot(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    for text in "abc":
        pair.server.say(group, OTHER, text)
    pair.settle()
    pair.cut()
    pair.server.say(group, OTHER, "d")
    pair.settle()
    pair.cut()
    pair.server.restored(group, 2)
    pair.settle()
    assert pair.server.resets == 1
    reset, snapshot = pair.client.applied[-3:-1]
    assert isinstance(reset, ev.Reset)
    assert isinstance(snapshot, ev.Snapshot)
    assert snapshot.seq == 2
    pair.server.say(group, OTHER, "new life")
    pair.settle()
    assert texts(pair, group)[-1] == "new life"
    assert pair.client.store.load().places[group].seq == 3


def test_a_clients_store_restored_from_a_backup_gets_again_what_it_had_forgotten(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    backup = pair.client.cloned()
    for text in "ab":
        pair.server.say(group, OTHER, text)
    pair.settle()
    pair.cut()
    pair.client = backup
    pair.server.say(group, OTHER, "c")
    pair.settle()
    assert texts(pair, group) == list("abc")


def test_a_created_group_can_be_written_to_at_once(pair: SessionPair) -> None:
    pair.settle()
    body = bodies.canonical(bodies.Created(name="mine"))
    pair.client.core.send(KeptSend(send_id="make", group="", kind=kinds.CREATED, join=0, body=body))
    group = group_id(ME, "make")
    said(pair, "first", group, "s1")
    pair.settle()
    assert [answer.seq for answer in pair.client.answers] == [1, 2]
    assert pair.client.answers[0].group == group


def test_a_send_to_a_group_one_is_no_member_of_is_refused_without_leaving(pair: SessionPair) -> None:
    group = pair.server.create(OTHER)
    pair.settle()
    said(pair, "let me in", group, "s1")
    said(pair, "nowhere", "gnowhere", "s2")
    pair.settle()
    assert [(a.send_id, a.code, a.definite) for a in pair.client.answers] == [
        ("s1", "no_such_group", True),
        ("s2", "no_such_group", True),
    ]
    assert pair.end is not None
    assert not any(isinstance(event, ev.Send) for event in pair.end.heard)


def test_a_send_between_the_removal_and_the_end_is_refused_and_so_is_each_later_one(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    for number in range(3):
        pair.server.change(group, OTHER, kinds.REMOVED, bodies.Removed(user=ME))
        pair.deliver_to_client(1)
        said(pair, "between", group, f"between-{number}")
        pair.flush()
        pair.settle()
        said(pair, "after", group, f"after-{number}")
        pair.settle()
        pair.server.change(group, OTHER, kinds.ADDED, bodies.Added(users=(ME,)))
        pair.settle()
        said(pair, "a member again", group, f"again-{number}")
        pair.settle()
    assert len(pair.client.answers) == 9
    assert {a.code for a in pair.client.answers if a.send_id[0] in "ba" and "again" not in a.send_id} == {
        "no_such_group"
    }
    assert all(a.seq for a in pair.client.answers if "again" in a.send_id)


def test_a_damaged_position_is_a_reset_and_a_snapshot(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.server.say(group, OTHER, "a")
    pair.client.core.receive(JSON.encode(ev.Failed(code="bad_position", ref=group)))
    assert pair.end is not None
    pair.end.said.clear()
    pair.settle()
    shown = [type(item).__name__ for item in pair.client.applied]
    assert shown[-3:] == ["Reset", "Snapshot", "Recovered"]
    assert pair.client.store.load().places[group].seq == 2


def test_a_send_right_after_being_added_waits_for_the_join(pair: SessionPair) -> None:
    group = pair.server.create(OTHER)
    pair.settle()
    pair.server.change(group, OTHER, kinds.ADDED, bodies.Added(users=(ME,)))
    said(pair, "thanks", group, "s1")
    pair.flush()
    pair.settle()
    assert pair.client.answers[0].seq == 3


def test_a_send_made_under_an_old_join_is_refused_under_the_new(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.cut()
    said(pair, "late", group, "s1")
    pair.flush()
    pair.server.change(group, OTHER, kinds.REMOVED, bodies.Removed(user=ME))
    pair.server.change(group, OTHER, kinds.ADDED, bodies.Added(users=(ME,)))
    pair.settle()
    assert [(a.code, a.definite) for a in pair.client.answers] == [("membership_over", True)]


def test_an_outbox_copied_to_another_device_sends_nothing_twice(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.cut()
    for number in range(5):
        said(pair, f"m{number}", group, f"s{number}")
    pair.flush()
    other = SessionPair(pair.client.cloned(), pair.server, ME)
    pair.connect()
    pair.deliver_to_server()
    pair.deliver_to_client(1)
    pair.flush()
    pair.deliver_to_server(3)
    other.settle()
    pair.settle()
    assert [e.send_id for e in pair.server.log(group)[1:]] == [f"s{number}" for number in range(5)]
    assert [a.seq for a in other.client.answers] == [a.seq for a in pair.client.answers] == [2, 3, 4, 5, 6]


def test_an_application_that_takes_nothing_costs_no_memory_and_misses_nothing() -> None:
    pair = SessionPair(PlayedClient(settings=CoreSettings(window=5)), ScriptedServer(), ME)
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    for number in range(100):
        pair.server.say(group, OTHER, f"m{number}")
    pair.deliver_to_client()
    assert len(pair.client.core.places.inbox) == 20
    pair.settle()
    assert texts(pair, group) == [f"m{number}" for number in range(100)]
    assert pair.client.core.statistics().overflowed > 0


def test_silence_is_asked_about_then_the_link_is_dropped(pair: SessionPair) -> None:
    pair.settle()
    core, interval_s = pair.client.core, PING_INTERVAL_MS / 1_000
    pair.pass_time(interval_s + 0.1)
    assert [JSON.decode_client(frame) for frame in core.take_frames(pair.now_s)] == [ev.Ping()]
    assert pair.client.core.drop == ""
    at_s = core.next_at()
    assert at_s is not None
    pair.pass_time(at_s - pair.now_s)
    assert pair.client.core.drop == "nothing heard"


def test_a_gap_that_nothing_fills_makes_the_connection_anew(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.server.say(group, OTHER, "lost")
    pair.server.say(group, OTHER, "found")
    pair.drop_entry()
    pair.deliver_to_client()
    pair.flush()
    pair.to_server.clear()
    for _ in range(4):
        pair.pass_time(9.0)
        pair.client.core.heard(pair.now_s)
    pair.client.core.tick(pair.now_s)
    assert pair.client.core.drop
    pair.cut()
    pair.settle()
    assert texts(pair, group) == ["lost", "found"]


def test_a_gap_of_the_connection_before_does_not_end_the_next_before_its_welcome(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.server.say(group, OTHER, "lost")
    pair.server.say(group, OTHER, "found")
    pair.drop_entry()
    pair.deliver_to_client()
    pair.flush()
    pair.cut()
    pair.pass_time(60.0)
    pair.connect()
    pair.client.core.tick(pair.now_s)
    assert not pair.client.core.drop
    pair.settle()
    assert texts(pair, group) == ["lost", "found"]


def test_a_catch_up_without_room_on_the_connection_before_does_not_end_the_next_before_its_welcome() -> None:
    pair = SessionPair(PlayedClient(settings=CoreSettings(window=5, fresh="join")), ScriptedServer(), ME)
    group = pair.server.create(OTHER, [ME])
    for number in range(100):
        pair.server.say(group, OTHER, f"m{number}")
    core = pair.client.core
    pair.connect()
    pair.deliver_to_server()
    pair.deliver_to_client()
    pair.flush()
    pair.deliver_to_server()
    pair.deliver_to_client()
    pair.flush()
    assert core.drop == "a catch-up had no room"
    pair.cut()
    pair.connect()
    core.take_items(pair.now_s)
    assert not core.drop
    pair.settle()
    assert texts(pair, group) == [f"m{number}" for number in range(100)]


def test_nothing_is_due_before_the_welcome_but_the_welcome_itself(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.server.say(group, OTHER, "acknowledged later")
    pair.deliver_to_client()
    pair.flush()
    pair.cut()
    pair.pass_time(60.0)
    pair.connect()
    next_at = pair.client.core.next_at()
    # What is due already and may not be written would be looked at again and again.
    assert next_at is not None
    assert next_at > pair.now_s


def test_acks_follow_the_commit_and_come_at_most_once_a_second() -> None:
    pair = SessionPair(PlayedClient(settings=CoreSettings(window=10)), ScriptedServer(), ME)
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    assert pair.end is not None
    heard = pair.end.heard

    def acks() -> list[int]:
        return [event.groups[group] for event in heard if isinstance(event, ev.Ack)]

    def arrive(texts: str) -> None:
        for text in texts:
            pair.server.say(group, OTHER, text)
        pair.deliver_to_client()
        pair.flush()
        pair.deliver_to_server()

    pair.pass_time(2.0)
    pair.settle()
    before = len(acks())
    arrive("a")
    arrive("b")
    assert len(acks()) == before
    pair.pass_time(1.0)
    pair.flush()
    pair.deliver_to_server()
    assert acks()[before:] == [3]
    arrive("cdefg")
    assert acks()[before:] == [3, 8]


def test_a_server_going_away_says_when_to_come_back(pair: SessionPair) -> None:
    pair.settle()
    goodbye = ev.Goodbye(code="server_draining", reconnect_after_ms=4_000)
    pair.client.core.receive(JSON.encode(goodbye))
    assert pair.client.core.lost(4000, pair.now_s) == 4.0
    assert pair.client.core.failure is None


def test_codes_that_forbid_to_come_back_are_obeyed(pair: SessionPair) -> None:
    pair.settle()
    pair.client.core.receive(JSON.encode(ev.Goodbye(code="flood", detail="too many events")))
    pair.cut()
    failure = pair.client.core.failure
    assert isinstance(failure, ConnectionEnded)
    assert (failure.code, failure.detail) == ("flood", "too many events")


def test_the_close_code_alone_tells_of_a_token(pair: SessionPair) -> None:
    pair.settle()
    pair.cut(4100)
    assert pair.client.core.token_refused == "token_expired"
    assert pair.client.core.failure is None


def test_a_store_is_one_users(pair: SessionPair) -> None:
    pair.settle()
    pair.cut()
    pair.user = OTHER
    pair.connect()
    pair.deliver_to_server()
    pair.deliver_to_client()
    assert isinstance(pair.client.core.failure, StoreOfAnother)


def test_an_outbox_is_never_sent_under_another_users_token(pair: SessionPair) -> None:
    # Both are members by the entry that made the group: the join that the send names would be good for either.
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.cut()
    core = pair.client.core
    said(pair, "mine", group, "s1")
    core.ask(ev.ListGroups(ref=core.requests.next_ref()))
    core.mark_read(group, 1, pair.now_s)
    pair.flush()
    pair.user = OTHER
    pair.connect()
    core.refresh("waits for the welcome")
    pair.deliver_to_server()
    pair.deliver_to_client()
    for _ in range(3):
        pair.flush()
        pair.deliver_to_server()
        core.refresh("after the welcome")
        pair.pass_time(PING_INTERVAL_MS / 1_000)
    assert pair.end is not None
    assert [type(event) for event in pair.end.heard] == [ev.Hello]
    assert len(pair.server.log(group)) == 1
    pair.user = ME
    pair.crash()
    pair.settle()
    assert [entry.sender for entry in pair.server.log(group)[1:]] == [ME]


def test_what_another_user_is_told_moves_nothing(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    pair.server.say(group, OTHER, "in the read of the welcome")
    assert pair.end is not None
    entry = pair.end.said[-1]
    pair.cut()
    said(pair, "mine", group, "s1")
    pair.flush()
    before = pair.client.store.load()
    pair.user = OTHER
    pair.connect()
    pair.deliver_to_server()
    pair.deliver_to_client()
    core = pair.client.core
    core.receive(entry)
    for event in (ev.Accepted(id="s1", group=group, seq=2), ev.ResumeDone(groups=0), ev.Goodbye(code="flood")):
        core.receive(JSON.encode(event))
    pair.flush()
    assert pair.client.store.load() == before
    assert [send.send_id for send in core.outbox.pending()] == ["s1"]
    assert not core.resumed
    pair.cut()
    assert isinstance(core.failure, StoreOfAnother)


def test_a_link_that_is_to_be_dropped_is_given_nothing_more(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.settle()
    core = pair.client.core
    said(pair, "mine", group, "s1")
    core.refresh("composed before")
    core.mark_read(group, 1, pair.now_s)
    core.invalid()
    core.refresh("composed after")
    core.take_changes()
    assert core.take_frames(pair.now_s) == []
    next_at = core.next_at()
    assert next_at is not None
    assert next_at > pair.now_s, "what is due and may not be written would be looked at again and again"
    pair.cut()
    pair.settle()
    assert texts(pair, group) == ["mine"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["post", "answer", "skip", "learn", "commit"]), st.sampled_from("ab"), st.sampled_from("xy")
        )
    )
)
@example([("post", "a", "x"), ("commit", "", ""), ("answer", "a", ""), ("post", "a", "x")])
@example([("post", "a", "x"), ("commit", "", ""), ("learn", "", ""), ("answer", "a", ""), ("post", "a", "y")])
@example([("post", "a", "x"), ("skip", "a", ""), ("post", "b", "x"), ("post", "a", "y")])
def test_a_store_has_the_outbox_as_it_is_whatever_happened_to_an_id_between_two_commits(
    steps: list[tuple[str, str, str]],
) -> None:
    core = Core(Kept(user=ME), CoreSettings(), draw=lambda: 0.5)
    core.opened(ME, 0.0)
    core.receive(JSON.encode(ev.Welcome(user=ME, device="", version=1, time_ms=0, ping_interval_ms=1_000)))
    in_memory, in_a_file = MemoryClientStore(), SqliteClientStore(":memory:")
    in_a_file.load()
    for step, send_id, text in [*steps, ("commit", "", "")]:
        match step:
            case "post":
                body = bodies.canonical(bodies.Message(text=text))
                with contextlib.suppress(SendRefused):
                    core.send(KeptSend(send_id=send_id, group="g", kind=kinds.MESSAGE, join=None, body=body))
            case "answer":
                core.receive(JSON.encode(ev.Accepted(id=send_id, group="g", seq=1)))
            case "skip":
                core.skip("g", send_id)
            case "learn":
                core.outbox.learn_joins(ME, lambda _: 1)
            case _:
                changes = core.take_changes()
                in_memory.commit(changes)
                in_a_file.commit(changes)
                assert in_memory.load().outbox == core.outbox.pending()
                assert in_a_file._outbox(in_a_file.db) == core.outbox.pending()
    in_a_file.close()


def test_a_frame_that_is_none_is_said_so(pair: SessionPair) -> None:
    pair.settle()
    with pytest.raises(FrameInvalid):
        pair.client.core.receive(b"\xff")
    pair.client.core.receive(b'{"t":"of-a-newer-server","x":1}')
    pair.client.core.invalid()
    assert pair.client.core.statistics().invalid_frames == 1
    assert pair.client.core.drop


def test_a_read_pointer_waits_until_the_group_is_live_and_is_told_again_until_confirmed(pair: SessionPair) -> None:
    group = pair.server.create(OTHER, [ME])
    pair.client.core.mark_read(group, 1, pair.now_s)
    pair.settle()
    assert pair.end is not None
    assert ev.MarkRead(group=group, seq=1) in pair.end.heard
    pair.cut()
    pair.pass_time(1.0)
    pair.settle()
    assert pair.end is not None
    assert ev.MarkRead(group=group, seq=1) in pair.end.heard
    pair.client.core.receive(JSON.encode(ev.Pointer(group=group, read=1, unread=0)))
    pair.cut()
    pair.pass_time(5.0)
    pair.settle()
    assert pair.end is not None
    assert not any(isinstance(event, ev.MarkRead) for event in pair.end.heard)


class Faults(RuleBasedStateMachine):
    """One client in two groups, whose link, process and server fail in any order."""

    @initialize(history_all=st.booleans(), fresh=st.sampled_from(["head", "join"]))
    def begin(self, history_all: bool, fresh: str) -> None:
        self.server = ScriptedServer()
        self.groups = [
            self.server.create(OTHER, [ME], history_all=history_all),
            self.server.create(OTHER, [ME]),
        ]
        self.pair = SessionPair(PlayedClient(settings=CoreSettings(fresh=fresh, window=8)), self.server, ME)
        self.clones: list[SessionPair] = []
        self.sent: dict[GroupId, list[str]] = {group: [] for group in self.groups}
        self.pair.connect()

    @rule(which=st.integers(0, 1))
    def someone_says(self, which: int) -> None:
        self.server.say(self.groups[which], OTHER, "hello")

    @rule()
    def something_unknown(self) -> None:
        self.server.say_unknown(self.groups[1], OTHER)

    @rule(which=st.integers(0, 1))
    def i_say(self, which: int) -> None:
        group = self.groups[which]
        send_id = f"mine-{which}-{len(self.sent[group])}"
        said(self.pair, "mine", group, send_id)
        # Kept before anything else happens: what a kill takes with it was never sent.
        self.pair.flush()
        self.sent[group].append(send_id)

    @rule()
    def i_am_removed_or_added(self) -> None:
        group = self.groups[0]
        if self.server.state(group).membership(ME):
            self.server.change(group, OTHER, kinds.REMOVED, bodies.Removed(user=ME))
        else:
            self.server.change(group, OTHER, kinds.ADDED, bodies.Added(users=(ME,)))

    @rule(frames=st.integers(1, 6))
    def arrives_at_server(self, frames: int) -> None:
        self.pair.deliver_to_server(frames)

    @rule(frames=st.integers(1, 12))
    def arrives_at_client(self, frames: int) -> None:
        self.pair.deliver_to_client(frames)

    @rule()
    def client_commits(self) -> None:
        self.pair.flush()

    @rule()
    def link_is_cut(self) -> None:
        self.pair.cut()

    @rule()
    def client_connects(self) -> None:
        self.pair.connect()

    @rule()
    def client_is_killed(self) -> None:
        self.pair.crash()

    @rule(which=st.integers(0, 20))
    def an_entry_is_lost(self, which: int) -> None:
        self.pair.drop_entry(which)

    @rule(which=st.integers(0, 20))
    def a_frame_is_doubled(self, which: int) -> None:
        self.pair.double(which)

    @rule(codes=st.lists(st.sampled_from(["no_answer", "rate_limited", "store_away", "draining"]), max_size=3))
    def server_is_busy(self, codes: list[str]) -> None:
        self.server.busy.extend(codes)

    @rule(seconds=st.sampled_from([0.1, 1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.pair.pass_time(seconds)

    @precondition(lambda self: not self.clones)
    @rule()
    def the_store_is_copied(self) -> None:
        self.clones.append(SessionPair(self.pair.client.cloned(), self.server, ME))

    @precondition(lambda self: bool(self.clones))
    @rule()
    def the_copy_goes_on(self) -> None:
        self.clones[0].settle()

    @invariant()
    def applied_is_the_log(self) -> None:
        for group in self.groups:
            assert_applied_is_the_log(self.pair.client.applied, self.server.log(group), group)

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        for _ in range(2):
            for pair in (self.pair, *self.clones):
                pair.settle()
                pair.pass_time(60.0)
                pair.settle()
                assert len(pair.client.core.outbox) == 0
            # A last entry that was lost is noticed with the one after it.
            for group in self.groups:
                self.server.say(group, OTHER, "the last")
        self.pair.settle()
        self.applied_is_the_log()
        for group in self.groups:
            self._assert_up_to_the_head(group)
            self._assert_sends_once_in_order(group)

    def _assert_up_to_the_head(self, group: GroupId) -> None:
        if self.server.state(group).membership(ME):
            place = self.pair.client.store.load().places[group]
            assert place.seq == len(self.server.log(group))
            assert place.position == str(self.server.state(group).head.position)

    def _assert_sends_once_in_order(self, group: GroupId) -> None:
        mine = [entry.send_id for entry in self.server.log(group) if entry.sender == ME]
        assert len(set(mine)) == len(mine)
        assert mine == [send_id for send_id in self.sent[group] if send_id in mine]
        if group is self.groups[1]:
            assert mine == self.sent[group]


TestFaults = Faults.TestCase
TestFaults.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_statistics_can_be_printed(pair: SessionPair) -> None:
    pair.settle()
    assert msgspec.structs.asdict(pair.client.core.statistics())["connections"] == 1
